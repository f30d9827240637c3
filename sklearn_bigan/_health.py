"""Figures that say how the game stands, where its losses do not, and what is wrong if they are bad.

The losses of two players balance whether E and G learn or not. These figures look at what the two
are for: inverting each other, codes spread like the prior, samples that are everywhere rows are.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from sklearn_bigan._noise import Noise
from sklearn_bigan._priors import Prior
from sklearn_bigan.networks.bigan import BiGAN

# Beyond it squares overflow in float32, and with them Adam's second moments: nothing is learned
# any more, even where the figure itself is still finite.
LARGEST = math.sqrt(torch.finfo(torch.float32).max)

# Rows and draws that the figures are taken from: standard errors of a few per cent, at the cost of
# about one training step an epoch.
PROBE_ROWS = 256

# Naeem et al. 2020 (arXiv:2002.09797), who derive that 5 neighbours find 97 % of rows covered
# where samples and rows have one distribution.
COVERAGE_NEIGHBORS = 5

# Where complaints begin: set by hand, from short, long and spoiled trainings on digits and tables.
LEAST_SPREAD, MOST_SPREAD = 0.1, 10.0
MOST_RECONSTRUCTION_RATIO = 0.95
LEAST_COVERAGE = 0.1


class Health(NamedTuple):
    """Figures of E and G on a few rows x and draws z, each a scalar; nan if all rows are alike.

    Attributes
    ----------
    reconstruction_ratio : Tensor
        Mean squared distance of rows from their own reconstruction, over that from another row's.
        0 is perfect; at 1 the reconstruction says nothing about the row.
    code_spread : Tensor
        Standard deviation of the codes E(x), over that of the prior.
    least_code_spread : Tensor
        The same of the component where it is least.
    latent_error : Tensor
        Mean squared error of E(G(z)) as an estimate of z, over the variance of z: at 1 no better
        than the mean.
    sample_spread : Tensor
        Standard deviation of the samples G(z), over that of the rows.
    coverage : Tensor
        Share of rows with a sample as near as the fifth nearest of the rows unlike them.
    """

    reconstruction_ratio: Tensor
    code_spread: Tensor
    least_code_spread: Tensor
    latent_error: Tensor
    sample_spread: Tensor
    coverage: Tensor


@torch.no_grad()
def health(module: BiGAN, prior: Prior, x: Tensor, noise: Noise) -> Health:
    """Look at E and G on rows x, at least two, and on draws.

    Codes are compared with the `prior` of the game, samples are made from the module's own.
    """
    z, aim = (p.sample(PROBE_ROWS, noise) for p in (module.encoder.prior, prior))
    codes = module.encoder(x)
    x_tilde, x_hat = module.generator(torch.cat([codes, z])).split([len(x), PROBE_ROWS])
    own, other = ((x - pair).square().sum(1).mean() for pair in (x_tilde, x_tilde.roll(1, 0)))
    row_variance, spreads = x.var(0).sum(), codes.var(0) / aim.var(0)
    # Rows like the row itself say nothing of how near is near: no sample is like one to the bit.
    gaps = distances(x, x)
    gaps = gaps.masked_fill(gaps == 0, torch.inf)
    radius = gaps.kthvalue(min(COVERAGE_NEIGHBORS, len(x) - 1)).values
    covered = distances(x, x_hat).amin(1) <= radius
    figures = Health(
        own / other,
        (codes.var(0).sum() / aim.var(0).sum()).sqrt(),
        spreads.min().sqrt(),
        (z - module.encoder(x_hat)).square().sum(1).mean() / z.var(0).sum(),
        (x_hat.var(0).sum() / row_variance).sqrt(),
        covered.float().mean(),
    )
    return Health(*(torch.where(row_variance > 0, figure, torch.nan) for figure in figures))


def distances(a: Tensor, b: Tensor) -> Tensor:
    """Return Euclidean distances, (len(a), len(b)); 0 where rounding leaves nothing of them.

    By way of the norms, which is an order of magnitude cheaper than by differences. Rows are moved
    to the origin first, and products taken in double precision: small distances between rows far
    out would drown in the difference of their norms.
    """
    dtype = torch.float32 if a.device.type == "mps" else torch.float64  # all that MPS has
    a, b = ((rows - b.mean(0)).to(dtype) for rows in (a, b))
    norms = a.square().sum(1, keepdim=True) + b.square().sum(1)
    squares = norms - 2 * a @ b.T
    rounding = a.shape[1] * torch.finfo(dtype).eps * norms
    return torch.where(squares > rounding, squares, 0).sqrt()


def check_finite(figures: dict[str, float], epoch: int, learning_rate: float) -> None:
    """Raise, naming the figures, unless float32 can hold all of them and their squares."""
    wrong = [f"{name} is {x:.3g}" for name, x in figures.items() if not abs(x) < LARGEST]
    if wrong:
        raise ValueError(
            f"Training diverged in epoch {epoch}: {', '.join(wrong)}. Lower learning_rate "
            f"(currently {learning_rate:g}), or rescale X if it contains large values, for "
            f"example with StandardScaler."
        )


def complaints(figures: Health) -> list[str]:
    """Say what is wrong with a trained model, and what to try; often nothing."""
    ratio, codes, _, _, samples, coverage = torch.stack(figures).cpu().tolist()
    found = []
    if codes > MOST_SPREAD or samples > MOST_SPREAD:
        found.append(
            f"Training has diverged: codes vary {codes:.2g} times as much as the prior, samples "
            f"{samples:.2g} times as much as the rows. Lower learning_rate, or rescale X."
        )
    if codes < LEAST_SPREAD:
        found.append(
            f"The encoder has collapsed: codes vary {codes:.2g} times as much as the prior. Raise "
            f"cycle_weight, or lower consistency_weight."
        )
    if samples < LEAST_SPREAD or coverage < LEAST_COVERAGE:
        found.append(
            f"The generator has collapsed: samples vary {samples:.2g} times as much as the rows, "
            f"and come near {coverage:.0%} of these. Train for longer, or raise cycle_weight."
        )
    if ratio > MOST_RECONSTRUCTION_RATIO:
        found.append(
            f"Encoder and generator do not invert each other: rows are as far from their own "
            f"reconstruction as from that of another row (ratio {ratio:.2f}). Train for longer, or "
            f"raise cycle_weight."
        )
    return found
