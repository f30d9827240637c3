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
    xs = torch.cat([x, x_hat.detach()]).requires_grad_()
    zs = torch.cat([z_hat.detach(), z]).requires_grad_()
    logits = discriminator(xs, zs)  # (2 * batch,): encoder pairs, then generator pairs

    leaf = logits.detach().requires_grad_()
    sides = leaf.chunk(2)
    discriminator_loss = loss.discriminator_loss(*sides)
    encoder_generator_loss = loss.encoder_generator_loss(*sides)
    (d,) = torch.autograd.grad(discriminator_loss, leaf, retain_graph=True)
    (e,) = torch.autograd.grad(encoder_generator_loss, leaf)

    # A body may leave one of its inputs unused: nothing flows there.
    if discriminator.row_independent:
        smallest = SMALLEST_SEED / len(d)
        seed = torch.where(d.abs() < smallest, smallest, d)
        logits.backward(seed)
        scale = (e / seed).unsqueeze(1)
        at_xs, at_zs = (
            torch.zeros_like(pairs) if pairs.grad is None else scale * pairs.grad
            for pairs in (xs, zs)
        )
    else:
        weights = [weight for weight in discriminator.parameters() if weight.requires_grad]
        logits.backward(d, inputs=weights, retain_graph=True)
        at_xs, at_zs = torch.autograd.grad(logits, [xs, zs], e, materialize_grads=True)
    n = len(x)
    above = (logits.detach() > 0).float()
    return Outcome(
        discriminator_loss.detach(),
        encoder_generator_loss.detach(),
        at_zs[:n],
        at_xs[n:],
        above[:n].mean(),
        1 - above[n:].mean(),
    )
