import math

import joblib
import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import torch
from factories import small
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted
from torch import nn

from sklearn_bigan import BiGANTransformer

X = np.random.RandomState(0).rand(60, 5).astype(np.float32)


@pytest.fixture(scope="module")
def model() -> BiGANTransformer:
    """A fitted model that no test changes."""
    return small().fit(X)


def spoilt(value: float) -> np.ndarray:
    bad = X.astype(np.float64)
    bad[3, 2] = value
    return bad


BAD_ROWS = {
    "nan": (spoilt(np.nan), ValueError, "Input X contains NaN"),
    "inf": (spoilt(np.inf), ValueError, "Input X contains infinity"),
    "beyond float32": (spoilt(1e300), ValueError, r"too large for dtype\('float32'\)"),
    "1-D": (X[0], ValueError, "Expected 2D array, got 1D array"),
    "no rows": (X[:0], ValueError, r"Found array with 0 sample\(s\)"),
    "no columns": (X[:, :0], ValueError, r"Found array with 0 feature\(s\)"),
    "strings": (np.full((4, 5), "a"), ValueError, "(could not convert|dtype='numeric')"),
    "sparse": (scipy.sparse.csr_matrix(X), TypeError, "Sparse data was passed"),
    "complex": (X * 1j, ValueError, "Complex data not supported"),
}
bad_rows = pytest.mark.parametrize(("rows", "error", "message"), BAD_ROWS.values(), ids=BAD_ROWS)


@bad_rows
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_rows_that_cannot_be_learned_from_are_refused(method, rows, error, message):
    with pytest.raises(error, match=message):
        getattr(small(), method)(rows)


@bad_rows
@pytest.mark.parametrize("method", ["transform", "reconstruct", "score", "score_samples"])
def test_rows_that_cannot_be_encoded_are_refused(model, method, rows, error, message):
    with pytest.raises(error, match=message):
        getattr(model, method)(rows)


@pytest.mark.parametrize("unit", [1e-18, 1e18])
def test_units_that_float32_cannot_square_are_refused(unit):
    with pytest.raises(ValueError, match=r"must be in \[1e-16, 1e\+16\].*StandardScaler"):
        small().fit(unit * X)


@pytest.mark.parametrize("unit", [1e-15, 1e15])
def test_units_short_of_that_make_no_difference(model, unit):
    assert small().fit(unit * X).score(unit * X) == pytest.approx(model.score(X), rel=1e-3)


def test_rows_that_are_alike_but_for_rounding_can_be_learned_from():
    fitted = small().fit(np.full((1000, 3), 0.1, dtype=np.float32))
    assert (fitted.net_.standardizer.scale == 1).all()


def test_one_row_is_too_few_to_learn_from():
    with pytest.raises(ValueError, match=r"1 sample\(s\).*minimum of 2 is required"):
        small().fit(X[:1])


@pytest.mark.parametrize("method", ["transform", "partial_fit", "score"])
def test_another_number_of_columns_is_refused(model, method):
    with pytest.raises(ValueError, match="X has 4 features, but BiGANTransformer is expecting 5"):
        getattr(model, method)(X[:, :4])


@pytest.mark.parametrize(
    ("activation", "rows", "message"),
    [
        ("sigmoid", X - 0.5, r"must lie in \[0, 1\]. Got values from -0\.49.*MinMaxScaler"),
        ("sigmoid", X * 3, r"must lie in \[0, 1\]"),
        ("tanh", X * 3, r"must lie in \[-1, 1\]. Got values from 0\.\d+ to 2\.9"),
    ],
)
def test_rows_the_generator_cannot_reach_are_refused(activation, rows, message):
    with pytest.raises(ValueError, match=message):
        small(output_activation=activation).fit(rows)


def test_rows_beyond_the_range_that_the_first_ones_decided_on_are_refused():
    with pytest.raises(ValueError, match=r"output_activation='sigmoid', X must lie in \[0, 1\]"):
        small().partial_fit(np.round(X)).partial_fit(3 * X)


BAD_PARAMETERS = [
    ("n_components", 0),
    ("n_components", 2.5),
    ("method", "variational"),
    ("posterior", "normal"),
    ("prior", "gaussian"),
    ("prior", 0),
    ("prior", 2.5),
    ("n_jobs", 0),
    ("n_jobs", 1.5),
    ("network", "resnet"),
    ("network", {}),
    ("network", {"critic": torch.nn.Linear}),
    ("network", {"encoder": torch.nn.Linear(5, 8)}),
    ("network", {"encoder": 3}),
    ("hidden_layer_sizes", ()),
    ("hidden_layer_sizes", (8, 0)),
    ("hidden_layer_sizes", ("8",)),
    ("hidden_layer_sizes", 8),
    ("image_shape", (8,)),
    ("image_shape", (8, 0)),
    ("image_shape", (8, 8, 1, 1)),
    ("image_shape", (2.5, 2)),
    ("image_shape", "8 x 8"),
    ("augmentations", "crop"),
    ("augmentations", ("crop", "rotate")),
    ("augmentations", True),
    ("output_activation", "relu"),
    ("features", "codes"),
    ("cycle_weight", -1.0),
    ("cycle_weight", "none"),
    ("consistency_weight", "none"),
    ("n_neighbors", -1),
    ("n_neighbors", 2.5),
    ("n_neighbors", "all"),
    ("learning_rate", 0),
    ("learning_rate", -1.0),
    ("learning_rate", "adaptive"),
    ("batch_size", 1),
    ("batch_size", 2.0),
    ("max_epochs", -1),
    ("max_epochs", "many"),
    ("warm_start", "yes"),
    ("device", 0),
    ("device", "gpu"),
    ("device", "nowhere:0"),
    ("device", "cuda:99"),
    ("precision", "float16"),
    ("compile", "yes"),
    ("callbacks", "early_stopping"),
    ("random_state", "seed"),
    ("verbose", -1),
]


def test_every_parameter_is_in_the_table_of_bad_values():
    assert {name for name, _ in BAD_PARAMETERS} == set(BiGANTransformer().get_params())


IMAGES = np.zeros((20, 300), dtype=np.float32)
BAD_IMAGES = [
    (
        {"image_shape": (10, 10)},
        r"needs rows of 100 columns.*X has 300; use image_shape=\(10, 10, 3",
    ),
    ({"image_shape": (10, 10, 1)}, r"use image_shape=\(10, 10, 3\)"),
    ({"image_shape": (17, 17)}, r"needs rows of 289 columns.*X has 300; give the size of the imag"),
    ({"image_shape": (28, 28)}, r"needs rows of 784 columns.*X has 300; give the size of the imag"),
    ({"image_shape": (5, 60)}, r"'dcgan' needs images of at least 8 x 8.*5 x 60; use network='mlp"),
    (
        {"image_shape": (5, 60), "network": {"encoder": torch.nn.Linear}},
        r"'dcgan' needs images of at least 8 x 8.*or a dict of all of \('encoder'",
    ),
    ({"augmentations": ("flip",)}, r"augmentations=\('flip',\) needs images. Got image_shape=None"),
    ({"network": "dcgan"}, r"network='dcgan' needs images. Got image_shape=None; say how"),
    ({"network": "ali"}, r"network='ali' needs images. Got image_shape=None; say how"),
]


@pytest.mark.parametrize(("parameters", "message"), BAD_IMAGES)
def test_what_cannot_be_read_as_images_says_what_would_be(parameters, message):
    with pytest.raises(ValueError, match=message):
        BiGANTransformer(**parameters).fit(IMAGES)


@pytest.mark.parametrize("image_shape", [(10, 30), (10, 10, 3)])
def test_pixels_out_of_range_are_refused(image_shape):
    with pytest.raises(ValueError, match=r"X must lie in \[0, 1\]. Got values from 0 to 255"):
        BiGANTransformer(image_shape=image_shape, output_activation="sigmoid").fit(
            np.where(IMAGES == 0, 255 * np.eye(20, 300), 0)
        )


@pytest.mark.parametrize(("name", "value"), BAD_PARAMETERS)
def test_a_parameter_out_of_range_is_named_with_the_rule_and_what_came(name, value):
    with pytest.raises((ValueError, TypeError)) as raised:
        small(**{name: value}).fit(X)
    message = str(raised.value)
    assert f"The '{name}' parameter" in message
    assert "must " in message
    assert f"Got {value!r}" in message


@pytest.mark.parametrize(
    ("parameter", "value"),
    [("posterior", "gaussian"), ("cycle_weight", 1), ("consistency_weight", 1), ("n_neighbors", 5)],
)
@pytest.mark.parametrize("method", ["latent_regression", "joint_latent_regression"])
def test_a_latent_regressor_refuses_what_it_has_no_use_for(method, parameter, value):
    with pytest.raises(
        ValueError, match=f"method='{method}' .*it needs {parameter}=.* Got .*{value}"
    ):
        small(method=method, **{parameter: value}).fit(X)


def test_features_set_to_nonsense_after_fit_are_noticed():
    with pytest.raises(ValueError, match="The 'features' parameter"):
        small(max_epochs=0).fit(X).set_params(features="codes").transform(X)


@pytest.mark.parametrize("n_samples", [0, -3, 2.5])
def test_a_sample_of_no_rows_is_refused(model, n_samples):
    with pytest.raises(ValueError, match=r"'n_samples' parameter must be an int in.* Got"):
        model.sample(n_samples)


@pytest.mark.parametrize(
    "method", ["transform", "inverse_transform", "reconstruct", "sample", "score", "score_samples"]
)
def test_nothing_can_be_asked_before_fit(method):
    with pytest.raises(NotFittedError):
        getattr(small(), method)(3 if method == "sample" else X)


@pytest.mark.parametrize("n_features", [5, 300])
@pytest.mark.parametrize("method", ["auto", "bigan"])
def test_training_that_diverges_says_what_to_try(n_features, method):
    rows = np.random.RandomState(0).randn(200, n_features)
    with pytest.raises(ValueError, match=r"Training diverged.*learning_rate \(currently 1e\+06\)"):
        small(learning_rate=1e6, method=method, max_epochs=100).fit(rows)


class Body(nn.Sequential):
    """The encoder of a user who presses Ctrl-C after some of its passes in training."""

    passes_left = math.inf

    def __init__(self, n_features, latent_dim):
        super().__init__(nn.Linear(n_features, 8), nn.ReLU())

    def forward(self, x):
        if self.training:
            Body.passes_left -= 1
            if Body.passes_left < 0:
                raise KeyboardInterrupt
        return super().forward(x)


BASE = {"network": {"encoder": Body}, "batch_size": 10}
FAILURES = {
    "nan": ({}, spoilt(np.nan), ValueError),
    "another width": ({}, np.tile(spoilt(np.nan), 2), ValueError),
    "out of range": ({"output_activation": "sigmoid"}, X * 3, ValueError),
    "another width, out of range": (
        {"output_activation": "sigmoid"},
        np.tile(X * 3, 2),
        ValueError,
    ),
    "another width, diverging": ({"learning_rate": 1e30}, np.tile(X, 2), ValueError),
    "units too large": ({}, np.float64(1e39) * X, ValueError),
    "bad parameter": ({"prior": "gaussian"}, X, ValueError),
    "bad combination": ({"posterior": "gaussian", "method": "latent_regression"}, X, ValueError),
    "bad callback": ({"callbacks": [object()]}, X, TypeError),
    "diverging": ({"learning_rate": 1e30}, X, ValueError),
    "ctrl-c": ({}, X, KeyboardInterrupt),
}
failures = pytest.mark.parametrize(("changes", "rows", "error"), FAILURES.values(), ids=FAILURES)
NAMED = pd.DataFrame(X, columns=list("abcde"))


@pytest.fixture
def went_on() -> np.ndarray:
    """Codes of a model that was trained on without a failure before."""
    return small(**BASE).fit(NAMED).partial_fit(NAMED).transform(NAMED)


def fail(estimator: BiGANTransformer, way: str, rows: np.ndarray, error, monkeypatch) -> None:
    if error is KeyboardInterrupt:
        monkeypatch.setattr(Body, "passes_left", 5)  # two in each step: in the middle of the third
    with pytest.raises(error):
        getattr(estimator, way)(rows)
    monkeypatch.undo()


@failures
@pytest.mark.filterwarnings("ignore:X does not have valid feature names")
@pytest.mark.parametrize("way", ["fit", "warm fit", "partial_fit"])
def test_a_failed_refit_leaves_what_was_learned(way, changes, rows, error, monkeypatch, went_on):
    fitted = small(**BASE).fit(NAMED)
    before, original, net = joblib.hash(fitted.__getstate__()), fitted.get_params(), fitted.net_
    of_net = vars(net).copy()
    fitted.set_params(warm_start=way == "warm fit", **changes)
    fail(fitted, way.removeprefix("warm "), rows, error, monkeypatch)
    fitted.set_params(**original)
    assert joblib.hash(fitted.__getstate__()) == before
    assert fitted.net_ is net
    assert vars(net) == of_net
    # The optimizer, and the weights before averaging, which a pickle leaves out.
    np.testing.assert_array_equal(fitted.partial_fit(NAMED).transform(NAMED), went_on)


def test_a_refit_on_a_device_that_is_not_there_leaves_what_was_learned():
    fitted = small().fit(X)
    before = joblib.hash(fitted.__getstate__()["net_"])
    with pytest.raises(ValueError, match=r"'device' parameter.*Got 'nowhere'; 'auto' would take"):
        fitted.set_params(device="nowhere").fit(X)
    assert joblib.hash(fitted.__getstate__()["net_"]) == before


@failures
def test_a_failed_first_fit_leaves_the_estimator_unfitted(changes, rows, error, monkeypatch):
    estimator = small(**BASE | changes)
    fail(estimator, "fit", rows, error, monkeypatch)
    assert set(vars(estimator)) == set(estimator.get_params())
    with pytest.raises(NotFittedError):
        check_is_fitted(estimator)
