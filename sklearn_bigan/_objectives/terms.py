"""The loss term that brings the codes of neighbours, or of views of an image, together."""

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize

# Softmax temperature of NT-Xent. Halving it cost 3 points on MNIST (100 labels) and gained 1 on
# CIFAR-10's features (1000 labels), one seed each on held-out rows.
TEMPERATURE = 0.4

# Distance at which the Cauchy kernel has fallen to a half, in standard deviations of the codes.
# MNIST, 10,000 rows, 100 labels, one seed, distances in absolute units: .893 with 2, .907 with 1,
# and .918 to .921 with 0.5, 0.25 and 0.1.
KERNEL_WIDTH = 0.5


def cosine_similarity(codes: Tensor) -> Tensor:
    """cos(z_i, z_j) / TEMPERATURE: with this NT-Xent's loss (SimCLR, Chen et al. 2020, eq. 1)."""
    directions = normalize(codes, dim=1)
    return directions @ directions.T / TEMPERATURE


def cauchy_similarity(codes: Tensor) -> Tensor:
    """-log(1 + ||z_i - z_j||^2 / (KERNEL_WIDTH s)^2): the kernel of InfoNC-t-SNE.

    s^2 is the mean variance of the codes' components. With it the loss (Damrich et al. 2023) does
    not depend on the scale of the codes, which the prior sets; without it codes spread beyond the
    prior, and samples of 25 Gaussians in the plane missed 10 of them. The kernel's heavy tail lets
    codes of different clusters lie far apart for little loss.
    """
    codes = codes - codes.mean(0)
    squares = codes.square().sum(1)
    distances = squares.unsqueeze(1) + squares - 2 * codes @ codes.T
    variance = codes.square().mean().clamp(min=1e-12)  # 0 of equal codes
    # Differences of squares: those of equal codes may come out below 0.
    return -torch.log1p(distances.clamp(min=0) / (KERNEL_WIDTH**2 * variance))


def contrastive_loss(similarity: Tensor) -> Tensor:
    """Identify the positive of each code by the similarities (2 n, 2 n) of all codes of a batch.

    InfoNCE (van den Oord et al. 2018, eq. 4): the mean of -log softmax_j(similarity_ij) at i's
    positive, over all j but i. Code i + n is the positive of code i, and the reverse.
    """
    n_codes, device = len(similarity), similarity.device
    itself = torch.eye(n_codes, dtype=torch.bool, device=device)
    positive = torch.arange(n_codes, device=device).roll(n_codes // 2)
    return cross_entropy(similarity.masked_fill(itself, -torch.inf), positive)
