"""What is used after training: averaged weights, with batch statistics and clusters to match.

The weights of two players circle round the point they look for; their average lies nearer to it
(Yazici et al. 2018, arXiv:1806.04498). Batch norm's running statistics belong to the weights they
were gathered with, so the average gets statistics of its own. And the clusters of the prior are
fitted to the codes, which have come near them without filling all alike.
"""

import copy

import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from sklearn_bigan._inference import CHUNK_ROWS
from sklearn_bigan._noise import Noise
from sklearn_bigan._priors import MixturePrior
from sklearn_bigan.networks.bigan import BiGAN

# Batches that the statistics are averaged over; BiGAN's code takes 1000 of 128 rows.
STATISTICS_BATCHES = 100


def averaged_copy(module: BiGAN) -> BiGAN:
    """Copy E and G, to become averages; D is shared."""
    encoder, generator = copy.deepcopy(module.encoder), copy.deepcopy(module.generator)
    return BiGAN(encoder, generator, module.discriminator).eval()


@torch.no_grad()
def average(
    averaged_weights: list[Tensor], trained_weights: list[Tensor], decay: float, n_updates: int
) -> None:
    """Move the averages of E's and G's weights towards the weights: exponential, by `decay`.

    The first updates are forgotten faster, so that short trainings are averaged over a tenth of
    their length and not over their start.
    """
    decay = min(decay, (n_updates - 1) / (n_updates + 9))
    torch._foreach_lerp_(averaged_weights, trained_weights, 1 - decay)


def weights(module: BiGAN) -> list[Tensor]:
    """Return the weights of E and G."""
    return [*module.encoder.parameters(), *module.generator.parameters()]


@torch.no_grad()
def settle(
    averaged: BiGAN,
    module: BiGAN,
    rows: Tensor,
    batch_size: int,
    noise: Noise,
    *,
    cycled: bool,
    anew: bool,
) -> None:
    """Bring what does not follow from the averaged weights up to date with them.

    Batch norms of E and G get the statistics of what they are used on: for E the rows, for G draws
    from the prior, joined by the rows' codes if the training was `cycled`. Unless `anew`, old
    statistics fade by batch norm's own momentum: the rows may be a piece of the data only. Other
    buffers are those of the networks in training.
    """
    pairs = ((averaged.encoder, module.encoder), (averaged.generator, module.generator))
    parts = [pair for a, b in pairs for pair in zip(a.modules(), b.modules(), strict=True)]
    norms = []
    for part, trained in parts:
        if isinstance(part, _BatchNorm) and part.track_running_stats:
            norms.append(part)
        elif part is not averaged.encoder.prior:
            for own, other in zip(part.buffers(False), trained.buffers(False), strict=True):
                own.copy_(other)
    if not norms:
        return
    order = torch.randperm(len(rows), generator=noise.generator, device=rows.device)
    # Equal parts, so that every row counts where there are few.
    batches = order.tensor_split(max(1, len(rows) // batch_size))[:STATISTICS_BATCHES]
    momenta = [norm.momentum for norm in norms]
    try:
        for norm in norms:
            norm.train()
        for i, batch in enumerate(batches):
            if anew:
                for norm in norms:
                    norm.momentum = 1 / (i + 1)  # a plain mean over the batches
            x = rows[batch]
            codes = averaged.encoder(x)
            draws = module.encoder.prior.sample(len(x), noise)
            averaged.generator(torch.cat([draws, codes]) if cycled else draws)
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
            norm.eval()


@torch.no_grad()
def fit_prior(averaged: BiGAN, module: BiGAN, rows: Tensor, noise: Noise) -> None:
    """Fit the clusters of a mixture to the codes of the rows, ALI's as drawn from q(z | x)."""
    prior = averaged.encoder.prior
    if isinstance(prior, MixturePrior):
        prior.load_state_dict(module.encoder.prior.state_dict())
        prior.fit([averaged.encoder.draw(chunk, noise) for chunk in torch.split(rows, CHUNK_ROWS)])
