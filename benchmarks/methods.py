"""The methods: each trains on X within a budget of one core's seconds.

All have the same number of components; all but PCA and Nystroem have the same networks and batch
size. `marks` are seconds on the way after which the networks are to be measured, too.
"""

import statistics
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
import trained
from autoencoders import autoencoder
from budget import Budget, Watch
from runs import RESULTS, read
from sklearn.decomposition import PCA
from sklearn.kernel_approximation import Nystroem
from trained import Trained

from sklearn_bigan import BiGANTransformer

# What BiGAN and ALI did: the adversarial loss alone.
PUBLISHED: dict[str, Any] = {
    "prior": "normal",
    "cycle_weight": 0.0,
    "latent_cycle_weight": 0.0,
    "n_neighbors": 0,
    "augmentations": None,
    "ema_decay": 0.0,
}

LANDMARKS = 1000
# Training rows that Nystroem's features are computed of at once: of more they take gigabytes.
KERNEL_ROWS = 60_000


def pca(
    X: np.ndarray,
    seconds: float,
    marks: Sequence[float],
    *,
    n_components: int,
    random_state: int,
    **_: Any,
) -> Trained:
    """PCA with as many components."""
    budget = Budget(seconds)
    model = PCA(n_components, random_state=random_state).fit(X)
    return Trained(
        lambda X: {"z": model.transform(X)},
        lambda X: model.inverse_transform(model.transform(X)),
        seconds=budget.spent(),
    )


def nystroem(
    X: np.ndarray,
    seconds: float,
    marks: Sequence[float],
    *,
    n_components: int,
    random_state: int,
    **_: Any,
) -> Trained:
    """PCA with a Gaussian kernel, approximated by landmarks; without a way back."""
    budget = Budget(seconds)
    X = X[:KERNEL_ROWS]
    kernel = Nystroem(n_components=min(LANDMARKS, len(X)), random_state=random_state)
    model = PCA(n_components, random_state=random_state).fit(kernel.fit_transform(X))
    return Trained(lambda X: {"z": model.transform(kernel.transform(X))}, seconds=budget.spent())


def untrained(X: np.ndarray, seconds: float, marks: Sequence[float], **parameters: Any) -> Trained:
    """Initialise the networks and leave them: what an encoder is worth before it has learned."""
    net = BiGANTransformer(max_epochs=0, **parameters).fit(X).net_
    return trained.bigan(net.averaged_, net.module_.encoder.prior)


def estimator(
    X: np.ndarray,
    seconds: float,
    marks: Sequence[float],
    *,
    view: Callable[..., Trained] = trained.bigan,
    **parameters: Any,
) -> Trained:
    """Any setting of the estimator, trained as long as it wants, the budget at most."""
    watch = Watch(Budget(seconds, marks))
    model = BiGANTransformer(callbacks=[("watch", watch)], **parameters).fit(X)
    watch = dict(model.net_.callbacks_)["watch"]  # fit has used a copy
    prior = model.net_.module_.encoder.prior.cpu()
    return view(
        model.net_.averaged_.cpu(),
        prior,
        seconds=watch.budget.spent(),
        updates=watch.updates,
        checkpoints=[view(module, prior, **took) for module, took in watch.kept],
    )


def published(
    X: np.ndarray,
    seconds: float,
    marks: Sequence[float],
    *,
    view: Callable[..., Trained] = trained.bigan,
    **parameters: Any,
) -> Trained:
    """Any setting of the estimator, for as many epochs as it can pay: the learning rate falls."""
    epochs = affordable_epochs(X, seconds, **parameters)
    # Should the machine turn slower than in the trial, a little more is granted.
    return estimator(X, 1.1 * seconds, marks, view=view, max_epochs=epochs, **parameters)


def affordable_epochs(X: np.ndarray, seconds: float, **parameters: Any) -> int:
    """How many epochs fit into the seconds, by a trial.

    What does not grow with the number of epochs is paid first.
    """

    def trial(epochs: int) -> float:
        budget = Budget(seconds)
        BiGANTransformer(**parameters, max_epochs=epochs).fit(X)
        return budget.spent()

    few = 1 + 2000 // len(X)
    trial(0)
    once, thrice = trial(few), trial(3 * few)
    epoch = (thrice - once) / (2 * few)
    return max(1, int((seconds - once) / epoch + few))


def round_nothing() -> None:
    """Let a GPU's convolutions take factors as they are, as those of a CPU do."""
    torch.backends.cudnn.allow_tf32 = False


METHODS: dict[str, tuple[Callable[..., Trained], dict[str, Any]]] = {
    "pca": (pca, {}),
    "nystroem": (nystroem, {}),
    "untrained": (untrained, {}),
    "autoencoder": (autoencoder, {}),
    "neighbor_autoencoder": (autoencoder, {"neighbors": True}),
    "latent_regression": (
        published,
        {**PUBLISHED, "inference": "latent_regression", "view": trained.plain_gan},
    ),
    "joint_latent_regression": (published, {**PUBLISHED, "inference": "joint_latent_regression"}),
    "bigan": (published, PUBLISHED),
    "ali": (published, {**PUBLISHED, "posterior": "gaussian"}),
    "default": (estimator, {}),
}


def learning_rate(data: str, method: str) -> float:
    """Return the rate that did best on held-out training rows; the default has its own.

    Best by the median accuracy of the linear probe with 100 labels on z, with all labels where
    there are not so many. Where the data set was not tried, the rate that others chose most often.
    """
    if method == "default":
        return BiGANTransformer().learning_rate
    tried: dict[str, dict[float, list[float]]] = defaultdict(lambda: defaultdict(list))
    for line in read(RESULTS / "tuning.jsonl"):
        if line["method"] == method:
            few = line["z"]["linear_100"]
            worth = line["z"]["linear_all"] if few is None else few
            tried[line["data"]][line["learning_rate"]].append(worth)
    best = {
        name: max(rates, key=lambda rate: statistics.median(rates[rate]))
        for name, rates in tried.items()
    }
    return best.get(data) or (statistics.mode(best.values()) if best else 1e-3)
