"""The methods: each trains on X within a budget, and answers with a `Model`.

All have the same number of components. All that have networks have those of the estimator.
"""

import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from math import inf
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from lines import RESULTS, Line, read
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.kernel_approximation import Nystroem
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import NearestNeighbors
from sklearn.pipeline import make_pipeline
from skorch.callbacks import Callback
from torch import Tensor

from quality.classifiers import (
    Predict,
    boosted_trees,
    label_spreading,
    poisson_learning,
    support_vector_machine,
)
from quality.neighbors import (
    both_ways,
    comparable,
    compared,
    nearness,
    neighbor_graph,
    walk,
)
from sklearn_bigan import BiGANTransformer
from sklearn_bigan._objectives.adversarial import logit_gradients
from sklearn_bigan.networks import dcgan
from sklearn_bigan.networks.images import pool, to_maps, to_rows

Rows = Callable[[np.ndarray], np.ndarray]

# Nystroem's features of more rows would take gigabytes.
LANDMARKS, KERNEL_ROWS = 1000, 60_000
CHUNK = 8192  # rows that networks are evaluated on at a time
AUTOENCODER_BATCH, LAST_LEARNING_RATE = 128, 0.01
SVC_ROWS = 20_000  # the time of a support vector machine grows faster than its rows
# Rows that compilers are warmed up with, and from which on UMAP's search for neighbors is another.
WARM_ROWS, UMAP_APPROXIMATES = 200, 4096


class Budget:
    """CPU time of this process, and the marks at which codes are measured on the way.

    CPU time rather than wall time, so that a busy machine shortens nobody's training. After each
    mark, in seconds, `look` measures a function that encodes rows.
    """

    def __init__(
        self,
        seconds: float = inf,
        marks: Sequence[float] = (),
        look: Callable[[Rows], Line] | None = None,
    ) -> None:
        self.seconds, self.marks, self.look = seconds, list(marks), look
        self.seen: list[Line] = []
        self.updates = 0
        self.start = time.process_time()

    def spent(self) -> float:
        """Return the seconds used so far."""
        return time.process_time() - self.start

    def check(self, encode: Rows) -> None:
        """Measure the codes if a mark has been passed; the time of that does not count."""
        spent, n_left = self.spent(), len(self.marks)
        self.marks = [mark for mark in self.marks if spent < mark]
        if len(self.marks) < n_left:
            took = {"seconds": round(spent, 1), "updates": self.updates}
            self.seen.append(took | {"z": self.look(encode)})
            self.start = time.process_time() - spent


class Watch(Callback):
    """Counts the estimator's updates, measures at the marks, and ends training with the budget."""

    def __init__(self, budget: Budget) -> None:
        self.budget = budget

    def on_batch_end(self, net: Any, **kwargs: Any) -> None:
        """Count, and stop as skorch's own callbacks do."""
        self.budget.updates += 1
        if self.budget.spent() >= self.budget.seconds:
            raise KeyboardInterrupt

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        """Measure the averaged encoder at the first end of an epoch after a mark."""
        self.budget.check(net.predict)


@dataclass
class Model:
    """What a fitted method can do; None for what it cannot.

    `encode` returns representations by name: codes "z", hidden features "hidden", both side by side
    "all", and those of a plain GAN's "discriminator". `sample` is given a number of rows.

    A classifier has no representations. Its `classify` is given the numbers of labeled training
    rows and their labels, and returns a function that predicts from what `encode` calls "rows".
    """

    encode: Callable[[np.ndarray], dict[str, np.ndarray]]
    transform: Rows | None = None  # for codes alone, where `encode` does more
    scaled: bool = True  # whether probes divide each code by its deviation, or all by one number
    reconstruct: Rows | None = None
    sample: Callable[[int], np.ndarray] | None = None
    decode: Rows | None = None
    predict_cluster: Rows | None = None
    classify: Callable[[np.ndarray, np.ndarray], Predict] | None = None
    most_labels: float = inf  # that `classify` is given
    estimator: BiGANTransformer | None = None
    budget: Budget = field(default_factory=Budget)


def mapped(function: Callable[[Tensor], Tensor], X: np.ndarray) -> np.ndarray:
    """Apply a function of tensors to all rows, a chunk at a time."""
    with torch.inference_mode():
        chunks = torch.from_numpy(np.asarray(X, dtype=np.float32)).split(CHUNK)
        return torch.cat([function(chunk) for chunk in chunks]).numpy()


def side_by_side(both: np.ndarray, n_components: int) -> dict[str, np.ndarray]:
    """Name the parts of codes followed by hidden features."""
    return {"z": both[:, :n_components], "hidden": both[:, n_components:], "all": both}


def estimator(X: np.ndarray, budget: Budget, **parameters: Any) -> Model:
    """Train the estimator as long as it wants, but not longer than the budget."""
    model = BiGANTransformer(callbacks=[Watch(budget)], **parameters).fit(X)

    def encode(X: np.ndarray) -> dict[str, np.ndarray]:
        both = model.set_params(features="all").transform(X)
        model.set_params(features="latent")
        found = side_by_side(both, model.n_components)
        if model.method == "latent_regression":
            found["discriminator"] = mapped(partial(discriminator_features, model), X)
        return found

    sample, clusters = (
        partial(model.sample, random_state=0),
        getattr(model, "predict_cluster", None),
    )
    return Model(
        encode,
        model.transform,
        reconstruct=model.reconstruct,
        sample=sample,
        decode=model.inverse_transform,
        predict_cluster=clusters,
        budget=budget,
        estimator=model,
    )


def discriminator_features(model: BiGANTransformer, x: Tensor) -> Tensor:
    """Return what a plain GAN's D, which sees x alone, makes of standardized rows or of images.

    Of images these are the pooled maps of all layers, as DCGAN's authors took them.
    """
    discriminator = model.net_.module_.discriminator.eval().cpu()
    body = discriminator.body
    if not isinstance(body, dcgan.DiscriminatorBody):
        return discriminator.features((x, x[:, :0]))
    maps = [to_maps(x, body.image_shape)]
    for layer in body.x_tower:
        maps.append(layer(maps[-1]))
    return torch.cat([to_rows(found) for found in pool(maps[1:])], dim=1)


def published(X: np.ndarray, budget: Budget, **parameters: Any) -> Model:
    """Train the estimator for as many epochs as the budget pays: the learning rate falls."""
    if budget.seconds == inf:
        return estimator(X, budget, **parameters)

    def trial(epochs: int) -> float:
        spent = Budget()
        BiGANTransformer(**parameters, max_epochs=epochs).fit(X)
        return spent.spent()

    few = 1 + 2000 // len(X)
    trial(0)  # what a process does once
    once, thrice = trial(few), trial(3 * few)
    n_epochs = max(1, int((budget.seconds - once) / (thrice - once) * 2 * few + few))
    # A little more is granted in case the machine is slower than in the trial.
    granted = Budget(1.1 * budget.seconds, budget.marks, budget.look)
    return estimator(X, granted, max_epochs=n_epochs, **parameters)


def altered(changes: dict[str, Any], X: np.ndarray, budget: Budget, **parameters: Any) -> Model:
    """Train the estimator with names of the package, such as "_parameters.EMA_DECAY", replaced."""
    with ExitStack() as stack:
        for name, value in changes.items():
            stack.enter_context(mock.patch(f"sklearn_bigan.{name}", value))
        return estimator(X, budget, **parameters)


def of_discriminator(encoder_logits: Tensor, generator_logits: Tensor) -> tuple[Tensor, Tensor]:
    """Return the gradients at the logits for a D that E and G learn nothing from."""
    of_d, of_eg = logit_gradients(encoder_logits, generator_logits)
    return of_d, torch.zeros_like(of_eg)


def autoencoder(
    X: np.ndarray,
    budget: Budget,
    *,
    learning_rate: float,
    random_state: int,
    neighbors: bool = False,
    **parameters: Any,
) -> Model:
    """Minimize the squared error of G(E(x)), or with `neighbors` that of a neighbor of x.

    E and G are the estimator's untrained networks, trained by plain torch until the budget ends.
    The learning rate falls in the second half. Rows must be images in [0, 1] or standardized.
    """
    start = BiGANTransformer(max_epochs=0, random_state=random_state, **parameters).fit(X)
    E, G = start.net_.module_.encoder.train(), start.net_.module_.generator.train()
    random = np.random.default_rng(random_state)
    rows = torch.from_numpy(X)
    if neighbors:
        graph = neighbor_graph(compared(X, random_state))
    weights = [*E.parameters(), *G.parameters()]
    optimizer = torch.optim.Adam([w for w in weights if w.requires_grad], lr=learning_rate)

    def encode_codes(X: np.ndarray) -> np.ndarray:
        codes = mapped(E.eval(), X)
        E.train()
        return codes

    for here in batches(len(X), random):
        there = walk(graph, here, 2, random) if neighbors else here
        share = max(LAST_LEARNING_RATE, min(1.0, 2 * (1 - budget.spent() / budget.seconds)))
        optimizer.param_groups[0]["lr"] = learning_rate * share
        optimizer.zero_grad()
        (G(E(rows[here])) - rows[there]).square().sum(1).mean().backward()
        optimizer.step()
        budget.updates += 1
        budget.check(encode_codes)
        if budget.spent() >= budget.seconds:
            break
    E.eval(), G.eval()

    def encode(X: np.ndarray) -> dict[str, np.ndarray]:
        both = mapped(lambda x: torch.cat([E(x), E.hidden_and_pooled(x)[1]], dim=1), X)
        return side_by_side(both, start.n_components)

    reconstruct, decode = partial(mapped, lambda x: G(E(x))), partial(mapped, G)
    return Model(encode, partial(mapped, E), reconstruct=reconstruct, decode=decode, budget=budget)


def batches(n_rows: int, random: np.random.Generator) -> Iterator[np.ndarray]:
    """Yield batches of all rows in new orders for ever; each has two rows at least."""
    cuts = list(range(AUTOENCODER_BATCH, n_rows - 1, AUTOENCODER_BATCH))
    while True:
        yield from np.split(random.permutation(n_rows), cuts)


def plain(
    make: Callable[..., Any],
    X: np.ndarray,
    budget: Budget,
    n_components: int,
    scaled: bool = True,
    **parameters: Any,
) -> Model:
    """Fit a scikit-learn transformer or clusterer; its codes may be probed as they are scaled."""
    model = make(n_components, **parameters).fit(X[:KERNEL_ROWS] if make is nystroem else X)

    back, predict = (getattr(model, name, None) for name in ("inverse_transform", "predict"))
    reconstruct = None if back is None else lambda X: back(model.transform(X))
    return Model(
        lambda X: {"z": model.transform(X)},
        scaled=scaled,
        reconstruct=reconstruct,
        predict_cluster=predict,
        budget=budget,
    )


def nystroem(n_components: int, random_state: int) -> Any:
    """Make a PCA with a Gaussian kernel, approximated by landmarks."""
    kernel = Nystroem(n_components=LANDMARKS, random_state=random_state)
    return make_pipeline(kernel, PCA(n_components, random_state=random_state))


def clusterer(
    kind: str, on_pca: bool, n_components: int, random_state: int, n_clusters: int
) -> Any:
    """Make a k-means, or a mixture of Gaussians whose axes are the columns, of rows or codes."""
    model = KMeans(n_clusters, random_state=random_state)
    if kind == "Gaussian mixture":
        model = GaussianMixture(n_clusters, covariance_type="diag", random_state=random_state)
    return make_pipeline(PCA(n_components, random_state=random_state), model) if on_pca else model


def points(X: np.ndarray, budget: Budget, *, by: str = "", **parameters: Any) -> Model:
    """Return the rows themselves, or the points by whose distances they are compared."""
    seed = parameters["random_state"]
    return Model(lambda X: {"z": comparable(X, by, seed) if by else X}, budget=budget)


def installed(name: str) -> Any:
    """Import a package of the extra `bench`, or say that it is missing."""
    try:
        return import_module(name)
    except ImportError as error:
        raise SystemExit(f'{name} is missing: python -m pip install -e ".[bench]"') from error


def warm(make: Callable[[], Any], X: np.ndarray) -> Budget:
    """Have numba compile what fits and transforms; return a budget whose time begins after that.

    A process compiles once, for up to minutes, or reads what others have compiled. That is no part
    of the time of fitting.
    """
    installed("numba").set_num_threads(1)
    few = np.random.default_rng(0).permutation(X)[:WARM_ROWS]
    make().fit(few).transform(few[:2])
    return Budget()


def umap(X: np.ndarray, budget: Budget, *, n_components: int, random_state: int) -> Model:
    """Fit UMAP as it comes; training rows keep the codes that they were fitted with."""
    make = partial(
        installed("umap").UMAP, n_components=n_components, random_state=random_state, n_jobs=1
    )
    approximates = len(X) >= UMAP_APPROXIMATES
    budget = warm(partial(make, force_approximation_algorithm=approximates), X)
    model = make().fit(X)
    return Model(lambda X: {"z": model.transform(X)}, budget=budget)


def umap_of_hidden(
    X: np.ndarray, budget: Budget, *, n_components: int, random_state: int, **parameters: Any
) -> Model:
    """Fit UMAP on hidden features of the estimator."""
    ours = {"n_components": n_components, "random_state": random_state, **parameters}
    model = estimator(X, budget, **ours)
    embedding = umap(
        model.encode(X)["hidden"], budget, n_components=n_components, random_state=random_state
    )
    return Model(lambda X: embedding.encode(model.encode(X)["hidden"]), budget=budget)


def pacmap(X: np.ndarray, budget: Budget, *, n_components: int, random_state: int) -> Model:
    """Fit PaCMAP as it comes, and keep its search tree; training rows keep their fitted codes."""
    make = partial(
        installed("pacmap").PaCMAP, n_components, random_state=random_state, save_tree=True
    )
    budget = warm(make, X)
    model, fitted = make().fit(X), X

    def encode(X: np.ndarray) -> dict[str, np.ndarray]:
        return {"z": model.embedding_ if X is fitted else model.transform(X)}

    return Model(encode, budget=budget)


def transductive(
    spread: Callable[..., np.ndarray],
    X: np.ndarray,
    budget: Budget,
    *,
    n_components: int,
    random_state: int,
) -> Model:
    """Spread labels to all training rows over their nearest neighbors, the nearer the more.

    Any other row gets the label of the nearest training row.
    """
    points = compared(X, random_state)
    neighbors = neighbor_graph(points)
    graph = both_ways(neighbors, nearness(points, neighbors).astype(float))
    nearest = NearestNeighbors(n_neighbors=1, algorithm="brute").fit(X)

    def encode(X: np.ndarray) -> dict[str, np.ndarray]:
        return {"rows": nearest.kneighbors(X, return_distance=False)[:, 0]}

    def classify(rows: np.ndarray, y: np.ndarray) -> Predict:
        return spread(graph, rows, y).__getitem__

    return Model(encode, classify=classify, budget=budget)


def supervised(
    train: Callable[..., Predict],
    X: np.ndarray,
    budget: Budget,
    *,
    n_components: int,
    random_state: int,
    most_labels: float = inf,
) -> Model:
    """Train a classifier on the columns of labeled rows alone."""

    def classify(rows: np.ndarray, y: np.ndarray) -> Predict:
        return train(X[rows], y, random_state)

    return Model(lambda X: {"rows": X}, classify=classify, most_labels=most_labels, budget=budget)


@dataclass(frozen=True)
class Method:
    """How a method trains.

    `fit` returns a `Model`, given X, the budget, `n_components`, `random_state` and the parameters.
    The kind says whether the method is a `BiGANTransformer` ("estimator"), whose parameters a line
    of results has, has only its "networks", or is any "other" one.
    """

    fit: Callable[..., Model]
    parameters: dict[str, Any] = field(default_factory=dict)
    kind: str = "estimator"

    @property
    def tuned(self) -> bool:
        """Whether the learning rate is the one that did best on held-out training rows."""
        return self.kind == "networks" or self.parameters.get("learning_rate") == "tuned"


other = partial(Method, kind="other")
# What the ladder changes in the default: parameters, or constants and functions of the package.
LADDER: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "no contrast": ({"consistency_weight": 0.0}, {}),
    "no cycles": ({"cycle_weight": 0.0}, {}),
    "no latent cycle": ({}, {"_parameters.LATENT_CYCLE_WEIGHT": 0.0}),
    "no adversarial loss": ({}, {"_objectives.adversarial.logit_gradients": of_discriminator}),
    "adversarial loss alone": ({"cycle_weight": 0.0, "consistency_weight": 0.0}, {}),
    "normal prior": ({"prior": "normal"}, {}),
    "no averaged weights": ({}, {"_parameters.EMA_DECAY": 0.0}),
    "all rows in all losses": ({}, {"_objectives.bigan.every_other": lambda n_rows: slice(None)}),
    "outliers as they are": (
        {},
        {"_data.statistics.CLIPPED_AT": inf, "_data.statistics.SQUASHED_INTO": inf},
    ),
    "Gaussian posterior": ({"posterior": "gaussian"}, {}),
    "100 clusters": ({"prior": 100}, {}),
}
METHODS: dict[str, Method] = {
    "pixels": other(points),
    "columns": other(points),
    "pca": other(partial(plain, PCA)),
    "pca_whitened": other(partial(plain, partial(PCA, whiten=True))),
    "pca_own_scales": other(partial(plain, PCA), {"scaled": False}),
    "nystroem": other(partial(plain, nystroem)),
    "umap": other(umap),
    "umap_of_hidden": Method(umap_of_hidden),
    "pacmap": other(pacmap),
    "label_spreading": other(partial(transductive, label_spreading)),
    "poisson_learning": other(partial(transductive, poisson_learning)),
    "svc": other(partial(supervised, support_vector_machine), {"most_labels": SVC_ROWS}),
    "hist_gradient_boosting": other(partial(supervised, boosted_trees)),
    "untrained": Method(estimator, {"max_epochs": 0}),
    "autoencoder": Method(autoencoder, kind="networks"),
    "neighbor_autoencoder": Method(autoencoder, {"neighbors": True}, kind="networks"),
    "latent_regression": Method(published, {"method": "latent_regression"}),
    "joint_latent_regression": Method(published, {"method": "joint_latent_regression"}),
    "bigan": Method(published, {"method": "bigan"}),
    "bigan_tuned": Method(published, {"method": "bigan", "learning_rate": "tuned"}),
    "ali": Method(published, {"method": "ali"}),
    "ali_networks": Method(published, {"method": "ali", "network": "ali"}),
    "ali_tuned": Method(published, {"method": "ali", "learning_rate": "tuned"}),
    "default": Method(estimator),
    "whole_budget": Method(published),
    "close_pictures": Method(estimator, {"cycle_weight": 150}),
    **{
        kind + " on PCA" * on_pca: other(partial(plain, partial(clusterer, kind, on_pca)))
        for kind in ("k-means", "Gaussian mixture")
        for on_pca in (False, True)
    },
    "correlation": other(points, {"by": "correlation"}),
    "distance": other(points, {"by": "distance"}),
    **{
        step: Method(partial(altered, changes), parameters)
        for step, (parameters, changes) in LADDER.items()
    },
}


def learning_rate(data: str, method: str, images: bool = False, results: Path = RESULTS) -> float:
    """Return the rate that did best on held-out training rows, from the results of `tuning`.

    Best by the median accuracy of the linear probe with 100 labels on z, or with all labels where
    there are not so many; of convolutional networks by the support vector machine with 1000 or
    else 100 labels on hidden features. On a data set that was not tried, the rate that most others
    chose; 1e-3 if none was tried.
    """
    method = method.removesuffix("_tuned")
    tried: dict[str, dict[float, list[float]]] = defaultdict(lambda: defaultdict(list))
    for path in sorted(results.glob("images_tuning*.jsonl" if images else "tuning*.jsonl")):
        for line in read(path):
            if line["method"].removesuffix("_tuned") == method:
                place = (line["hidden"] if images else None) or line["z"]
                first, second = ("svm_1000", "svm_100") if images else ("linear_100", "linear_all")
                worth = place[second] if place[first] is None else place[first]
                tried[line["data"]][line["learning_rate"]].append(worth)
    best = {
        name: max(rates, key=lambda rate, rates=rates: statistics.median(rates[rate]))
        for name, rates in tried.items()
    }
    return best.get(data) or (statistics.mode(best.values()) if best else 1e-3)
