"""What training, encoding and keeping a model cost, beside peers in the same run.

    bigan, bigan_compiled  BiGANTransformer(method="bigan"), as it comes and compiled
    default              BiGANTransformer as it comes, at the same width of layers
    textbook             the loop of a tutorial: D's step on fresh pairs, then E's and G's step on
                         fresh pairs; batches are slices of a shuffled tensor
    textbook_dataloader  the same with torch's DataLoader
    mlp_autoencoder      scikit-learn's MLPRegressor, from X to X

All have the same two hidden layers in every network, and 128 rows in an update. In every round each
takes its turn; figures are medians over rounds and, of ratios, medians of the rounds' ratios, with
the least and the greatest.

- `training`: rows a second, by the difference between a fit of many epochs and one of a single
  epoch, so that what is done once for each fit does not count.
- `predict`: rows a second of 100,000; `one_row_seconds`: of a call with one row.
- `peak_megabytes`: of a process that trains, above what it held after its imports (Linux).
- `pickle_bytes`: of the fitted model. `parameters`: weights trained.
"""

import pickle
import statistics
import warnings
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import numpy as np
import torch
from sklearn.neural_network import MLPRegressor
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits as bce
from torch.utils.data import DataLoader, TensorDataset

from sklearn_bigan import BiGANTransformer
from speed.clock import Figures, in_fresh_process, seconds, spread

BATCH, LEARNING_RATE = 128, 2e-4
# Columns, components, hidden layers.
SHAPES = {"small": (20, 8, (64, 64)), "table": (20, 8, (256, 256)), "images": (784, 50, (256, 256))}
N_ROWS, N_EPOCHS = 32 * BATCH, 2
MANY_ROWS, ONE_ROW_CALLS = 100_000, 50
OURS = ("bigan", "bigan_compiled", "default")
# Times as many epochs where compiling takes seconds, and not always as many.
LONGER = {"bigan_compiled": 20}

Seconds = dict[str, list[float]]


class Ours:
    """BiGANTransformer. `predict` gives codes, as that of the textbook does."""

    def __init__(self, n_components: int, widths: tuple[int, int], **recipe: Any) -> None:
        self.recipe = {
            **{"n_components": n_components, "hidden_layer_sizes": widths},
            # In the default each row has a partner.
            "batch_size": BATCH if "method" in recipe else BATCH // 2,
            **{"random_state": 0, "device": "cpu"},
            **recipe,
        }

    def fit(self, X: np.ndarray, n_epochs: int) -> None:
        """Train from scratch."""
        self.model = BiGANTransformer(**self.recipe, max_epochs=n_epochs).fit(X)
        module = self.model.net_.module_
        self.networks = module.encoder, module.generator, module.discriminator
        self.n_weights = sum(w.numel() for part in self.networks for w in part.parameters())

    def predict(self, X: np.ndarray) -> np.ndarray:
        """Encode."""
        return self.model.transform(X)


class Textbook(Ours):
    """The loop of a tutorial on BiGAN, on the networks that the estimator makes."""

    def __init__(self, n_components: int, widths: tuple[int, int], loader: bool = False) -> None:
        super().__init__(n_components, widths, method="bigan")
        self.n_components, self.loader = n_components, loader

    def fit(self, X: np.ndarray, n_epochs: int) -> None:
        """Train from scratch by torch's Adam, with the betas of both papers."""
        super().fit(X, 0)
        E, G, D = [network.train() for network in self.networks]
        self.model = E
        adam = partial(torch.optim.Adam, lr=LEARNING_RATE, betas=(0.5, 0.999))
        of_d, of_eg = adam(D.parameters()), adam([*E.parameters(), *G.parameters()])
        rows = torch.from_numpy(X)
        for _ in range(n_epochs):
            d_sum = eg_sum = 0.0
            for x in slices(rows, self.loader):
                real, fake = torch.ones(len(x)), torch.zeros(len(x))
                z = torch.randn(len(x), self.n_components)
                with torch.no_grad():
                    z_hat, x_hat = E(x), G(z)
                d_loss = bce(D((x, z_hat)), real) + bce(D((x_hat, z)), fake)
                of_d.zero_grad()
                d_loss.backward()
                of_d.step()

                z = torch.randn(len(x), self.n_components)
                eg_loss = bce(D((x, E(x))), fake) + bce(D((G(z), z)), real)
                of_eg.zero_grad()
                eg_loss.backward()
                of_eg.step()

                d_sum += d_loss.item()
                eg_sum += eg_loss.item()
        E.eval()

    def predict(self, X: np.ndarray) -> np.ndarray:
        """Encode all rows at once."""
        with torch.no_grad():
            return self.model(torch.from_numpy(X)).numpy()


def slices(rows: Tensor, loader: bool) -> Iterable[Tensor]:
    """One epoch, rows in a new order and a batch at a time, by torch's DataLoader or without."""
    if loader:
        return (x for (x,) in DataLoader(TensorDataset(rows), batch_size=BATCH, shuffle=True))
    return (rows[part] for part in torch.randperm(len(rows)).split(BATCH))


class MLPAutoencoder:
    """MLPRegressor through a layer of n_components; `predict` reconstructs."""

    def __init__(self, n_components: int, widths: tuple[int, int]) -> None:
        self.layers = (*widths, n_components, *widths[::-1])

    def fit(self, X: np.ndarray, n_epochs: int) -> None:
        """Train from scratch."""
        how = {"batch_size": BATCH, "max_iter": n_epochs, "n_iter_no_change": n_epochs + 1}
        self.model = MLPRegressor(hidden_layer_sizes=self.layers, random_state=0, **how)
        self.model.fit(X, X)
        self.n_weights = sum(w.size for w in self.model.coefs_ + self.model.intercepts_)

    def predict(self, X: np.ndarray) -> np.ndarray:
        """Reconstruct."""
        return self.model.predict(X)


PEERS: dict[str, Callable[[int, tuple[int, int]], Any]] = {
    "bigan": partial(Ours, method="bigan"),
    "bigan_compiled": partial(Ours, method="bigan", compile=True),
    "default": Ours,
    "textbook": Textbook,
    "textbook_dataloader": partial(Textbook, loader=True),
    "mlp_autoencoder": MLPAutoencoder,
}


def make(n_rows: int, n_columns: int) -> np.ndarray:
    """Make rows near a curved surface of eight dimensions, columns of about unit variance."""
    random = np.random.default_rng(0)
    points = np.tanh(random.normal(size=(n_rows, 8))) @ random.normal(size=(8, n_columns)) / 2
    return (points + 0.3 * random.normal(size=points.shape)).astype(np.float32)


def beside(took: Seconds, n_rows: int) -> Figures:
    """Return rows a second, and how many times those of each other one ours has."""
    return {
        name: {"rows_a_second": spread(n_rows / s for s in own)}
        | {
            f"{ours}_times": spread(s / o for s, o in zip(own, took[ours], strict=True))
            for ours in OURS
            if ours in took
        }
        for name, own in took.items()
    }


def compare(n_columns: int, n_components: int, widths: tuple[int, int], rounds: int) -> Figures:
    """Measure all that is measured within one process."""
    X, many = make(N_ROWS, n_columns), make(MANY_ROWS, n_columns)
    peers = {name: peer(n_components, widths) for name, peer in PEERS.items()}

    def training(name: str) -> float:
        times = LONGER.get(name, 1)
        short = seconds(lambda: peers[name].fit(X, 1))
        return (seconds(lambda: peers[name].fit(X, 1 + times * N_EPOCHS)) - short) / times

    def one_row(name: str) -> float:
        calls = (seconds(lambda: peers[name].predict(many[:1])) for _ in range(ONE_ROW_CALLS))
        return statistics.median(calls)

    def in_turn(measure: Callable[[str], float]) -> Seconds:
        said = [{name: measure(name) for name in peers} for _ in range(rounds)]
        return {name: [of_round[name] for of_round in said] for name in peers}

    for peer in peers.values():
        peer.fit(X, 1)  # what a process does once
    trained, latency = in_turn(training), in_turn(one_row)
    predicted = in_turn(lambda name: seconds(lambda: peers[name].predict(many)))
    return {
        "parameters": {name: peer.n_weights for name, peer in peers.items()},
        "training": beside(trained, N_EPOCHS * N_ROWS),
        "predict": beside(predicted, MANY_ROWS),
        "one_row_seconds": {name: spread(took) for name, took in latency.items()},
        "pickle_bytes": {name: len(pickle.dumps(peer.model)) for name, peer in peers.items()},
    }


def train_once(name: str, shape: str) -> None:
    """Train a peer for one epoch."""
    n_columns, n_components, widths = SHAPES[shape]
    PEERS[name](n_components, widths).fit(make(N_ROWS, n_columns), 1)


def of_shape(shape: str, *, device: str, rounds: int = 5) -> Figures:
    """Compare all peers on one shape."""
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a few epochs converge nowhere
        figures = compare(*SHAPES[shape], rounds)
    figures["peak_megabytes"] = {
        name: in_fresh_process(train_once, name, shape)["peak_megabytes"] for name in PEERS
    }
    about = dict(zip(("columns", "components", "widths"), SHAPES[shape], strict=True))
    about |= {"rows": N_ROWS, "epochs": N_EPOCHS, "batch_size": BATCH, "rounds": rounds}
    return about | figures


PARTS = {shape: partial(of_shape, shape) for shape in SHAPES}
