"""Models that are fitted in a moment, made in one place."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from sklearn_bigan import BiGANTransformer
from sklearn_bigan.networks.bigan import BiGAN, ModelSpec, make_bigan

SMALL = {
    "n_components": 4,
    "hidden_layer_sizes": (32,),
    "max_epochs": 2,
    "random_state": 0,
    "device": "cpu",
}
# The published methods with the settings of the estimator's docstring.
METHODS = ("auto", "bigan", "ali", "latent_regression", "joint_latent_regression")


def not_with_torch_2_6(reason: str) -> pytest.MarkDecorator:
    """Skip a test with the oldest torch that the package admits."""
    return pytest.mark.skipif(torch.__version__.startswith("2.6."), reason=reason)


def small(**parameters: Any) -> BiGANTransformer:
    """Return an unfitted estimator with small networks."""
    return BiGANTransformer(**SMALL | parameters)


def spec(**changes: Any) -> ModelSpec:
    """Return the description of small networks for six columns."""
    values = {
        "n_features": 6,
        "latent_dim": 3,
        "method": "bigan",
        "posterior": "deterministic",
        "prior": "normal",
        "n_clusters": 2,
        "output_activation": "identity",
        "hidden_layer_sizes": (16, 8),
        "image_shape": None,
        "network": "mlp",
    }
    return ModelSpec(**values | changes)


def networks(seed: int = 0, **changes: Any) -> BiGAN:
    """Return small networks with drawn weights."""
    made = spec(**changes)
    return make_bigan(made, torch.zeros(made.n_features), seed)


def weights(module: nn.Module) -> list[torch.Tensor]:
    """Return copies of a module's parameters."""
    return [weight.detach().clone() for weight in module.parameters()]


def equal(before: list[torch.Tensor], module: nn.Module) -> bool:
    """Return whether a module's parameters have not changed by a bit."""
    return all(map(torch.equal, before, weights(module)))


class BodyWithBatchNorm(nn.Module):
    """A discriminator body whose features of a pair depend on the whole batch."""

    def __init__(self, n_features: int, latent_dim: int) -> None:
        super().__init__()
        first = nn.Linear(n_features + latent_dim, 16, bias=False)
        self.layers = nn.Sequential(first, nn.BatchNorm1d(16), nn.LeakyReLU())

    def forward(self, x: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
        return self.layers(torch.cat([x, z], dim=1))


def table(n_rows: int = 200, n_columns: int = 6, seed: int = 0) -> np.ndarray:
    """Return rows of a table in two clusters, float64."""
    random = np.random.default_rng(seed)
    return random.normal(size=(n_rows, n_columns)) + 3 * random.integers(2, size=(n_rows, 1))


def raises_in_step(number: int, error: type[BaseException]) -> Callable[..., Any]:
    """Return a skorch callback that raises in a training step, from 1."""
    from skorch.callbacks import Callback

    class Raise(Callback):
        def on_grad_computed(self, net: Any, *args: Any, **kwargs: Any) -> None:
            self.n = getattr(self, "n", 0) + 1
            if self.n == number:
                raise error

    return Raise()
