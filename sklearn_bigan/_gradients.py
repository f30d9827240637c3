"""The gradients of both players from one pass of the pairs through the discriminator.

D minimises its loss, E and G minimise theirs, and both losses are functions of the same logits
t_i, one for each pair. Backpropagation through D is linear in what is fed in at the logits:
feeding d_i = dL_D / dt_i leaves sum_i d_i * dt_i / dtheta on D's weights, which is what D needs,
and d_i * dt_i / d(pair i) at the pairs. E and G need e_i * dt_i / d(pair i), with
e_i = dL_EG / dt_i. Where no pair's logit depends on another pair, that is the same number times
e_i / d_i, so one backward pass serves both sides exactly.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from sklearn_bigan._losses import Loss
from sklearn_bigan.networks.discriminator import JointDiscriminator

# d_i is 0 where D is already satisfied (hinge) and underflows where it is very sure (logistic),
# and e_i / d_i would then be infinite. A seed of at least this size, in units of the mean's 1 / n,
# stays far below what float32 can resolve beside the other pairs, and below Adam's epsilon.
SMALLEST_SEED = 1e-16


class Outcome(NamedTuple):
    """What one pass through D yields. D's own gradients are left on its parameters."""

    discriminator_loss: Tensor  # ()
    encoder_generator_loss: Tensor  # ()
    at_z_hat: Tensor  # dL_EG / dE(x), (batch, latent_dim)
    at_x_hat: Tensor  # dL_EG / dG(z), (batch, n_features)
    encoder_pair_accuracy: Tensor  # share of pairs (x, E(x)) that D takes for such, ()
    generator_pair_accuracy: Tensor  # and of pairs (G(z), z), ()


def play(
    discriminator: JointDiscriminator,
    loss: Loss,
    encoder_pair: tuple[Tensor, Tensor],
    generator_pair: tuple[Tensor, Tensor],
) -> Outcome:
    """Put (x, E(x)) and (G(z), z) before D; return both losses and E's and G's gradients.

    D sees both kinds of pairs in one batch, as in ALI's code.
    """
    x, z_hat = encoder_pair
    x_hat, z = generator_pair
    made = [hat.detach().requires_grad_() for hat in (z_hat, x_hat)]
    z_hat, x_hat = made
    # (2 * batch,): encoder pairs, then generator pairs
    logits = discriminator(x, z_hat, x_hat, z)

    leaves = [logits.detach().requires_grad_() for _ in range(2)]
    discriminator_loss = loss.discriminator_loss(*leaves[0].chunk(2))
    encoder_generator_loss = loss.encoder_generator_loss(*leaves[1].chunk(2))
    d, e = torch.autograd.grad([discriminator_loss, encoder_generator_loss], leaves)

    if discriminator.row_independent:
        smallest = SMALLEST_SEED / len(d)
        seed = torch.where(d.abs() < smallest, smallest, d)
        logits.backward(seed)
        scales = (e / seed).unsqueeze(1).chunk(2)
        # A body may leave one of its inputs unused: nothing flows there.
        at_z_hat, at_x_hat = (
            torch.zeros_like(hat) if hat.grad is None else scale * hat.grad
            for hat, scale in zip(made, scales, strict=True)
        )
    else:
        weights = [weight for weight in discriminator.parameters() if weight.requires_grad]
        logits.backward(d, inputs=weights, retain_graph=True)
        at_z_hat, at_x_hat = torch.autograd.grad(logits, made, e, materialize_grads=True)
    of_encoder, of_generator = (logits.detach() > 0).float().chunk(2)
    return Outcome(
        discriminator_loss.detach(),
        encoder_generator_loss.detach(),
        at_z_hat,
        at_x_hat,
        of_encoder.mean(),
        1 - of_generator.mean(),
    )
