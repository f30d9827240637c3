"""A classifier of images, trained here on the same data: its eye is the measure of samples.

Frechet distances are usually taken in the features of a network trained on photographs. These are
taken in those of a small one that knows the data set itself, and are comparable within a data set
only.
"""

import math

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from sklearn_bigan._batches import TensorBatches
from sklearn_bigan._inference import map_rows
from sklearn_bigan._noise import Noise
from sklearn_bigan._randomness import default_generators_seeded
from sklearn_bigan._views import views
from sklearn_bigan.networks import dcgan
from sklearn_bigan.networks.images import ImageShape, to_maps

CPU = torch.device("cpu")
UPDATES, BATCH, LEARNING_RATE, SEED = 1500, 128, 2e-3, 0


class Classifier(nn.Module):
    """The convolutions of DCGAN, a layer of features, and a logit for each class."""

    n_features = 128

    def __init__(self, image_shape: ImageShape, n_classes: int) -> None:
        super().__init__()
        self.image_shape = image_shape
        steps = dcgan.convolutions(image_shape, batch_norm=True)
        last = math.prod(dcgan.scales(image_shape)[-1])
        self.body = nn.Sequential(*steps, nn.Flatten(), nn.Linear(last, self.n_features), nn.ReLU())
        self.head = nn.Linear(self.n_features, n_classes)

    def features(self, x: Tensor) -> Tensor:
        """Return what the logits are made of."""
        return self.body(to_maps(x, self.image_shape))

    def forward(self, x: Tensor) -> Tensor:
        """Return logits."""
        return self.head(self.features(x))


def train_classifier(X: np.ndarray, y: np.ndarray, image_shape: ImageShape) -> Classifier:
    """Train on frames of the rows; always the same for the same data."""
    classes, labels = np.unique(y, return_inverse=True)
    with default_generators_seeded(SEED, CPU):
        model = Classifier(image_shape, len(classes)).train()
    noise = Noise(torch.device("cpu"), SEED)
    rows, targets = torch.from_numpy(X), torch.from_numpy(labels)
    batches = TensorBatches(torch.arange(len(rows)), BATCH, noise.generator)
    optimizer = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE, fused=True)
    epochs = -(-UPDATES // len(batches))
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, LEARNING_RATE, epochs=epochs, steps_per_epoch=len(batches)
    )
    for _ in range(epochs):
        for batch in batches:
            x = views(rows[batch], image_shape, ("crop",), noise, 1.0)
            optimizer.zero_grad()
            cross_entropy(model(x), targets[batch]).backward()
            optimizer.step()
            schedule.step()
    return model.eval()


def predict(model: Classifier, X: np.ndarray) -> np.ndarray:
    """Return the number of the likeliest class of each row."""
    return map_rows(model, X, CPU).argmax(1)


def frechet_distance(model: Classifier, A: np.ndarray, B: np.ndarray) -> float:
    """Squared Frechet distance of Gaussians fitted to the features of A and of B.

    |mean_A - mean_B|^2 + trace(C_A + C_B - 2 (C_A C_B)^(1/2)), Heusel et al. 2017, eq. 6; over the
    trace of C_A, so that 0 is the same and 1 about as far as from A to its own mean.
    """
    (mean_a, a), (mean_b, b) = (
        (found.mean(0), np.cov(found, rowvar=False))
        for found in (map_rows(model.features, X, CPU) for X in (A, B))
    )
    # The trace of the root is the sum of the roots of the eigenvalues, which are none below 0.
    root = np.sqrt(np.linalg.eigvals(a @ b).real.clip(min=0)).sum()
    distance = np.square(mean_a - mean_b).sum() + np.trace(a + b) - 2 * root
    return float(distance / np.trace(a))
