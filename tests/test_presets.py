"""What "auto" becomes: the methods' settings, the output's range, the networks' widths."""

import inspect

import numpy as np
import pytest
from factories import METHODS, small, table
from skorch.callbacks import Callback

from sklearn_bigan import BiGANTransformer

LOSSES = {"discriminator_loss", "encoder_generator_loss"}
RECIPE = {"cycle_loss", "latent_cycle_loss", "consistency_loss"}
PUBLISHED = ("deterministic", "uniform", 2e-4, 128, set())
REGRESSION = ("deterministic", "uniform", 2e-4, 128, {"latent_regression_loss"})
DOCUMENTED = {
    "auto": ("deterministic", "mixture", 2e-3, 64, RECIPE),
    "bigan": PUBLISHED,
    "ali": ("gaussian", "normal", 1e-4, 100, set()),
    "latent_regression": REGRESSION,
    "joint_latent_regression": REGRESSION,
}


def losses(fitted: BiGANTransformer) -> set[str]:
    return {name for name in fitted.history_[-1] if name.endswith("_loss")} - LOSSES


@pytest.mark.parametrize("method", METHODS)
def test_a_method_sets_what_is_auto_to_what_the_docstring_says(small_digits, method):
    posterior, prior, learning_rate, batch_size, terms = DOCUMENTED[method]
    fitted = small(method=method).fit(small_digits)
    net = fitted.net_
    assert (net.spec.posterior, net.spec.prior) == (posterior, prior)
    assert (net.lr, net.batch_size) == (learning_rate, batch_size)
    assert fitted.history_[-1]["train_batch_count"] == -(-300 // batch_size)
    assert losses(fitted) == terms
    assert net.config.n_neighbors == (10 if method == "auto" else 0)


@pytest.mark.parametrize("method", METHODS)
def test_for_images_a_method_sets_views_in_place_of_neighbours(method):
    X = np.random.default_rng(0).random((20, 64), dtype=np.float32)
    fitted = small(method=method, image_shape=(8, 8), max_epochs=1).fit(X)
    assert fitted.net_.spec.network == "dcgan"
    assert fitted.net_.batch_size == (100 if method == "ali" else 128)
    assert losses(fitted) == DOCUMENTED[method][-1]
    assert fitted.net_.config.n_neighbors == 0
    assert fitted.net_.config.augmentations == (("crop", "color") if method == "auto" else ())


@pytest.mark.parametrize(
    ("parameters", "weights"),
    [
        ({}, (100, 5, 30)),
        ({"image_shape": (8, 8)}, (50, 5, 50)),
        ({"cycle_weight": 7}, (7, 5, 30)),
        ({"cycle_weight": 0}, (0, 0, 30)),
        ({"consistency_weight": 3}, (100, 5, 3)),
        ({"method": "bigan"}, (0, 0, 0)),
        ({"method": "ali", "cycle_weight": 1, "consistency_weight": 2}, (1, 0, 2)),
    ],
)
def test_weights_are_those_of_the_docstring(small_digits, parameters, weights):
    config = small(max_epochs=0, **parameters).fit(small_digits).net_.config
    found = config.cycle_weight, config.latent_cycle_weight, config.consistency_weight
    assert found == weights


def test_what_is_set_stays_set_whatever_the_method(small_digits):
    given = {"posterior": "gaussian", "prior": "normal", "learning_rate": 1e-3, "batch_size": 30}
    net = small(method="bigan", max_epochs=0, **given).fit(small_digits).net_
    assert (net.spec.posterior, net.spec.prior, net.lr, net.batch_size) == tuple(given.values())
    without_neighbors = small(n_neighbors=0, max_epochs=0).fit(small_digits)
    assert without_neighbors.net_.batch_size == 128


@pytest.mark.parametrize(("method", "largest"), [("auto", 2e-3), ("bigan", 2e-4), ("ali", 1e-4)])
def test_the_learning_rate_of_the_steps_is_the_methods(small_digits, method, largest):
    class Rates(Callback):
        def on_train_begin(self, net, **kwargs):
            self.found = []

        def on_grad_computed(self, net, **kwargs):
            self.found.append({group["lr"] for group in net.optimizer_.param_groups})

    rates = Rates()
    small(method=method, max_epochs=4, callbacks=[rates]).fit(small_digits)
    half = len(rates.found) // 2
    assert rates.found[:half] == [{largest}] * half
    assert max(rates.found[-1]) < 0.5 * largest


UNIT = np.linspace(0, 1, 60, dtype=np.float32).reshape(20, 3)


@pytest.mark.parametrize(
    ("X", "activation"),
    [
        (UNIT, "sigmoid"),
        (UNIT.astype(np.float64), "sigmoid"),
        (UNIT > 0.5, "sigmoid"),
        (table(), "identity"),
        (0.1 + 0.8 * UNIT, "identity"),
        (0.1 + 0.9 * UNIT, "identity"),
        (0.9 * UNIT, "identity"),
        (2 * UNIT - 1, "identity"),
        (255 * UNIT, "identity"),
    ],
)
def test_the_output_is_a_sigmoid_where_x_fills_the_range_from_0_to_1(X, activation):
    fitted = small(max_epochs=0).fit(X)
    assert fitted.output_activation_ == activation
    assert fitted.output_activation == "auto"
    far = fitted.inverse_transform(1e3 * np.random.default_rng(0).normal(size=(50, 4)))
    assert far.min() >= np.float32(np.min(X))
    assert far.max() <= np.float32(np.max(X))
    assert repr(fitted).endswith(f"fitted with output_activation={activation!r}")
    assert "fitted with" not in repr(small()) + repr(small(output_activation=activation).fit(X))


@pytest.mark.parametrize(("first", "other"), [(UNIT, 0.5 * UNIT), (0.5 * UNIT, UNIT)])
def test_the_output_stays_as_the_first_rows_decided(first, other):
    decided = small().fit(first).output_activation_
    for go_on in ("partial_fit", "fit"):
        fitted = small(warm_start=True).partial_fit(first)
        assert getattr(fitted, go_on)(other).output_activation_ == decided
    assert small().fit(first).fit(other).output_activation_ != decided


def test_networks_are_wider_from_10_000_rows_on_and_keep_their_width_while_training_goes_on():
    def width(fitted: BiGANTransformer) -> int:
        return fitted.transform(X[:1]).shape[1]

    X = np.random.default_rng(0).normal(size=(10_000, 2))
    estimator = BiGANTransformer(
        2, features="hidden", n_neighbors=0, batch_size=5000, max_epochs=0, device="cpu"
    )
    assert width(estimator.fit(X)) == 512
    assert width(estimator.fit(X[:-1])) == 256
    assert width(estimator.partial_fit(X)) == 256


def test_there_are_25_parameters_at_most():
    assert len(inspect.signature(BiGANTransformer).parameters) <= 25
