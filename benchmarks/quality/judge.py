"""A classifier of images, trained here on the same data: its features judge samples.

Frechet distances are usually taken in the features of a network trained on photographs. These are
comparable within a data set only.
"""

import math

import numpy as np
import torch
from sklearn.metrics import balanced_accuracy_score
from torch import Tensor, nn
from torch.nn.functional import (
    affine_grid,
    binary_cross_entropy_with_logits,
    cross_entropy,
    grid_sample,
)

from sklearn_bigan.networks import dcgan
from sklearn_bigan.networks.images import ImageShape, to_maps

N_UPDATES, BATCH, LEARNING_RATE = 1500, 128, 2e-3
# Random frames have sides from this share of the image's on, and are turned by so many degrees.
LEAST_FRAME, TURN = 0.6, 10.0


class Classifier(nn.Module):
    """DCGAN's convolutions, a layer of features, and a logit for each class or attribute."""

    n_features = 128

    def __init__(self, image_shape: ImageShape, n_logits: int) -> None:
        super().__init__()
        self.image_shape = image_shape
        steps = dcgan.convolutions(image_shape, batch_norm=True)
        last = math.prod(dcgan.scales(image_shape)[-1])
        self.body = nn.Sequential(*steps, nn.Flatten(), nn.Linear(last, self.n_features), nn.ReLU())
        self.head = nn.Linear(self.n_features, n_logits)

    def forward(self, maps: Tensor) -> Tensor:
        """Return logits."""
        return self.head(self.body(maps))


def framed(maps: Tensor, random: torch.Generator) -> Tensor:
    """Return a random frame of each image, scaled to the size of the image."""
    n = len(maps)
    sides = 1 - (1 - LEAST_FRAME) * torch.rand(n, 2, generator=random)
    shift = (1 - sides) * (2 * torch.rand(n, 2, generator=random) - 1)
    angle = math.radians(TURN) * (2 * torch.rand(n, generator=random) - 1)
    turn = torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()], dim=1).view(n, 2, 2)
    frame = torch.cat([turn * sides[:, None], shift[:, :, None]], dim=2)
    grid = affine_grid(frame, list(maps.shape), align_corners=False)
    return grid_sample(maps, grid, padding_mode="reflection", align_corners=False)


def train_classifier(
    X: np.ndarray, y: np.ndarray, image_shape: ImageShape, n_updates: int = N_UPDATES
) -> Classifier:
    """Train on random frames; the same for the same images.

    `y` holds a class for each image, or a column of zeros and ones for each attribute.
    """
    if y.ndim == 2:
        labels, loss, n_logits = y.astype(np.float32), binary_cross_entropy_with_logits, y.shape[1]
    else:
        classes, labels = np.unique(y, return_inverse=True)
        loss, n_logits = cross_entropy, len(classes)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = Classifier(image_shape, n_logits).train()
    random = torch.Generator().manual_seed(0)
    maps, targets = to_maps(torch.from_numpy(X), image_shape), torch.from_numpy(labels)
    optimizer = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=n_updates)
    for _ in range(n_updates):
        batch = torch.randint(len(X), (BATCH,), generator=random)
        optimizer.zero_grad()
        loss(model(framed(maps[batch], random)), targets[batch]).backward()
        optimizer.step()
        schedule.step()
    return model.eval()


@torch.inference_mode()
def features(model: Classifier, X: np.ndarray) -> Tensor:
    """Return what the logits are made of, a chunk of rows at a time."""
    chunks = torch.from_numpy(np.asarray(X, dtype=np.float32)).split(8192)
    return torch.cat([model.body(to_maps(chunk, model.image_shape)) for chunk in chunks])


@torch.inference_mode()
def logits(model: Classifier, X: np.ndarray) -> np.ndarray:
    """Return a logit for each class, or for each attribute, of each row."""
    return model.head(features(model, X)).numpy()


def predict(model: Classifier, X: np.ndarray) -> np.ndarray:
    """Return the number of the likeliest class of each row."""
    return logits(model, X).argmax(1)


def recognised(model: Classifier, X: np.ndarray, y: np.ndarray) -> float:
    """Return how often the rows are seen as what they are.

    Of attributes this is the mean of their balanced accuracies: glasses are rare.
    """
    found = logits(model, X)
    if y.ndim == 1:
        return float(np.mean(found.argmax(1) == y))
    pairs = zip(y.T, found.T > 0, strict=True)
    return float(np.mean([balanced_accuracy_score(*pair) for pair in pairs]))


def frechet_distance(model: Classifier, A: np.ndarray, B: np.ndarray) -> float:
    """Squared Frechet distance of Gaussians fitted to the features of A and of B.

    |mean_A - mean_B|^2 + trace(C_A + C_B - 2 (C_A C_B)^(1/2)), Heusel et al. 2017, eq. 6; over the
    trace of C_A, so that 0 is the same and 1 about as far as from A to its own mean.
    """
    (mean_a, a), (mean_b, b) = (
        (found.mean(0), np.cov(found, rowvar=False))
        for found in (features(model, X).numpy() for X in (A, B))
    )
    # The trace of the root is the sum of the roots of the eigenvalues, which are none below 0.
    root = np.sqrt(np.linalg.eigvals(a @ b).real.clip(min=0)).sum()
    distance = np.square(mean_a - mean_b).sum() + np.trace(a + b) - 2 * root
    return float(distance / np.trace(a))
