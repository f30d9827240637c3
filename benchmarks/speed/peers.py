"""What training, encoding, importing and keeping a model cost, beside peers in the same run.

    bigan, bigan_compiled  BiGANTransformer(method="bigan"), as it comes and compiled
    default              BiGANTransformer as it comes, at the same width of layers
    textbook             the loop of a tutorial: D's step on fresh pairs, then E's and G's step on
                         fresh pairs; batches are slices of a shuffled tensor
    textbook_dataloader  the same with torch's DataLoader
    mlp_autoencoder      scikit-learn's MLPRegressor, from X to X
    pyod_alad            PyOD's ALAD, of BiGAN's family, with two more discriminators
    pythae_vae           pythae's VAE and its trainer

All have the same two hidden layers in every network, and 128 rows in an update. Those of PyOD and
of pythae are left out where they are not installed. In every round each takes its turn; figures are
medians over rounds and, of ratios, medians of the rounds' ratios, with the least and the greatest.

- `training`: rows a second, by the difference between a fit of many epochs and one of a single
  epoch, so that what is done once for each fit does not count.
- `predict`: rows a second of 100,000; `one_row_seconds`: of a call with one row.
- `peak_megabytes`: of a process that trains, above what it held after its imports (Linux).
- `pickle_bytes`: of the fitted model. `parameters`: weights trained.
- `import_seconds`: above a process that imports nothing; `loaded`: large packages loaded then.
"""

import contextlib
import importlib.util
import io
import logging
import pickle
import statistics
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from importlib.metadata import version
from typing import Any

import numpy as np
import torch
from sklearn.neural_network import MLPRegressor
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits as bce
from torch.utils.data import DataLoader, TensorDataset

from sklearn_bigan import BiGANTransformer
from speed.clock import Figures, in_fresh_process, seconds, spread

BATCH, LEARNING_RATE = 128, 2e-4
# Columns, components, hidden layers.
SHAPES = {
    "small": (20, 8, (64, 64)),
    "table": (20, 8, (256, 256)),
    "images": (784, 50, (256, 256)),
}
N_ROWS, N_EPOCHS = 32 * BATCH, 2
MANY_ROWS, ONE_ROW_CALLS = 100_000, 50
OURS = ("bigan", "bigan_compiled", "default")
# Times as many epochs where compiling takes seconds, and not always as many.
LONGER = {"bigan_compiled": 20}
IMPORTS = {
    **{"sklearn_bigan": "sklearn_bigan", "sklearn": "sklearn", "torch": "torch"},
    **{"skorch": "skorch", "mlp_autoencoder": "sklearn.neural_network"},
    **{"pyod_alad": "pyod.models.alad", "pythae_vae": "pythae.models"},
}
LARGE = ("matplotlib", "pandas", "distributed", "dask", "polars", "numba")

Seconds = dict[str, list[float]]


class Ours:
    """BiGANTransformer. `predict` gives codes, as that of the others unless they say otherwise."""

    def __init__(self, n_components: int, widths: tuple[int, int], **recipe: Any) -> None:
        batch_size = BATCH if "method" in recipe else BATCH // 2  # each row has a partner
        fixed = {"batch_size": batch_size, "random_state": 0, "device": "cpu"}
        self.recipe = {
            "n_components": n_components,
            "hidden_layer_sizes": widths,
            **fixed,
            **recipe,
        }

    def fit(self, X: np.ndarray, n_epochs: int) -> None:
        """Train from scratch."""
        self.model = BiGANTransformer(**self.recipe, max_epochs=n_epochs).fit(X)
        module = self.model.net_.module_
        self.networks: list[Any] = [module.encoder, module.generator, module.discriminator]

    def predict(self, X: np.ndarray) -> np.ndarray:
        """Encode."""
        return self.model.transform(X)


class Textbook:
    """The loop of a tutorial on BiGAN, on the networks that the estimator makes."""

    def __init__(
        self,
        n_components: int,
        widths: tuple[int, int],
        batches: Callable[[Tensor], Iterable[Tensor]],
    ) -> None:
        self.n_components, self.batches = n_components, batches
        self.ours = Ours(n_components, widths, method="bigan")

    def fit(self, X: np.ndarray, n_epochs: int) -> None:
        """Train from scratch by torch's Adam, with the betas of both papers."""
        self.ours.fit(X, 0)
        self.networks = E, G, D = [network.train() for network in self.ours.networks]
        self.model = E
        of_d, of_eg = (
            torch.optim.Adam(
                [weight for network in networks for weight in network.parameters()],
                lr=LEARNING_RATE,
                betas=(0.5, 0.999),
            )
            for networks in ([D], [E, G])
        )
        rows = torch.from_numpy(X)
        for _ in range(n_epochs):
            d_sum = eg_sum = 0.0
            for x in self.batches(rows):
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


def slices(rows: Tensor) -> Iterable[Tensor]:
    """One epoch: rows in a new order, a batch at a time."""
    return (rows[part] for part in torch.randperm(len(rows)).split(BATCH))


def loaded(rows: Tensor) -> Iterable[Tensor]:
    """One epoch by torch's DataLoader."""
    loader = DataLoader(TensorDataset(rows), batch_size=BATCH, shuffle=True)
    return (x for (x,) in loader)


class MLPAutoencoder:
    """MLPRegressor through a layer of n_components; `predict` reconstructs."""

    def __init__(self, n_components: int, widths: tuple[int, int]) -> None:
        self.layers = (*widths, n_components, *widths[::-1])

    def fit(self, X: np.ndarray, n_epochs: int) -> None:
        """Train from scratch."""
        how = {"batch_size": BATCH, "max_iter": n_epochs, "n_iter_no_change": n_epochs + 1}
        self.model = MLPRegressor(hidden_layer_sizes=self.layers, random_state=0, **how)
        self.model.fit(X, X)
        self.networks = [self.model.coefs_, self.model.intercepts_]

    def predict(self, X: np.ndarray) -> np.ndarray:
        """Reconstruct."""
        return self.model.predict(X)


class PyodALAD:
    """PyOD's ALAD, whose "epoch" is one batch; `predict` scores by both networks and a D."""

    def __init__(self, n_components: int, widths: tuple[int, int]) -> None:
        from pyod.models.alad import ALAD

        self.parts = ("enc", "dec", "disc_xx", "disc_zz", "disc_xz")
        layers = dict.fromkeys([f"{part}_layers" for part in self.parts], widths)
        self.make = partial(ALAD, latent_dim=n_components, batch_size=BATCH, device="cpu", **layers)

    def fit(self, X: np.ndarray, n_epochs: int) -> None:
        """Train from scratch."""
        self.model = self.make(epochs=n_epochs * (len(X) // BATCH)).fit(X)
        self.networks = [getattr(self.model, part) for part in self.parts]

    def predict(self, X: np.ndarray) -> np.ndarray:
        """Score."""
        return self.model.decision_function(X)


class PythaeVAE:
    """pythae's VAE with layers of our widths, in its training pipeline."""

    def __init__(self, n_components: int, widths: tuple[int, int]) -> None:
        import pythae.models
        import pythae.pipelines
        import pythae.trainers

        self.pythae, self.n_components, self.widths = pythae, n_components, widths

    def fit(self, X: np.ndarray, n_epochs: int) -> None:
        """Train from scratch; what pythae prints is kept off the screen."""
        n_features, (first, second) = X.shape[1], self.widths
        config = self.pythae.models.VAEConfig((n_features,), self.n_components)
        model = self.pythae.models.VAE(config)
        E, G = model.encoder, model.decoder
        E.layers, E.depth = nn.ModuleList([dense(n_features, first), dense(first, second)]), 2
        E.embedding, E.log_var = (nn.Linear(second, self.n_components) for _ in range(2))
        G.layers = nn.ModuleList(
            [dense(self.n_components, second), dense(second, first), nn.Linear(first, n_features)]
        )
        G.depth = 3
        with tempfile.TemporaryDirectory() as folder, quiet():
            how = self.pythae.trainers.BaseTrainerConfig(
                folder, per_device_train_batch_size=BATCH, num_epochs=n_epochs, no_cuda=True
            )
            self.pythae.pipelines.TrainingPipeline(model=model, training_config=how)(X)
        self.model = model.eval()
        self.networks = [model]

    def predict(self, X: np.ndarray) -> np.ndarray:
        """Encode by `embed`, which also decodes."""
        with torch.no_grad():
            return self.model.embed(torch.from_numpy(X)).numpy()


def dense(n_in: int, n_out: int) -> nn.Module:
    """Make a layer like pythae's own."""
    return nn.Sequential(nn.Linear(n_in, n_out), nn.ReLU())


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Suppress log lines and progress bars."""
    logging.disable(logging.INFO)
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            yield
    finally:
        logging.disable(logging.NOTSET)


PEERS: dict[str, Callable[[int, tuple[int, int]], Any]] = {
    "bigan": partial(Ours, method="bigan"),
    "bigan_compiled": partial(Ours, method="bigan", compile=True),
    "default": Ours,
    "textbook": partial(Textbook, batches=slices),
    "textbook_dataloader": partial(Textbook, batches=loaded),
    "mlp_autoencoder": MLPAutoencoder,
    "pyod_alad": PyodALAD,
    "pythae_vae": PythaeVAE,
}
NEEDS = {"pyod_alad": "pyod", "pythae_vae": "pythae"}


def installed() -> list[str]:
    """Return the peers whose packages are installed."""
    return [
        name
        for name in PEERS
        if name not in NEEDS or importlib.util.find_spec(NEEDS[name]) is not None
    ]


def n_parameters(peer: Any) -> int:
    """Return the number of weights that a fitted peer has trained."""
    return sum(
        part.size if isinstance(part, np.ndarray) else part.numel()
        for network in peer.networks
        for part in (network.parameters() if isinstance(network, nn.Module) else network)
    )


def make(n_rows: int, n_columns: int) -> np.ndarray:
    """Make rows near a curved surface of eight dimensions, columns of about unit variance."""
    random = np.random.default_rng(0)
    points = np.tanh(random.normal(size=(n_rows, 8))) @ random.normal(size=(8, n_columns)) / 2
    return (points + 0.3 * random.normal(size=points.shape)).astype(np.float32)


def in_turn(runs: dict[str, Callable[[], float]], rounds: int) -> Seconds:
    """Return what each run says in each round."""
    said = [{name: run() for name, run in runs.items()} for _ in range(rounds)]
    return {name: [of_round[name] for of_round in said] for name in runs}


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
    peers = {name: PEERS[name](n_components, widths) for name in installed()}

    def training(name: str) -> float:
        times = LONGER.get(name, 1)
        short = seconds(lambda: peers[name].fit(X, 1))
        return (seconds(lambda: peers[name].fit(X, 1 + times * N_EPOCHS)) - short) / times

    def one_row(name: str) -> float:
        calls = (seconds(lambda: peers[name].predict(many[:1])) for _ in range(ONE_ROW_CALLS))
        return statistics.median(calls)

    def turns(measure: Callable[[str], float]) -> Seconds:
        return in_turn({name: partial(measure, name) for name in peers}, rounds)

    for peer in peers.values():
        peer.fit(X, 1)  # what a process does once
    trained, latency = turns(training), turns(one_row)
    predicted = turns(lambda name: seconds(lambda: peers[name].predict(many)))
    return {
        "parameters": {name: n_parameters(peer) for name, peer in peers.items()},
        "training": beside(trained, N_EPOCHS * N_ROWS),
        "predict": beside(predicted, MANY_ROWS),
        "one_row_seconds": {name: spread(took) for name, took in latency.items()},
        "pickle_bytes": {name: pickled(peer.model) for name, peer in peers.items()},
    }


def pickled(model: Any) -> int | str:
    """Return the size of the pickled model, or why there is none."""
    try:
        return len(pickle.dumps(model))
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def train_once(name: str, shape: str) -> None:
    """Train a peer for one epoch."""
    n_columns, n_components, widths = SHAPES[shape]
    PEERS[name](n_components, widths).fit(make(N_ROWS, n_columns), 1)


def of_shape(shape: str, *, device: str, rounds: int = 5) -> Figures:
    """Compare all peers that are installed on one shape."""
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002, PyOD draws from it
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a few epochs converge nowhere
        figures = compare(*SHAPES[shape], rounds)
    figures["peak_megabytes"] = {
        name: in_fresh_process(train_once, name, shape)["peak_megabytes"] for name in installed()
    }
    about = dict(zip(("columns", "components", "widths"), SHAPES[shape], strict=True))
    packages = {NEEDS[name]: version(NEEDS[name]) for name in installed() if name in NEEDS}
    about |= {"rows": N_ROWS, "epochs": N_EPOCHS, "batch_size": BATCH, "rounds": rounds}
    return about | figures | {"peers": packages}


def imports(*, device: str, rounds: int = 5) -> Figures:
    """Measure the imports of what is installed."""
    names = [name for name in IMPORTS if name not in NEEDS or name in installed()]
    return importing({name: IMPORTS[name] for name in names}, rounds)


def importing(modules: dict[str, str], rounds: int) -> Figures:
    """Return the seconds of importing modules, and which large packages are loaded then."""
    lines = {"": "pass"} | {name: f"import {module}" for name, module in modules.items()}
    took = in_turn(
        {name: lambda line=line: seconds(lambda: python(line)) for name, line in lines.items()},
        rounds,
    )
    bare = took.pop("")
    listed = f"import sys; print(*[name for name in {LARGE} if name in sys.modules])"
    return {
        "import_seconds": {
            name: spread(s - b for s, b in zip(own, bare, strict=True))
            for name, own in took.items()
        },
        "loaded": {name: python(f"{lines[name]}; {listed}").split() for name in took},
    }


def python(line: str) -> str:
    """Return what a fresh Python prints."""
    command = [sys.executable, "-W", "ignore", "-c", line]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


PARTS = {shape: partial(of_shape, shape) for shape in SHAPES} | {"imports": imports}
