"""E and G as they are used: averaged weights, batch statistics and a prior to match.

The weights of two players circle around the point they look for; their average is closer to it
(Yazici et al. 2018, arXiv:1806.04498). Batch norm's running statistics belong to the weights that
they were computed with, so that the averaged networks get their own. The clusters of the prior are
fitted to the codes, which come near them without filling all of them equally.
"""

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from sklearn_bigan._runtime.inference import CHUNK_ROWS
from sklearn_bigan.networks.bigan import BiGAN
from sklearn_bigan.networks.priors import MixturePrior

# Batches that the statistics are averaged over; BiGAN's code uses 1000 of 128 rows.
STATISTICS_BATCHES = 100


class MovingAverage:
    """Exponential moving average (EMA) of E's and G's weights and batch-norm statistics.

    `decay` lies in [0, 1). With 0 the copies follow only at the end of an epoch, by `copy`.
    """

    def __init__(self, bigan: BiGAN, decay: float) -> None:
        self.decay = decay
        self.averaged = [*_averaged(bigan.averaged.encoder), *_averaged(bigan.averaged.generator)]
        self.trained = [*_averaged(bigan.encoder), *_averaged(bigan.generator)]

    @torch.no_grad()
    def update(self, n_updates: int) -> None:
        """Average in the weights after update number `n_updates`, from 1.

        The decay at update t is min(decay, (t - 1) / (t + 9)), the warm-up of TensorFlow's
        ExponentialMovingAverage: short trainings are averaged over their last tenth.
        """
        if self.decay > 0:
            decay = min(self.decay, (n_updates - 1) / (n_updates + 9))
            torch._foreach_lerp_(self.averaged, self.trained, 1 - decay)

    @torch.no_grad()
    def copy(self) -> None:
        """Without averaging, use the last weights."""
        if self.decay == 0:
            torch._foreach_copy_(self.averaged, self.trained)


def _averaged(network: nn.Module) -> list[Tensor]:
    """Return the network's weights, and the running statistics of its batch norms."""
    tensors: list[Tensor] = list(network.parameters())
    for norm in _batch_norms(network):
        if norm.running_mean is not None and norm.running_var is not None:
            tensors += [norm.running_mean, norm.running_var]
    return tensors


def _batch_norms(network: nn.Module) -> list[_BatchNorm]:
    return [part for part in network.modules() if isinstance(part, _BatchNorm)]


@torch.no_grad()
def update_statistics(
    bigan: BiGAN,
    rows: Tensor,
    batch_size: int,
    generator: torch.Generator,
    *,
    with_codes: bool,
    from_scratch: bool,
) -> None:
    """Give the averaged networks batch statistics of the data that they are used on.

    E is used on the standardised `rows`, (n_samples, n_features), and G on draws from the prior,
    and on codes of the rows if it was trained on them (`with_codes`). Batches have about
    `batch_size` rows. Other buffers than batch statistics and the prior are copied from the trained
    networks. From scratch, statistics are the means over the batches. Otherwise they are updated
    with batch norm's momentum: the rows may be a piece of the data only.
    """
    averaged = bigan.averaged
    _copy_other_buffers(bigan)
    norms = [
        norm
        for norm in [*_batch_norms(averaged.encoder), *_batch_norms(averaged.generator)]
        if norm.track_running_stats
    ]
    if not norms:
        return
    order = torch.randperm(len(rows), generator=generator, device=rows.device)
    # Equal parts, so that every row has the same weight where there are few.
    batches = order.tensor_split(max(1, len(rows) // batch_size))[:STATISTICS_BATCHES]
    momenta = [norm.momentum for norm in norms]
    try:
        for norm in norms:
            norm.train()
        for i, batch in enumerate(batches):
            if from_scratch:
                for norm in norms:
                    norm.momentum = 1 / (i + 1)  # a plain mean over the batches
            codes = averaged.encoder(rows[batch])
            draws = bigan.encoder.prior.sample(len(batch), generator)
            averaged.generator(torch.cat([draws, codes]) if with_codes else draws)
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
            norm.eval()


def _copy_other_buffers(bigan: BiGAN) -> None:
    pairs = (
        (bigan.averaged.encoder, bigan.encoder),
        (bigan.averaged.generator, bigan.generator),
    )
    for averaged, trained in pairs:
        for own, other in zip(averaged.modules(), trained.modules(), strict=True):
            if own is bigan.averaged.encoder.prior or isinstance(own, _BatchNorm):
                continue
            for buffer, source in zip(own.buffers(False), other.buffers(False), strict=True):
                buffer.copy_(source)


@torch.no_grad()
def fit_prior(bigan: BiGAN, rows: Tensor, generator: torch.Generator) -> None:
    """Fit the clusters of a mixture prior to the codes of the rows, drawn from q(z | x)."""
    encoder = bigan.averaged.encoder
    if not isinstance(encoder.prior, MixturePrior):
        return
    encoder.prior.load_state_dict(bigan.encoder.prior.state_dict())
    codes = []
    for chunk in torch.split(rows, CHUNK_ROWS):
        eps = torch.randn(
            (len(chunk), encoder.latent_dim), generator=generator, device=generator.device
        )
        codes.append(encoder.sample(chunk, eps))
    encoder.prior.fit(codes)
