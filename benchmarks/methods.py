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

# The learning rate of BiGAN's paper, or 1e-3 where it did better on held-out training rows
# (`--validate`), by the accuracy of the linear probe with 100 labels on z: results/tuning.jsonl.
FASTER = {
    "digits": ("bigan", "ali"),
    "mnist": ("autoencoder", "latent_regression", "ali"),
}

# What BiGAN and ALI did: the adversarial loss alone.
PUBLISHED: dict[str, Any] = {
    "prior": "normal",
    "cycle_weight": 0.0,
    "latent_cycle_weight": 0.0,
    "n_neighbors": 0,
    "ema_decay": 0.0,
}


@dataclass
class Trained:
    """A fitted transformer, and what it took."""

    model: TransformerMixin
    updates: int = 0
    seconds: float = 0.0


class Budget(Callback):
    """Counts updates, and stops training when this process has used up its seconds of CPU time.

    CPU time and not wall time: a busy machine then shortens nobody's training.
    """

    def __init__(self, end: float) -> None:
        self.end = end
        self.updates = 0

    def on_batch_end(self, net: Any, **kwargs: Any) -> None:
        """Count, and stop as skorch's own callbacks do."""
        self.updates += 1
        if time.process_time() > self.end:
            raise KeyboardInterrupt


def bigan(X: np.ndarray, seconds: float, **parameters: Any) -> Trained:
    """Any method that is a setting of the estimator, trained for as many epochs as it can pay."""
    epochs = affordable_epochs(X, seconds, **parameters)
    start = time.process_time()
    budget = Budget(start + 1.1 * seconds)  # should the machine turn slower than in the trial
    model = BiGANTransformer(callbacks=[("budget", budget)], max_epochs=epochs, **parameters)
    model.fit(X)
    updates = dict(model.net_.callbacks_)["budget"].updates
    return Trained(model, updates, time.process_time() - start)


def affordable_epochs(X: np.ndarray, seconds: float, **parameters: Any) -> int:
    """How many epochs fit into the seconds, by a trial: the learning rate falls towards the end.

    What does not grow with the number of epochs (the search for neighbours) is paid first.
    """

    def trial(epochs: int) -> float:
        start = time.process_time()
        BiGANTransformer(**parameters, max_epochs=epochs).fit(X)
        return time.process_time() - start

    few = 1 + 2000 // len(X)
    trial(0)
    once, thrice = trial(few), trial(3 * few)
    epoch = (thrice - once) / (2 * few)
    return max(1, int((seconds - once) / epoch + few))


def untrained(X: np.ndarray, seconds: float, **parameters: Any) -> Trained:
    """Initialise the networks and leave them: what an encoder is worth before it has learned."""
    return Trained(BiGANTransformer(max_epochs=0, **parameters).fit(X))


def autoencoder(X: np.ndarray, seconds: float, **parameters: Any) -> Trained:
    """E and G, the same networks, trained to minimise the squared error of G(E(x)).

    With the estimator's falling learning rate, at whose end batch statistics have settled.
    """
    start = time.process_time()
    model = BiGANTransformer(max_epochs=0, **parameters).fit(X)
    module = model.net_.averaged_.train()
    weights = [*module.encoder.parameters(), *module.generator.parameters()]
    optimizer = torch.optim.Adam(weights, lr=model.learning_rate, fused=True)
    order = torch.Generator().manual_seed(model.random_state)
    batches = TensorBatches(torch.from_numpy(X), model.batch_size, order)
    updates, spent = 0, 0.0
    while spent < 1:
        for x in batches:
            optimizer.param_groups[0]["lr"] = model.learning_rate * min(1, 2.02 - 2 * spent)
            optimizer.zero_grad()
            (module.generator(module.encoder(x)) - x).square().sum(1).mean().backward()
            optimizer.step()
            updates += 1
            spent = (time.process_time() - start) / seconds
            if spent >= 1:
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
    "latent_regression": (bigan, {**PUBLISHED, "inference": "latent_regression"}),
    "joint_latent_regression": (bigan, {**PUBLISHED, "inference": "joint_latent_regression"}),
    "bigan": (bigan, PUBLISHED),
    "ali": (bigan, {**PUBLISHED, "posterior": "gaussian"}),
    "default": (bigan, {}),
}


def learning_rate(data: str, method: str) -> float:
    """Return the method's learning rate, tuned as every other method's; the default's own."""
    return 1e-3 if method == "default" or method in FASTER[data] else 2e-4
