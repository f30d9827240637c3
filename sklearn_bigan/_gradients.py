"""The gradients of both players from one pass of the pairs through the discriminator.

D minimises its loss, E and G minimise theirs, and both losses are functions of the same logits
t_i, one for each pair. Backpropagation through D is linear in what is fed in at the logits:
feeding d_i = dL_D / dt_i leaves sum_i d_i * dt_i / dtheta on D's weights, which is what D needs,
and d_i * dt_i / d(pair i) at the pairs. E and G need e_i * dt_i / d(pair i), with
e_i = dL_EG / dt_i. Where no pair's logit depends on another pair, that is the same number times
e_i / d_i, so one backward pass serves both sides exactly.
"""

from collections.abc import Sequence
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


def play(
    discriminator: JointDiscriminator,
    loss: Loss,
    encoder_pair: tuple[Tensor, Tensor],
    generator_pair: tuple[Tensor, Tensor],
) -> Outcome:
    """Put (x, E(x)) and (G(z), z) before D and return both losses and E's and G's gradients."""
    x, z_hat = encoder_pair
    x_hat, z = generator_pair
    hats = [z_hat.detach().requires_grad_(), x_hat.detach().requires_grad_()]
    logits = [discriminator(x, hats[0]), discriminator(hats[1], z)]  # each (batch,)

    leaves = [t.detach().requires_grad_() for t in logits]
    discriminator_loss = loss.discriminator_loss(*leaves)
    encoder_generator_loss = loss.encoder_generator_loss(*leaves)
    d = torch.autograd.grad(discriminator_loss, leaves)
    e = torch.autograd.grad(encoder_generator_loss, leaves)

    if discriminator.row_independent:
        gradients = _one_backward(logits, hats, d, e)
    else:
        gradients = _two_backwards(discriminator, logits, hats, d, e)
    return Outcome(discriminator_loss.detach(), encoder_generator_loss.detach(), *gradients)


def _one_backward(
    logits: Sequence[Tensor], hats: Sequence[Tensor], d: Sequence[Tensor], e: Sequence[Tensor]
) -> list[Tensor]:
    seeds = [torch.where(g.abs() < SMALLEST_SEED / len(g), SMALLEST_SEED / len(g), g) for g in d]
    torch.autograd.backward(logits, seeds)
    return [
        hat.grad * (wanted / seed).unsqueeze(1)  # type: ignore[operator]
        for hat, wanted, seed in zip(hats, e, seeds, strict=True)
    ]


def _two_backwards(
    discriminator: JointDiscriminator,
    logits: Sequence[Tensor],
    hats: Sequence[Tensor],
    d: Sequence[Tensor],
    e: Sequence[Tensor],
) -> list[Tensor]:
    weights = list(discriminator.parameters())
    torch.autograd.backward(logits, d, inputs=weights, retain_graph=True)
    return list(torch.autograd.grad(logits, hats, e))
