import copy
import math
import pickle
import warnings
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse
import torch
from factories import small
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.utils.validation import check_is_fitted
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

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


def dates(unit: str = "datetime64[ns]") -> np.ndarray:
    return (1e9 * X).astype("int64").astype(unit)


def memmap(dtype: str, tmp_path: Path) -> np.memmap:
    return np.memmap(tmp_path / "rows", dtype=dtype, mode="w+", shape=X.shape)


TENSORS = torch.from_numpy(X)
BAD_ROWS = {
    "nan": (spoilt(np.nan), ValueError, "Input X contains NaN"),
    "inf": (spoilt(np.inf), ValueError, "Input X contains infinity"),
    "beyond float32": (spoilt(1e300), ValueError, r"too large for dtype\('float32'\)"),
    "1-D": (X[0], ValueError, "Expected 2D array, got 1D array"),
    "no rows": (X[:0], ValueError, r"Found array with 0 sample\(s\)"),
    "no columns": (X[:, :0], ValueError, r"Found array with 0 feature\(s\)"),
    "strings": (np.full((4, 5), "a"), ValueError, "(could not convert|dtype='numeric')"),
    "numbers as strings": (X.astype(str), ValueError, "dtype='numeric' is not compatible"),
    "numbers as bytes": (X.astype(bytes), ValueError, "dtype='numeric' is not compatible"),
    "sparse with nan": (scipy.sparse.csr_matrix(spoilt(np.nan)), ValueError, "X contains NaN"),
    "sparse with inf": (scipy.sparse.coo_array(spoilt(np.inf)), ValueError, "X contains infinity"),
    "sparse beyond float32": (
        scipy.sparse.csr_array(spoilt(1e300)),
        ValueError,
        r"too large for dtype\('float32'\)",
    ),
    "complex and sparse": (scipy.sparse.csr_array(X * 1j), ValueError, "Complex data not supp"),
    "sparse and 1-D": (scipy.sparse.coo_array(X[0]), ValueError, "Expected 2D"),
    "tensor with a gradient": (
        torch.from_numpy(X).requires_grad_(),
        TypeError,
        r"the tensor X, which requires a gradient\. Pass X\.detach\(\)\.cpu\(\)",
    ),
    "tensor on a device": (
        torch.empty(60, 5, device="meta"),
        TypeError,
        r"the tensor X, which is on device 'meta'\. Pass X\.detach\(\)\.cpu\(\)",
    ),
    "sparse tensor": (
        torch.from_numpy(X).to_sparse(),
        TypeError,
        r"which has layout torch.sparse_coo\. Pass X\.to_dense\(\)",
    ),
    "tensor of bfloat16": (
        torch.from_numpy(X).bfloat16(),
        TypeError,
        r"which has dtype torch.bfloat16\. Pass X\.float\(\)",
    ),
    "complex": (X * 1j, ValueError, "Complex data not supported"),
    "dates": (dates(), TypeError, r"X must be numeric. Got dtype datetime64\[ns\]; convert dates"),
    "durations": (dates("timedelta64[s]"), TypeError, r"Got dtype timedelta64\[s\]; convert"),
    "frame of dates": (
        pd.DataFrame(dates()).add_prefix("day"),
        TypeError,
        r"Got column 'day0' of dtype datetime64\[ns\], column 'day1' of .*, \.\.\.; convert",
    ),
    "frame with a date": (
        pd.DataFrame(X).assign(day=pd.Timestamp("2020-01-01", tz="UTC")),
        TypeError,
        r"Got column 'day' of dtype datetime64\[.*, UTC\]; convert",
    ),
    "polars frame with a date": (
        pl.DataFrame({"a": X[:, 0], "day": dates()[:, 0]}),
        TypeError,
        r"Got column 'day' of dtype Datetime.*; convert",
    ),
    "structured": (np.zeros((5, 5), dtype=[("a", float)]), TypeError, "pass an array of numbers"),
    "polars LazyFrame": (pl.DataFrame(X).lazy(), TypeError, r"LazyFrame; pass X\.collect\(\)"),
    "DataLoader": (DataLoader(TensorDataset(TENSORS)), TypeError, "DataLoader; pass its rows as"),
    "Dataset": (TensorDataset(TENSORS), TypeError, "TensorDataset; pass its rows as one array"),
    "generator": ((row for row in X), TypeError, "Got generator; pass its rows as one array"),
    "iterator": (iter([X]), TypeError, "Got list_iterator; pass its rows as one array"),
    "zip": (zip(X, X, strict=True), TypeError, "Got zip; pass its rows as one array"),
    "set": ({1.0, 2.0}, TypeError, "Got set; pass its rows as one array"),
    "dict": ({"a": X}, TypeError, "Got dict; pass its columns as a data frame"),
    "name of a file": ("rows.csv", TypeError, "Got 'rows.csv'; read the file first"),
    "path": (Path("rows.npy"), TypeError, r"Got \w+Path\('rows.npy'\); read the file first"),
    "None": (None, TypeError, "X must be an array.* Got NoneType"),
    "number": (3.0, TypeError, "X must be an array.* Got float"),
    "images": (
        X.reshape(-1, 1, 5),
        ValueError,
        r"two axes.*shape \(60, 1, 5\).*X\.reshape\(len\(X\), -1\).*image_shape=\(1, 5\)",
    ),
    "channels last": (
        np.zeros((9, 8, 8, 3)),
        ValueError,
        r"shape \(9, 8, 8, 3\).*X\.reshape\(len\(X\), -1\).*image_shape=\(8, 8, 3\)",
    ),
    "channels first": (
        np.zeros((9, 3, 8, 16)),
        ValueError,
        r"np\.moveaxis\(X, 1, -1\)\.reshape\(len\(X\), -1\).* image_shape=\(8, 16, 3\)",
    ),
    "list of batches": ([TENSORS, TENSORS], ValueError, r"shape \(2, 60, 5\).*np\.concatenate"),
}
bad_rows = pytest.mark.parametrize(("rows", "error", "message"), BAD_ROWS.values(), ids=BAD_ROWS)


@bad_rows
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_rows_that_cannot_be_learned_from_are_refused(method, rows, error, message):
    with pytest.raises(error, match=message):
        getattr(small(), method)(rows)


@bad_rows
@pytest.mark.parametrize(
    "method", ["transform", "reconstruct", "score", "score_samples", "predict_cluster"]
)
def test_rows_that_cannot_be_encoded_are_refused(model, method, rows, error, message):
    with pytest.raises(error, match=message):
        getattr(model, method)(rows)


@pytest.mark.parametrize("name", ["DataLoader", "generator", "dict", "dates", "images"])
def test_codes_that_are_no_rows_are_refused(model, name):
    rows, error, message = BAD_ROWS[name]
    with pytest.raises(error, match=message.replace("X", "Z")):
        model.inverse_transform(rows)


def test_sparse_codes_are_refused(model):
    with pytest.raises(TypeError, match=r"Sparse data was passed for Z.*toarray\(\)"):
        model.inverse_transform(scipy.sparse.csr_array(X[:, :4]))


@pytest.mark.parametrize(
    ("dtype", "error"),
    [("datetime64[ns]", TypeError), ("S8", ValueError), ("complex64", ValueError)],
)
@pytest.mark.parametrize("method", ["fit", "partial_fit", "transform"])
def test_memory_maps_of_other_things_than_numbers_are_refused(
    model, method, dtype, error, tmp_path
):
    with pytest.raises(error, match=r"numeric|Complex"):
        getattr(model if method == "transform" else small(), method)(memmap(dtype, tmp_path))


GOOD_ROWS = {
    "objects": X.astype(object),
    "objects of strings": X.astype(str).astype(object),
    "frame of strings": pd.DataFrame(X.astype(str)),
    "list": X.tolist(),
    "list of rows": list(X),
    "list of tensors": list(TENSORS),
    "tensor": TENSORS,
    "memoryview": memoryview(X),
    "float16": X.astype(np.float16),
}


@pytest.mark.filterwarnings("ignore:X does not have valid feature names")
@pytest.mark.parametrize("rows", GOOD_ROWS.values(), ids=GOOD_ROWS)
def test_rows_of_numbers_are_taken_in_any_dress(rows):
    fitted = small(max_epochs=1).fit(rows)
    np.testing.assert_array_equal(
        fitted.transform(rows), fitted.transform(np.array(fitted_as(rows)))
    )


def fitted_as(rows) -> np.ndarray:
    return np.asarray(rows).astype(np.float64)


@pytest.mark.parametrize(
    "method", ["fit", "partial_fit", "transform", "reconstruct", "score", "score_samples"]
)
def test_a_tensor_counts_as_the_array_it_shares_memory_with(model, method):
    assert np.shares_memory(model._rows(TENSORS), X)
    results = [getattr(copy.deepcopy(model), method)(rows) for rows in (X, TENSORS)]
    if method in ("fit", "partial_fit"):
        results = [fitted.transform(X) for fitted in results]
    np.testing.assert_array_equal(*results)


def test_the_encoder_takes_standardised_tensors(model):
    rows = torch.from_numpy(model.net_.standardizer.transform(X))
    with torch.no_grad():
        codes = model.net_.module_.averaged.encoder(rows)
    np.testing.assert_array_equal(codes.numpy(), model.transform(X))


def test_weights_of_rows_are_refused():
    for method in ("fit", "partial_fit", "fit_transform"):
        with pytest.raises(TypeError, match="takes no sample_weight: rows cannot be weighted"):
            getattr(small(), method)(X, sample_weight=np.ones(60))


@pytest.mark.parametrize("unit", [1e-18, 1e18])
def test_units_that_float32_cannot_square_are_refused(unit):
    with pytest.raises(ValueError, match=r"must be in \[1e-16, 1e\+16\].*StandardScaler"):
        small().fit(unit * X)


@pytest.mark.parametrize("unit", [1e-15, 1e15])
def test_units_short_of_that_make_no_difference(model, unit):
    assert small().fit(unit * X).score(unit * X) == pytest.approx(model.score(X), rel=1e-3)


ALIKE = np.full((200, 5), 0.1)
NOISE = np.random.RandomState(0).randn(200, 5)
CONSTANT = {
    "equal": ALIKE,
    "zeros": 0 * ALIKE,
    "ints": np.full((200, 5), 7),
    "float32": ALIKE.astype(np.float32),
    "rounding": ALIKE * (1 + 2e-16 * NOISE),
    "rounding in float32": (ALIKE * (1 + 1e-7 * NOISE)).astype(np.float32),
    "two rows": ALIKE[:2],
    "of [0, 1]": np.tile([0.0, 1.0], (200, 3)),
}


@pytest.mark.parametrize("rows", CONSTANT.values(), ids=CONSTANT)
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_rows_that_are_equal_but_for_rounding_give_one_warning_and_one_epoch(method, rows):
    with pytest.warns(ConvergenceWarning, match="All rows of X are equal but for rou") as caught:
        fitted = getattr(small(max_epochs="auto"), method)(rows)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    assert fitted.n_iter_ == 1
    assert np.isfinite(fitted.transform(rows)).all()
    assert (fitted.net_.standardizer.scale is None) == (rows.max() == 1)


VARYING = {
    "a constant column far away": np.c_[np.full(200, 1e9), NOISE],
    "the same in float32": np.c_[np.full(200, 1e9), NOISE].astype(np.float32),
    "one column varies": np.c_[ALIKE, NOISE[:, 0]],
    "two different rows": NOISE[:2],
    "two different rows, repeated": np.tile(NOISE[:2], (100, 1)),
    "three rows": NOISE[:3],
    "repeated rows": np.repeat(NOISE[:20], 10, axis=0),
}


@pytest.mark.parametrize("rows", VARYING.values(), ids=VARYING)
def test_a_few_different_rows_are_learned_from_in_full(rows):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fitted = small(max_epochs=100).fit(rows)
    assert fitted.n_iter_ == 100
    assert fitted.score(rows) > 0.2


def test_a_constant_later_piece_is_no_reason_to_warn():
    fitted = small().partial_fit(X)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fitted.partial_fit(np.tile(X[0], (60, 1)))
    assert not caught
    assert fitted.n_iter_ == 2


@pytest.mark.parametrize("dress", [np.asarray, scipy.sparse.csr_array])
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_one_row_is_too_few_to_learn_from(method, dress):
    message = r"1 sample\(s\).*minimum of 2 is required.*collect rows to pieces of two or more"
    with pytest.raises(ValueError, match=message):
        getattr(small(), method)(dress(X[:1]))


def test_one_row_is_too_few_for_a_later_piece(tmp_path):
    fitted = small().partial_fit(X)
    one = np.memmap(tmp_path / "one", dtype="float32", mode="w+", shape=(1, 5))
    for rows in (X[:1], one):
        with pytest.raises(ValueError, match="collect rows to pieces of two or more"):
            fitted.partial_fit(rows)
    assert fitted.n_iter_ == 1
    assert fitted.n_samples_seen_ == 60
    assert fitted.partial_fit(X[:2]).n_samples_seen_ == 62


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


OUTSIDE = [
    ("sigmoid", lambda rows: 255 * rows),
    ("sigmoid", lambda rows: 2 * rows - 1),
    ("sigmoid", lambda rows: (255 * rows).astype(int)),
    ("sigmoid", lambda rows: pd.DataFrame(2 * rows - 1)),
    ("sigmoid", lambda rows: (2 * rows)[:1]),
    ("tanh", lambda rows: 255 * rows),
]


@pytest.mark.parametrize(("activation", "change"), OUTSIDE)
@pytest.mark.parametrize(
    "method", ["transform", "reconstruct", "score", "score_samples", "predict_cluster"]
)
def test_new_rows_far_outside_the_range_give_one_warning(method, activation, change):
    fitted = small(output_activation=activation, max_epochs=1).fit(X)
    with pytest.warns(UserWarning, match=f"activation='{activation}'. Scale X as") as caught:
        getattr(fitted, method)(change(X))
    assert [warning.filename for warning in caught] == [__file__]


@pytest.mark.parametrize(
    ("activation", "rows"), [("sigmoid", 1.08 * X - 0.04), ("tanh", 1.1 * X), ("identity", 9 * X)]
)
def test_new_rows_in_the_range_or_a_little_beyond_give_none(activation, rows):
    fitted = small(output_activation=activation, max_epochs=1).fit(X)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = fitted.transform(rows), fitted.score(rows)
    assert not caught
    assert all(np.isfinite(values).all() for values in found)


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
    ("network", {"encoder": torch.nn.Linear, "decoder": torch.nn.Linear}),
    ("network", torch.nn.Linear(5, 8)),
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
    ("device", "meta"),
    ("device", torch.device("cuda:99")),
    ("precision", "float16"),
    ("compile", "yes"),
    ("checkpoint", 3),
    ("checkpoint", ("file", 0)),
    ("callbacks", "early_stopping"),
    ("callbacks", 3),
    ("callbacks", [3]),
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
    ({"image_shape": (3, 10, 10)}, r"3 x 10 pixels of 10 channels.*\(10, 10, 3\)"),
    ({"image_shape": (3, 10, 10), "network": "ali"}, r"Channels come last.*\(10, 10, 3\)"),
    ({"image_shape": (1, 12, 25)}, r"transpose\(0, 2, 3, 1\).*image_shape=\(12, 25, 1\)"),
    ({"augmentations": ("flip",)}, r"augmentations=\('flip',\) needs images. Got image_shape=None"),
    ({"network": "dcgan"}, r"network='dcgan' needs images. Got image_shape=None; say how"),
    ({"network": "ali"}, r"network='ali' needs images. Got image_shape=None; say how"),
]


@pytest.mark.parametrize(("parameters", "message"), BAD_IMAGES)
def test_what_cannot_be_read_as_images_says_what_would_be(parameters, message):
    with pytest.raises(ValueError, match=message):
        BiGANTransformer(**parameters).fit(IMAGES)


@pytest.mark.parametrize(
    ("image_shape", "network", "warns"),
    [
        ((16, 8, 8), "auto", True),
        ((3, 10, 10), "mlp", True),
        ((1, 28, 28), "mlp", True),
        ((8, 8, 3), "auto", False),
        ((8, 8, 8), "auto", False),
        ((8, 16, 3), "auto", False),
        ((16, 16, 100), "auto", False),
        ((1, 100, 32), "mlp", False),
    ],
)
def test_channels_that_seem_to_come_first_give_a_warning(image_shape, network, warns):
    images = np.random.RandomState(0).rand(5, math.prod(image_shape))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        small(image_shape=image_shape, network=network, max_epochs=0).fit(images)
    assert ["Channels come last" in str(warning.message) for warning in caught] == [True] * warns


def test_the_advice_on_channels_brings_them_last(digits):
    images = digits[:50].reshape(50, 8, 8, 1) * [1, 2, 3]
    X = images.transpose(0, 3, 1, 2).reshape(50, -1)
    with pytest.raises(ValueError, match="Channels come last") as raised:
        small(image_shape=(3, 8, 8)).fit(X)
    advised = str(raised.value).split("use ")[1].split(" and ")[0]
    np.testing.assert_array_equal(eval(advised), images.reshape(50, -1))


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
    check_message(str(raised.value), name, value)


def check_message(message: str, name: str, value) -> None:
    assert f"The '{name}' parameter" in message
    assert "must " in message
    assert f"Got {value[0] if value == [3] else value!r}" in message


HERE = [(name, value) for name, value in BAD_PARAMETERS if "99" in str(value) or value == "meta"]
NOWHERE = [pair for pair in BAD_PARAMETERS if pair not in HERE]


@pytest.fixture(scope="module")
def state(model) -> str:
    return joblib.hash(model.__getstate__())


@pytest.mark.parametrize(("name", "value"), NOWHERE)
@pytest.mark.parametrize("way", ["partial_fit", "warm fit"])
def test_a_parameter_out_of_range_is_noticed_where_training_goes_on(model, state, way, name, value):
    changed = copy.copy(model).set_params(**{name: value})
    if way == "warm fit" and name != "warm_start":
        changed.set_params(warm_start=True)
    net = changed.net_
    with pytest.raises((ValueError, TypeError)) as raised:
        getattr(changed, way.removeprefix("warm "))(X)
    check_message(str(raised.value), name, value)
    assert changed.net_ is net
    assert joblib.hash(changed.set_params(**model.get_params()).__getstate__()) == state


@pytest.mark.parametrize(("name", "value"), HERE)
def test_a_model_from_another_machine_is_trained_further_where_it_is(model, name, value):
    changed = copy.copy(model).set_params(device=value).partial_fit(X)
    assert changed.device_ == "cpu"


WAYS = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "pickle": lambda model: pickle.loads(pickle.dumps(model)),
}


@pytest.mark.parametrize(("name", "value"), BAD_PARAMETERS)
def test_a_parameter_set_to_nonsense_after_fit_spoils_neither_use_nor_copies(model, name, value):
    expected = model.transform(X)
    changed = copy.copy(model).set_params(**{name: value})
    for copied in (changed, *(way(changed) for way in WAYS.values())):
        assert copied.get_params()[name] is value or name in repr(copied)
        assert copied.score(X) == model.score(X)
        if name == "features":
            for use in (copied.transform, copied.inverse_transform, copied.get_feature_names_out):
                with pytest.raises(ValueError, match="The 'features' parameter"):
                    use(*([] if use == copied.get_feature_names_out else [X]))
            continue
        np.testing.assert_array_equal(copied.transform(X), expected)
        assert copied.inverse_transform(expected).shape == X.shape
        assert len(copied.get_feature_names_out()) == expected.shape[1]
        assert copied.sample(3).shape == (3, 5)


def test_a_device_may_be_torchs(small_digits):
    fitted = small(device=torch.device("cpu")).fit(small_digits)
    assert fitted.device_ == "cpu"
    assert pickle.loads(pickle.dumps(fitted)).partial_fit(small_digits).n_iter_ == 3


def missing(n, latent_dim):
    """A factory with another name for the number of features."""


def without_image_shape(n_features, latent_dim):
    """A factory for tables."""


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"hidden_layer_sizes": 128}, r"such as \(256, 256\)\. Got 128.* one layer pass \(128,\)"),
        ({"network": {"enc": missing}}, r"one or more of the keys \('encoder', 'generator', 'disc"),
        ({"network": {"encoder": nn.Linear(5, 8)}}, "torch.nn.Module.*, a module already made"),
        ({"network": {"generator": "mlp"}}, "map 'generator' to a class or function"),
        (
            {"network": {"encoder": missing}},
            r"keywords n_features, latent_dim\. Got .*signature \(n, latent_dim\)",
        ),
        (
            {"network": {"encoder": without_image_shape}, "image_shape": (8, 8)},
            "keywords n_features, latent_dim, image_shape.*unexpected keyword argument 'image_sh",
        ),
    ],
)
def test_the_message_says_what_is_wrong_with_it(parameters, said, small_digits):
    with pytest.raises((ValueError, TypeError), match=said):
        small(**parameters).fit(small_digits)


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


LEARNED = ["net_", "history_", "n_iter_", "output_activation_", "device_", "mean_"]


@pytest.mark.parametrize("name", [*LEARNED, "n_samples_seen_"])
def test_what_is_learned_is_not_there_before_fit(name, model):
    with pytest.raises(NotFittedError, match="This BiGANTransformer instance is not fitted yet"):
        getattr(small(), name)
    assert not hasattr(small(), name)
    assert hasattr(model, name)


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
