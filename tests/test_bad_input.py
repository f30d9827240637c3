import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import torch
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted

from sklearn_bigan import BiGANTransformer
from sklearn_bigan._net import BiGANNet

X = np.random.RandomState(0).rand(60, 5).astype(np.float32)


def bigan(**parameters) -> BiGANTransformer:
    defaults = {"n_components": 2, "hidden_layer_sizes": (8,), "max_epochs": 2, "random_state": 0}
    return BiGANTransformer(**{**defaults, **parameters})


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
@pytest.mark.filterwarnings("ignore:overflow encountered in cast:RuntimeWarning")
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_rows_that_cannot_be_learned_from_are_refused(method, rows, error, message):
    with pytest.raises(error, match=message):
        getattr(bigan(), method)(rows)


@bad_rows
@pytest.mark.parametrize("method", ["transform", "reconstruct", "score", "score_samples"])
def test_rows_that_cannot_be_encoded_are_refused(method, rows, error, message):
    with pytest.raises(error, match=message):
        getattr(bigan().fit(X), method)(rows)


@pytest.mark.parametrize("unit", [1e-18, 1e18])
def test_units_that_float32_cannot_square_are_refused(unit):
    with pytest.raises(ValueError, match=r"must be in \[1e-16, 1e\+16\].*StandardScaler"):
        bigan().fit(unit * X)


@pytest.mark.parametrize("unit", [1e-15, 1e15])
def test_units_short_of_that_make_no_difference(unit):
    scores = [bigan().fit(x).score(x) for x in (X, unit * X)]
    assert scores[0] == pytest.approx(scores[1], rel=1e-3)


def test_rows_that_are_alike_but_for_rounding_can_be_learned_from():
    model = bigan().fit(np.full((1000, 3), 0.1, dtype=np.float32))
    assert (model.net_.x_unit == 1).all()


def test_one_row_is_too_few_to_learn_from():
    with pytest.raises(ValueError, match=r"1 sample\(s\).*minimum of 2 is required"):
        bigan().fit(X[:1])


@pytest.mark.parametrize("method", ["transform", "partial_fit", "score"])
def test_another_number_of_columns_is_refused(method):
    with pytest.raises(ValueError, match="X has 4 features, but BiGANTransformer is expecting 5"):
        getattr(bigan().fit(X), method)(X[:, :4])


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
        bigan(output_activation=activation).fit(rows)


BAD_PARAMETERS = [
    ("n_components", 0),
    ("n_components", 2.5),
    ("posterior", "normal"),
    ("prior", "gaussian"),
    ("n_clusters", 0),
    ("n_clusters", 2.5),
    ("inference", "variational"),
    ("loss", "wasserstein"),
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
    ("latent_cycle_weight", -1.0),
    ("consistency_weight", "none"),
    ("n_neighbors", -1),
    ("n_neighbors", 2.5),
    ("n_neighbors", "all"),
    ("neighbor_steps", 0),
    ("ema_decay", 1.0),
    ("ema_decay", -0.1),
    ("learning_rate", 0),
    ("learning_rate", -1.0),
    ("learning_rate", "adaptive"),
    ("batch_size", 1),
    ("batch_size", 2.0),
    ("max_epochs", -1),
    ("max_epochs", "many"),
    ("early_stopping", "yes"),
    ("validation_fraction", 0),
    ("validation_fraction", 1.0),
    ("n_iter_no_change", 0),
    ("discriminator_steps", 0),
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
        bigan(**{name: value}).fit(X)
    message = str(raised.value)
    assert f"The '{name}' parameter" in message
    assert "must " in message
    assert f"Got {value!r}" in message


def test_a_gaussian_latent_regressor_is_refused():
    with pytest.raises(ValueError, match="posterior='gaussian' needs inference='adversarial'"):
        bigan(posterior="gaussian", inference="latent_regression").fit(X)


def test_features_set_to_nonsense_after_fit_are_noticed():
    with pytest.raises(ValueError, match="The 'features' parameter"):
        bigan().fit(X).set_params(features="codes").transform(X)


@pytest.mark.parametrize("n_samples", [0, -3, 2.5])
def test_a_sample_of_no_rows_is_refused(n_samples):
    with pytest.raises(ValueError, match=r"'n_samples' parameter must be an int in.* Got"):
        bigan().fit(X).sample(n_samples)


@pytest.mark.parametrize(
    "method", ["transform", "inverse_transform", "reconstruct", "sample", "score", "score_samples"]
)
def test_nothing_can_be_asked_before_fit(method):
    with pytest.raises(NotFittedError):
        getattr(bigan(), method)(3 if method == "sample" else X)


@pytest.mark.parametrize("n_features", [5, 300])
@pytest.mark.parametrize("loss", ["logistic", "hinge"])
def test_training_that_diverges_says_what_to_try(n_features, loss):
    rows = np.random.RandomState(0).randn(200, n_features)
    with pytest.raises(ValueError, match=r"Training diverged.*learning_rate \(currently 1e\+06\)"):
        bigan(learning_rate=1e6, loss=loss, max_epochs=100).fit(rows)


def interrupted_in_step(n: int):
    """A training step that presses Ctrl-C at its nth call."""
    step, calls = BiGANNet.train_step, []

    def train_step(self, batch, **kwargs):
        calls.append(batch)
        if len(calls) == n:
            raise KeyboardInterrupt
        return step(self, batch, **kwargs)

    return train_step


def interrupt(monkeypatch) -> None:
    monkeypatch.setattr(BiGANNet, "train_step", interrupted_in_step(3))


def learned(estimator: BiGANTransformer) -> list:
    """All that a fitted estimator knows, as plain comparable values."""
    state = estimator.__getstate__()
    return [
        estimator.transform(X).tolist(),
        estimator.history_,
        sorted(vars(estimator)),
        state["mean_"].tolist(),
        state["n_samples_seen_"],
        state["n_features_in_"],
        state["feature_names_in_"].tolist(),
        {name: array.tolist() for name, array in state["net_"]["weights"].items()},
    ]


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
    "units too large": ({}, 1e30 * X, ValueError),
    "bad parameter": ({"loss": "wasserstein"}, X, ValueError),
    "bad combination": (
        {"posterior": "gaussian", "inference": "latent_regression"},
        X,
        ValueError,
    ),
    "diverging": ({"learning_rate": 1e30}, X, ValueError),
    "ctrl-c": ({"batch_size": 10}, X, KeyboardInterrupt),
}
failures = pytest.mark.parametrize(("parameters", "rows", "error"), FAILURES.values(), ids=FAILURES)


@failures
@pytest.mark.filterwarnings("ignore:X does not have valid feature names")
@pytest.mark.parametrize("way", ["fit", "warm fit", "partial_fit"])
def test_a_failed_refit_leaves_what_was_learned(way, parameters, rows, error, monkeypatch):
    fitted = bigan().fit(pd.DataFrame(X, columns=list("abcde")))
    with pytest.warns(UserWarning, match="feature names"):
        before = learned(fitted)
    original, of_net = fitted.get_params(), vars(fitted.net_).copy()
    fitted.set_params(warm_start=way == "warm fit", **parameters)
    if error is KeyboardInterrupt:
        interrupt(monkeypatch)
    with pytest.raises(error):
        getattr(fitted, way.removeprefix("warm "))(rows)
    fitted.set_params(**original)
    with pytest.warns(UserWarning, match="feature names"):
        assert learned(fitted) == before
    assert vars(fitted.net_) == of_net


@pytest.mark.parametrize("discriminator_steps", [1, 2])
def test_training_goes_on_after_ctrl_c_as_if_it_had_not_happened(discriminator_steps, monkeypatch):
    parameters = {"batch_size": 20, "discriminator_steps": discriminator_steps}
    interrupted, twin = (bigan(**parameters).fit(X) for _ in range(2))
    with monkeypatch.context() as patch:
        # One whole step, of three in an epoch: an odd number, half of the two that D takes to one.
        patch.setattr(BiGANNet, "train_step", interrupted_in_step(2))
        with pytest.raises(KeyboardInterrupt):
            interrupted.partial_fit(X)
    np.testing.assert_array_equal(
        interrupted.partial_fit(X).transform(X), twin.partial_fit(X).transform(X)
    )


def test_a_refit_on_a_device_that_is_not_there_leaves_what_was_learned():
    fitted = bigan().fit(X)
    codes = fitted.transform(X)
    with pytest.raises(ValueError, match=r"'device' parameter.*Got 'nowhere'; 'auto' would take"):
        fitted.set_params(device="nowhere").fit(X)
    np.testing.assert_array_equal(fitted.transform(X), codes)


@failures
def test_a_failed_first_fit_leaves_the_estimator_unfitted(parameters, rows, error, monkeypatch):
    estimator = bigan(**parameters)
    if error is KeyboardInterrupt:
        interrupt(monkeypatch)
    with pytest.raises(error):
        estimator.fit(rows)
    assert set(vars(estimator)) == set(estimator.get_params())
    with pytest.raises(NotFittedError):
        check_is_fitted(estimator)
