"""Who is put side by side in `peers.py`: ways to train networks of one size on a table.

    bigan                BiGANTransformer, BiGAN as published
    bigan_compiled       the same with compile=True
    default              BiGANTransformer as it comes, at the same width of layers
    textbook             the loop of a tutorial: D's step on fresh pairs, then E's and G's step on
                         fresh pairs; batches are slices of a shuffled tensor
    textbook_dataloader  the same with torch's DataLoader
    stock_skorch         the engine's step under skorch's own loop: DataLoader, and bookkeeping of
                         every batch
    mlp_autoencoder      scikit-learn's MLPRegressor, from X to X
    pyod_alad            PyOD's ALAD, of BiGAN's family, with two discriminators more
    pythae_vae           pythae's VAE and its trainer

All have the same two hidden layers in every network, and batches of 128. The first six train the
same networks. The last two are left out where they are not installed (`pip install pyod pythae`).
"""

import contextlib
import importlib.util
import io
import logging
import tempfile
import warnings
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

import numpy as np
import torch
from methods import PUBLISHED
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPRegressor
from skorch import NeuralNet
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits
from torch.utils.data import DataLoader, TensorDataset

from sklearn_bigan import BiGANTransformer
from sklearn_bigan._learning import TRAINING
from sklearn_bigan._net import BiGANNet
from sklearn_bigan._training import train

BATCH, LEARNING_RATE = 128, 2e-4
BIGAN = PUBLISHED | {"learning_rate": LEARNING_RATE}

Widths = tuple[int, int]  # of the hidden layers


class Ours:
    """BiGANTransformer. `predict` gives codes, as of the others unless they say otherwise."""

    def __init__(self, n_components: int, widths: Widths, **recipe: Any) -> None:
        self.n_components = n_components
        self.recipe = {"hidden_layer_sizes": widths, **recipe}

    def fit(self, X: np.ndarray, n_epochs: int) -> None:
        """Train from scratch."""
        self.model = BiGANTransformer(
            self.n_components,
            batch_size=BATCH,
            max_epochs=n_epochs,
            device="cpu",
            random_state=0,
            **self.recipe,
        ).fit(X)
        self.networks: list[nn.Module] = [self.model.net_.module_]

    def predict(self, X: np.ndarray) -> np.ndarray:
        """Encode."""
        return self.model.transform(X)


class Textbook:
    """The loop that a tutorial on BiGAN has, on the networks that the estimator makes."""

    def __init__(
        self, n_components: int, widths: Widths, batches: Callable[[Tensor], Iterable[Tensor]]
    ) -> None:
        self.n_components, self.widths = n_components, widths
        self.batches = batches

    def fit(self, X: np.ndarray, n_epochs: int) -> None:
        """Train from scratch, with torch's Adam as it comes but for the betas of both papers."""
        self.model = module = fresh_net(X, self.n_components, self.widths).module_.train()
        self.networks = [module]
        E, G, D = module.encoder, module.generator, module.discriminator
        betas = (0.5, 0.999)
        of_d = torch.optim.Adam(D.parameters(), lr=LEARNING_RATE, betas=betas)
        eg = [*E.parameters(), *G.parameters()]
        of_eg = torch.optim.Adam(eg, lr=LEARNING_RATE, betas=betas)
        rows = torch.from_numpy(X)
        for _ in range(n_epochs):
            d_sum = eg_sum = 0.0
            for x in self.batches(rows):
                real, fake = torch.ones(len(x)), torch.zeros(len(x))
                z = torch.randn(len(x), self.n_components)
                with torch.no_grad():
                    z_hat, x_hat = E(x), G(z)
                d_loss = bce(D(x, z_hat), real) + bce(D(x_hat, z), fake)
                of_d.zero_grad()
                d_loss.backward()
                of_d.step()

                z = torch.randn(len(x), self.n_components)
                eg_loss = bce(D(x, E(x)), fake) + bce(D(G(z), z), real)
                of_eg.zero_grad()
                eg_loss.backward()
                of_eg.step()

                d_sum += d_loss.item()
                eg_sum += eg_loss.item()
        module.eval()

    def predict(self, X: np.ndarray) -> np.ndarray:
        """Encode all rows at once."""
        with torch.no_grad():
            return self.model.encoder(torch.from_numpy(X)).numpy()


bce = binary_cross_entropy_with_logits


def slices(rows: Tensor) -> Iterable[Tensor]:
    """One epoch: rows in a new order, a batch at a time."""
    return (rows[part] for part in torch.randperm(len(rows)).split(BATCH))


def loaded(rows: Tensor) -> Iterable[Tensor]:
    """One epoch by torch's DataLoader."""
    loader = DataLoader(TensorDataset(rows), batch_size=BATCH, shuffle=True)
    return (x for (x,) in loader)


class StockNet(BiGANNet):
    """The engine's step under skorch's own loop: DataLoader, and a loss read from every batch."""

    get_iterator = NeuralNet.get_iterator
    run_single_epoch = NeuralNet.run_single_epoch

    def train_step(self, batch: Any, **fit_params: Any) -> dict[str, Any]:
        """Unpack the batch, and name the loss as skorch wants it."""
        step = super().train_step(batch[0])
        return {**step, "loss": step["figures"]["discriminator_loss"]}


class StockSkorch:
    """A skorch net that overrides no more than what a step is."""

    def __init__(self, n_components: int, widths: Widths) -> None:
        self.n_components, self.widths = n_components, widths

    def fit(self, X: np.ndarray, n_epochs: int) -> None:
        """Train from scratch."""
        net = fresh_net(X, self.n_components, self.widths)
        names = ("lr", "cycle_weight", "n_neighbors", "augmentations", "precision", *TRAINING)
        self.model = StockNet(
            net.blueprint,
            x_mean=net.x_mean,
            x_unit=net.x_unit,
            seed=net.seed,
            device="cpu",
            verbose=0,
            iterator_train__shuffle=True,
            **{name: getattr(net, name) for name in names},
        ).initialize()
        train(self.model, X, n_epochs, settle=False)
        self.networks = [self.model.module_]

    def predict(self, X: np.ndarray) -> np.ndarray:
        """Encode by skorch's `predict`."""
        return NeuralNet.predict(self.model, X)


def fresh_net(X: np.ndarray, n_components: int, widths: Widths) -> BiGANNet:
    """Return the untrained net of the published BiGAN."""
    ours = Ours(n_components, widths, **BIGAN)
    ours.fit(X, 0)
    return ours.model.net_


class MLPAutoencoder:
    """MLPRegressor through a layer of n_components; `predict` reconstructs, it has no codes."""

    def __init__(self, n_components: int, widths: Widths) -> None:
        self.n_components, self.widths = n_components, widths

    def fit(self, X: np.ndarray, n_epochs: int) -> None:
        """Train from scratch."""
        self.model = MLPRegressor(
            hidden_layer_sizes=(*self.widths, self.n_components, *self.widths[::-1]),
            batch_size=BATCH,
            max_iter=n_epochs,
            n_iter_no_change=n_epochs + 1,
            random_state=0,
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # it is to be stopped
            self.model.fit(X, X)
        self.networks = [self.model.coefs_, self.model.intercepts_]

    def predict(self, X: np.ndarray) -> np.ndarray:
        """Reconstruct."""
        return self.model.predict(X)


class PyodALAD:
    """PyOD's ALAD, whose "epoch" is one batch; `predict` scores by both networks and a D."""

    def __init__(self, n_components: int, widths: Widths) -> None:
        from pyod.models.alad import ALAD

        layers = dict.fromkeys(
            [f"{part}_layers" for part in ("enc", "dec", "disc_xx", "disc_zz", "disc_xz")], widths
        )
        self.make = lambda n_batches: ALAD(
            latent_dim=n_components, batch_size=BATCH, epochs=n_batches, device="cpu", **layers
        )

    def fit(self, X: np.ndarray, n_epochs: int) -> None:
        """Train from scratch."""
        self.model = self.make(n_epochs * (len(X) // BATCH)).fit(X)
        parts = ("enc", "dec", "disc_xx", "disc_zz", "disc_xz")
        self.networks = [getattr(self.model, part) for part in parts]

    def predict(self, X: np.ndarray) -> np.ndarray:
        """Score."""
        return self.model.decision_function(X)


class PythaeVAE:
    """pythae's VAE, its layers replaced by ours in width, in its training pipeline."""

    def __init__(self, n_components: int, widths: Widths) -> None:
        import pythae.models
        import pythae.pipelines
        import pythae.trainers

        self.pythae = pythae
        self.n_components, self.widths = n_components, widths

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
        """Encode by `embed`, which decodes, too."""
        with torch.no_grad():
            return self.model.embed(torch.from_numpy(X)).numpy()


def dense(n_in: int, n_out: int) -> nn.Module:
    """Make a layer as pythae's own."""
    return nn.Sequential(nn.Linear(n_in, n_out), nn.ReLU())


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without log lines and progress bars."""
    logging.disable(logging.INFO)
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            yield
    finally:
        logging.disable(logging.NOTSET)


CONTENDERS: dict[str, Callable[[int, Widths], Any]] = {
    "bigan": partial(Ours, **BIGAN),
    "bigan_compiled": partial(Ours, **BIGAN, compile=True),
    "default": Ours,
    "textbook": partial(Textbook, batches=slices),
    "textbook_dataloader": partial(Textbook, batches=loaded),
    "stock_skorch": StockSkorch,
    "mlp_autoencoder": MLPAutoencoder,
    "pyod_alad": PyodALAD,
    "pythae_vae": PythaeVAE,
}
# What those that are no dependency of ours are imported from.
NEEDS = {"pyod_alad": "pyod", "pythae_vae": "pythae"}


def installed(name: str) -> bool:
    """Whether a contender can be asked for here; say so if not."""
    package = NEEDS.get(name)
    if package is None or importlib.util.find_spec(package):
        return True
    print(f"{name} is left out: {package} is not installed.")
    return False


def n_parameters(contender: Any) -> int:
    """Trained weights of a contender that has been fitted, all its networks together."""
    return sum(
        part.size if isinstance(part, np.ndarray) else part.numel()
        for network in contender.networks
        for part in (network.parameters() if isinstance(network, nn.Module) else network)
    )
