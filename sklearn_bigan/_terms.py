"""Losses beside the adversarial one: what else tells E and G that they should invert each other."""

import torch
from torch import Tensor
from torch.nn.functional import mse_loss

from sklearn_bigan.networks.encoder import Encoder

# Weight of the latent regression loss in G's gradient. BiGAN's authors: 0.25 in the joint latent
# regressor, "1 results in a degenerate solution"; the plain latent regressor leaves G alone.
REGRESSION_WEIGHT_IN_G = {"latent_regression": 0.0, "joint_latent_regression": 0.25}


def cycle_loss(x: Tensor, x_tilde: Tensor, x_std: float) -> Tensor:
    """||x - G(E(x))||^2 of ALICE (Li et al. 2017), over what the mean of the data would leave."""
    return mse_loss(x_tilde, x) / x_std**2


def latent_cycle_loss(encoder: Encoder, x_hat: Tensor, z: Tensor) -> Tensor:
    """||z - E(G(z))||^2 of ALICE and VEEGAN, the mean over batch and components."""
    return mse_loss(encoder(x_hat), z)


def consistency_loss(z_hat: Tensor) -> Tensor:
    """||E(x) - E(x')||^2 for the rows x in the batch's first half and x', their partners."""
    first, second = z_hat.chunk(2)
    return mse_loss(first, second)


def latent_regression(
    encoder: Encoder, x_hat: Tensor, z: Tensor, inference: str
) -> tuple[Tensor, Tensor]:
    """L(z, E(x_hat)), its gradient left on E, and G's share of that gradient, at x_hat."""
    sample = x_hat.detach().requires_grad_()
    location, _ = encoder.posterior(encoder.hidden(sample))
    loss = encoder.prior.regression_loss(location, z)
    torch.autograd.backward(loss)
    share = REGRESSION_WEIGHT_IN_G[inference]
    return loss.detach(), share * sample.grad  # type: ignore[operator, return-value]
