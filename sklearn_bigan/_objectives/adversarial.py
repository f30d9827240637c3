"""The adversarial losses as functions of logits, and both players' gradients from one pass.

A logit t above 0 means that D takes the pair for an encoder pair, (x, E(x)), which both papers call
real; below 0, for a generator pair, (G(z), z). E is trained so that D calls its pair *fake*,
although its x is real: E and G both try to make D err.

Backpropagation through D is linear in the gradient at the logits. With dL_D/dt at the logits it
leaves D's gradient on D's weights, and dL_D/dt * dt/d(pair) at the pairs. E and G need
dL_EG/dt * dt/d(pair). Where no pair's logit depends on another pair, this is the same number times
(dL_EG/dt) / (dL_D/dt), so that one backward pass serves both players exactly. For the logistic loss
the ratio is -exp(t) for encoder pairs and -exp(-t) for generator pairs: a gradient reversal,
weighted by how certain D is.
"""

from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from sklearn_bigan.networks.bigan import BiGAN

# dL_D/dt underflows where D is certain, and the ratio would be infinite. A gradient of at least
# this size, in units of the mean's 1 / n, is far below what float32 resolves beside other pairs,
# and below Adam's epsilon.
MIN_GRADIENT = 1e-16


def discriminator_loss(encoder_logits: Tensor, generator_logits: Tensor) -> Tensor:
    """Mean of -log D(x, E(x)) plus mean of -log(1 - D(G(z), z)): BiGAN eq. 3.

    log sigmoid(t) is written -softplus(-t), which is finite for every finite t.
    """
    return softplus(-encoder_logits).mean() + softplus(generator_logits).mean()


def encoder_generator_loss(encoder_logits: Tensor, generator_logits: Tensor) -> Tensor:
    """Mean of -log(1 - D(x, E(x))) plus mean of -log D(G(z), z): the labels swapped.

    The non-saturating loss of both papers.
    """
    return softplus(encoder_logits).mean() + softplus(-generator_logits).mean()


def logit_gradients(encoder_logits: Tensor, generator_logits: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients of both losses at the logits, each (n_encoder_pairs + n_generator_pairs,).

    dL_D/dt = -sigmoid(-t) / n for encoder pairs and sigmoid(t) / n for generator pairs; dL_EG/dt is
    the same with the labels swapped.
    """
    n_e, n_g = len(encoder_logits), len(generator_logits)
    of_d = [-torch.sigmoid(-encoder_logits) / n_e, torch.sigmoid(generator_logits) / n_g]
    of_eg = [torch.sigmoid(encoder_logits) / n_e, -torch.sigmoid(-generator_logits) / n_g]
    return torch.cat(of_d), torch.cat(of_eg)


def adversarial_metrics(encoder_logits: Tensor, generator_logits: Tensor) -> dict[str, Tensor]:
    """Both losses, and the share of pairs of each kind that D classifies correctly."""
    return {
        "discriminator_loss": discriminator_loss(encoder_logits, generator_logits),
        "encoder_generator_loss": encoder_generator_loss(encoder_logits, generator_logits),
        "encoder_pair_accuracy": (encoder_logits > 0).float().mean(),
        "generator_pair_accuracy": (generator_logits <= 0).float().mean(),
    }


def backward_both_players(
    bigan: BiGAN, logits: Tensor, z_hat: Tensor | None, x_hat: Tensor, terms: Tensor | None
) -> None:
    """Leave D's gradient of its loss on D's weights, and E's and G's of theirs on theirs.

    `logits`, (n + m,), are D's for n encoder pairs, then for m generator pairs. `z_hat` and `x_hat`
    are E(x), (n, latent_dim), and G(z), (m, n_features), as D was given them: tensors used for
    nothing else. `z_hat` is None where D sees no codes. `terms`, a scalar or None, is what E and G
    minimise beside the adversarial loss. Weights that do not require a gradient get none: a
    callback may have frozen them, up to whole networks.
    """
    m = len(x_hat)
    n = len(logits) - m
    of_d, of_eg = logit_gradients(*torch.split(logits.detach(), [n, m]))
    if bigan.discriminator.row_independent:
        smallest = MIN_GRADIENT / n
        of_d = torch.where(of_d.abs() < smallest, smallest, of_d)
        ratio = (of_eg / of_d).unsqueeze(1)
        for pairs, part in ((z_hat, ratio[:n]), (x_hat, ratio[n:])):
            if pairs is not None and pairs.requires_grad:
                pairs.register_hook(partial(torch.mul, part))  # type: ignore[no-untyped-call]
        _backward(logits, of_d, terms)
    else:
        _backward(logits, of_d, None, _learnable(bigan.discriminator), retain_graph=True)
        _backward(logits, of_eg, terms, _learnable(bigan.encoder) + _learnable(bigan.generator))


def _backward(
    logits: Tensor,
    gradient: Tensor,
    terms: Tensor | None,
    inputs: list[nn.Parameter] | None = None,
    *,
    retain_graph: bool = False,
) -> None:
    """Go back from what depends on a weight that is trained, to the `inputs`; None: to all."""
    roots = [
        (root, of_root)
        for root, of_root in ((logits, gradient), (terms, None))
        if root is not None and root.requires_grad
    ]
    if roots and (inputs is None or inputs):
        tensors, gradients = zip(*roots, strict=True)
        torch.autograd.backward(tensors, gradients, retain_graph=retain_graph, inputs=inputs)


def _learnable(network: nn.Module) -> list[nn.Parameter]:
    return [weight for weight in network.parameters() if weight.requires_grad]
