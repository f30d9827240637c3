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
from sklearn_bigan._priors import MixturePrior
from sklearn_bigan.networks.bigan import BiGAN

# Batches that the statistics are averaged over; BiGAN's code takes 1000 of 128 rows.
STATISTICS_BATCHES = 100


def averaged_copy(module: BiGAN) -> BiGAN:
    """Copy E and G, to become averages; D is shared."""
    return BiGAN(
        copy.deepcopy(module.encoder), copy.deepcopy(module.generator), module.discriminator
    ).eval()


@torch.no_grad()
def average(averaged: BiGAN, module: BiGAN, decay: float, n_updates: int) -> None:
    """Move the averages of E's and G's weights towards the weights: exponential, by `decay`.

    The first updates are forgotten faster, so that short trainings are averaged over a tenth of
    their length and not over their start.
    """
    decay = min(decay, (n_updates - 1) / (n_updates + 9))
    torch._foreach_lerp_(weights(averaged), weights(module), 1 - decay)


def weights(module: BiGAN) -> list[Tensor]:
    """Return the weights of E and G."""
    return [*module.encoder.parameters(), *module.generator.parameters()]


@torch.no_grad()
def gather_statistics(
    module: BiGAN,
    rows: Tensor,
    batch_size: int,
    noise: torch.Generator,
    *,
    cycled: bool,
    anew: bool,
) -> None:
    """Give the batch norms of E and G the statistics of what they were trained on.

    For E the rows, for G draws from the prior, joined by the rows' codes if the training was
    `cycled`. Unless `anew`, old statistics fade by batch norm's own momentum: the rows may be a
    piece of the data only.
    """
    norms = [
        part
        for network in (module.encoder, module.generator)
        for part in network.modules()
        if isinstance(part, _BatchNorm) and part.track_running_stats
    ]
    if not norms:
        return
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.train()
    order = torch.randperm(len(rows), generator=noise, device=rows.device)
    # Equal parts, so that every row counts where there are few.
    batches = order.tensor_split(max(1, len(rows) // batch_size))[:STATISTICS_BATCHES]
    for i, batch in enumerate(batches):
        if anew:
            for norm in norms:
                norm.momentum = 1 / (i + 1)  # a plain mean over the batches
        x = rows[batch]
        codes = module.encoder(x)
        draws = module.encoder.prior.sample(len(x), noise, x.device)
        module.generator(torch.cat([draws, codes]) if cycled else draws)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
        norm.eval()


@torch.no_grad()
def fit_prior(module: BiGAN, rows: Tensor, noise: torch.Generator) -> None:
    """Fit the clusters of a mixture to the codes of the rows, ALI's as drawn from q(z | x)."""
    prior = module.encoder.prior
    if isinstance(prior, MixturePrior):
        prior.fit(module.encoder.draw(chunk, noise) for chunk in torch.split(rows, CHUNK_ROWS))
