"""Losses beside the adversarial one: what else tells E and G that they should invert each other."""

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, mse_loss, normalize

from sklearn_bigan.networks.encoder import Encoder

# Weight of the latent regression loss in G's gradient. BiGAN's authors: 0.25 in the joint latent
# regressor, "1 results in a degenerate solution"; the plain latent regressor leaves G alone.
REGRESSION_WEIGHT_IN_G = {"latent_regression": 0.0, "joint_latent_regression": 0.25}

# Of the similarities that a view's partner is told by. In one run of each, with held-out rows, half
# as much cost MNIST's codes 3 points with 100 labels; CIFAR-10's features gained one with 1000.
TEMPERATURE = 0.4


def cycle_loss(x: Tensor, x_tilde: Tensor, x_unit: Tensor) -> Tensor:
    """||x - x_tilde||^2 of ALICE (Li et al. 2017), in units in which the mean would leave 1.

    x_tilde is G(E(x)), or G of the code of a view of x.
    """
    return mse_loss(x_tilde / x_unit, x / x_unit)


def latent_cycle_loss(encoder: Encoder, x_hat: Tensor, z: Tensor) -> Tensor:
    """||z - E(G(z))||^2 of ALICE and VEEGAN, the mean over batch and components."""
    return mse_loss(encoder(x_hat), z)


def consistency_loss(z_hat: Tensor) -> Tensor:
    """||E(x) - E(x')||^2 for the rows x in the batch's first half and x', their partners."""
    first, second = z_hat.chunk(2)
    return mse_loss(first, second)


def contrast_loss(z_hat: Tensor) -> Tensor:
    """Tell each code's partner among all others of the batch, by cosines: SimCLR's NT-Xent.

    -log softmax_j(cos(z_i, z_j) / TEMPERATURE) at the partner of i, j running over all but i.
    """
    directions = normalize(z_hat, dim=1)
    similarity = directions @ directions.T / TEMPERATURE
    itself = torch.eye(len(z_hat), dtype=torch.bool, device=z_hat.device)
    partners = torch.arange(len(z_hat), device=z_hat.device).roll(len(z_hat) // 2)
    return cross_entropy(similarity.masked_fill(itself, -torch.inf), partners)


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
