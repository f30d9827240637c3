"""The methods: each trains on X within a budget of one core's seconds.

All have the same number of components; all but PCA have the same networks and batch size.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from sklearn.base import TransformerMixin
from sklearn.decomposition import PCA
from skorch.callbacks import Callback

from sklearn_bigan import BiGANTransformer
from sklearn_bigan._batches import TensorBatches

# BiGAN's 2e-4, or 1e-3 where it did better on held-out training rows (`--validate`), by the
# accuracy of the linear probe with 100 labels on z: results/tuning.jsonl.
FASTER = {
    "digits": ("bigan", "ali"),
    "mnist": ("autoencoder", "latent_regression", "ali"),
}


@dataclass
class Trained:
    """A fitted transformer, and what it took."""

    model: TransformerMixin
    updates: int = 0
    seconds: float = 0.0


class Budget(Callback):
    """Stops training when this process has used up its seconds of CPU time.

    CPU time and not wall time: a busy machine then shortens nobody's training.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.updates = 0

    def on_train_begin(self, net: Any, **kwargs: Any) -> None:
        """Start the clock, on this net's own copy of the callback."""
        self.end = time.process_time() + self.seconds

    def on_batch_end(self, net: Any, **kwargs: Any) -> None:
        """Count, and stop as skorch's own callbacks do."""
        self.updates += 1
        if time.process_time() > self.end:
            raise KeyboardInterrupt


def bigan(X: np.ndarray, seconds: float, **parameters: Any) -> Trained:
    """Any method that is a setting of the estimator."""
    start = time.process_time()
    model = BiGANTransformer(
        callbacks=[("budget", Budget(seconds))], max_epochs=1_000_000, **parameters
    ).fit(X)
    updates = dict(model.net_.callbacks_)["budget"].updates
    return Trained(model, updates, time.process_time() - start)


def untrained(X: np.ndarray, seconds: float, **parameters: Any) -> Trained:
    """Initialise the networks and leave them: what an encoder is worth before it has learned."""
    return Trained(BiGANTransformer(max_epochs=0, **parameters).fit(X))


def autoencoder(X: np.ndarray, seconds: float, **parameters: Any) -> Trained:
    """E and G, the same networks, trained to minimise the squared error of G(E(x))."""
    start = time.process_time()
    model = BiGANTransformer(max_epochs=0, **parameters).fit(X)
    module = model.net_.module_.train()
    weights = [*module.encoder.parameters(), *module.generator.parameters()]
    optimizer = torch.optim.Adam(weights, lr=model.learning_rate, fused=True)
    order = torch.Generator().manual_seed(model.random_state)
    batches = TensorBatches(torch.from_numpy(X), model.batch_size, order)
    updates = 0
    while time.process_time() - start < seconds:
        for x in batches:
            optimizer.zero_grad()
            (module.generator(module.encoder(x)) - x).square().sum(1).mean().backward()
            optimizer.step()
            updates += 1
            if time.process_time() - start >= seconds:
                break
    module.eval()
    return Trained(model, updates, time.process_time() - start)


def pca(X: np.ndarray, seconds: float, n_components: int, random_state: int, **_: Any) -> Trained:
    """PCA with as many components."""
    start = time.process_time()
    model = PCA(n_components, random_state=random_state).fit(X)
    return Trained(model, 0, time.process_time() - start)


METHODS: dict[str, tuple[Callable[..., Trained], dict[str, Any]]] = {
    "pca": (pca, {}),
    "untrained": (untrained, {}),
    "autoencoder": (autoencoder, {}),
    "latent_regression": (bigan, {"inference": "latent_regression"}),
    "joint_latent_regression": (bigan, {"inference": "joint_latent_regression"}),
    "bigan": (bigan, {}),
    "ali": (bigan, {"posterior": "gaussian"}),
}


def learning_rate(data: str, method: str) -> float:
    """Return the method's learning rate, tuned as every other method's."""
    return 1e-3 if method in FASTER[data] else 2e-4
