"""Diagnostics of E and G, and a warning made of them.

The losses of two players balance whether E and G learn or not. The diagnostics look at what the two
are for: inverting each other, codes spread like the prior, samples wherever the rows are.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from sklearn_bigan.networks.encoder import Encoder
from sklearn_bigan.networks.generator import Generator
from sklearn_bigan.networks.priors import Prior

# Beyond it squares overflow in float32, and with them Adam's second moments: nothing is learned any
# more, even where the metric itself is still finite.
LARGEST = math.sqrt(torch.finfo(torch.float32).max)

# Rows and draws that the diagnostics are computed from: standard errors of a few per cent, for the
# time of about one training step in an epoch.
PROBE_ROWS = 256

# Naeem et al. 2020 (arXiv:2002.09797): with 5 neighbours, 97 % of the rows are expected to be
# covered where samples and rows have one distribution.
COVERAGE_NEIGHBORS = 5

# Thresholds of the warnings, set by hand from short, long and broken trainings on digits, tables.
MIN_SPREAD, MAX_SPREAD = 0.1, 10.0
MAX_RECONSTRUCTION_RATIO = 0.95
MIN_COVERAGE = 0.1

# A learning rate that differs from the usual one by more than this factor is the likely cause of
# what went wrong. On digits and two tables training fails from a factor of 500 upwards and of 200
# downwards, and a factor of 50 does no harm.
UNUSUAL_RATE = 20.0


class Diagnostics(NamedTuple):
    """State of E and G on rows x and draws z, scalars; nan if all rows are equal.

    Attributes
    ----------
    reconstruction_ratio : Tensor
        Mean squared distance of rows from their own reconstruction, divided by that from another
        row's. 0 is perfect; at 1 the reconstruction says nothing about the row.
    code_spread : Tensor
        Standard deviation of the codes E(x), divided by that of the prior.
    least_code_spread : Tensor
        The same for the component where it is smallest.
    latent_error : Tensor
        Mean squared error of E(G(z)) as an estimate of z, divided by the variance of z: at 1 no
        better than the mean.
    sample_spread : Tensor
        Standard deviation of the samples G(z), divided by that of the rows.
    coverage : Tensor
        Share of rows with a sample as near as the fifth nearest different row.
    """

    reconstruction_ratio: Tensor
    code_spread: Tensor
    least_code_spread: Tensor
    latent_error: Tensor
    sample_spread: Tensor
    coverage: Tensor


@torch.no_grad()
def diagnose(
    encoder: Encoder, generator: Generator, prior: Prior, x: Tensor, noise: torch.Generator
) -> Diagnostics:
    """Compute the diagnostics of E and G, in evaluation mode, on two or more standardised rows.

    Samples are drawn from the encoder's own prior; codes are compared with `prior`, that of the
    training.
    """
    z = encoder.prior.sample(PROBE_ROWS, noise)
    prior_variance = prior.sample(PROBE_ROWS, noise).var(0)
    codes = encoder(x)
    x_tilde, x_hat = generator(torch.cat([codes, z])).split([len(x), PROBE_ROWS])
    own, other = ((x - pair).square().sum(1).mean() for pair in (x_tilde, x_tilde.roll(1, 0)))
    row_variance, spreads = x.var(0).sum(), codes.var(0) / prior_variance
    # Ignore exact duplicates when computing the coverage radius.
    gaps = distances(x, x)
    gaps = gaps.masked_fill(gaps == 0, torch.inf)
    radius = gaps.kthvalue(min(COVERAGE_NEIGHBORS, len(x) - 1)).values
    covered = distances(x, x_hat).amin(1) <= radius
    found = Diagnostics(
        own / other,
        (codes.var(0).sum() / prior_variance.sum()).sqrt(),
        spreads.min().sqrt(),
        (z - encoder(x_hat)).square().sum(1).mean() / z.var(0).sum(),
        (x_hat.var(0).sum() / row_variance).sqrt(),
        covered.float().mean(),
    )
    return Diagnostics(*(torch.where(row_variance > 0, value, torch.nan) for value in found))


def distances(a: Tensor, b: Tensor) -> Tensor:
    """Return Euclidean distances, (len(a), len(b)); 0 where only round-off is left of them.

    Computed from norms and products, an order of magnitude faster than from differences. Rows are
    centred first, and products taken in double precision: small distances between rows far from the
    origin would be lost in the difference of their norms.
    """
    dtype = torch.float32 if a.device.type == "mps" else torch.float64  # MPS has no float64
    a, b = ((rows - b.mean(0)).to(dtype) for rows in (a, b))
    norms = a.square().sum(1, keepdim=True) + b.square().sum(1)
    squares = norms - 2 * a @ b.T
    round_off = a.shape[1] * torch.finfo(dtype).eps * norms
    return torch.where(squares > round_off, squares, 0).sqrt()


def check_finite(values: dict[str, float], epoch: int, learning_rate: float) -> None:
    """Raise ValueError, naming the values, unless float32 holds all of them and their squares."""
    wrong = [f"{name} is {x:.3g}" for name, x in values.items() if not abs(x) < LARGEST]
    if wrong:
        raise ValueError(
            f"Training diverged in epoch {epoch}: {', '.join(wrong)}. Lower learning_rate "
            f"(currently {learning_rate:g}), or rescale X if it contains large values, for "
            f"example with StandardScaler."
        )


def problem(found: Diagnostics, learning_rate: float, usual_rate: float) -> str:
    """Describe what is wrong with a trained model and what to change; "" if nothing is.

    `usual_rate` is the learning rate that "auto" means, with which the same model trains well.
    """
    ratio, codes, _, _, samples, coverage = torch.stack(found).cpu().tolist()
    if codes > MAX_SPREAD or samples > MAX_SPREAD:
        symptoms = [
            f"Training has diverged: codes vary {codes:.2g} times as much as the prior, samples "
            f"{samples:.2g} times as much as the rows."
        ]
        remedy = "Lower learning_rate, or rescale X, for example with StandardScaler."
    else:
        symptoms, remedy = [], "Train for longer, or raise cycle_weight."
        if codes < MIN_SPREAD:
            symptoms.append(
                f"The encoder has collapsed: codes vary {codes:.2g} times as much as the prior."
            )
            remedy = "Raise cycle_weight, or lower consistency_weight."
        if samples < MIN_SPREAD or coverage < MIN_COVERAGE:
            symptoms.append(
                f"The generator has collapsed: samples vary {samples:.2g} times as much as the "
                f"rows, and {coverage:.0%} of the rows have a sample near them."
            )
        if ratio > MAX_RECONSTRUCTION_RATIO:
            symptoms.append(
                f"Encoder and generator do not invert each other: rows are as far from their own "
                f"reconstruction as from that of another row (ratio {ratio:.2f})."
            )
    if not symptoms:
        return ""
    rates = f"learning_rate={learning_rate:g} is probably too {{}}: 'auto' is {usual_rate:g}."
    if learning_rate > UNUSUAL_RATE * usual_rate:
        symptoms.insert(0, rates.format("high"))
        remedy = "Lower learning_rate."
    elif UNUSUAL_RATE * learning_rate < usual_rate:
        symptoms.insert(0, rates.format("low"))
        remedy = "Raise learning_rate."
    return " ".join([*symptoms, remedy])
