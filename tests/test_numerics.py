"""Numbers of any origin, unit, size and dtype: what is learned of them, and what comes back."""

import re

import numpy as np
import pandas as pd
import pytest
from factories import small
from sklearn.datasets import load_breast_cancer, load_iris
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from sklearn_bigan._data.standardizer import Standardizer


def plane(n_rows=300, seed=0):
    """Return rows near a plane in eight dimensions."""
    random = np.random.default_rng(seed)
    A = np.random.default_rng(9).normal(size=(2, 8))
    return random.normal(size=(n_rows, 2)) @ A + 0.1 * random.normal(size=(n_rows, 8))


def seconds(n_rows=300):
    """Return rows with a column of times within a minute, in seconds since 1970."""
    rows = plane(n_rows)
    return np.column_stack([1.7e9 + 10 * rows[:, 0], rows[:, 1:]])


def r2(X, X_hat):
    X = np.asarray(X).astype(np.longdouble)
    return float(1 - np.square(X - X_hat).sum() / np.square(X - X.mean(0)).sum())


TABLES = {
    "origin 0": lambda: plane(),
    "origin 1e4": lambda: plane() + 1e4,
    "origin 1e6": lambda: plane() + 1e6,
    "origin 1e8": lambda: plane() + 1e8,
    "origin 1e9": lambda: plane() + 1e9,
    "origin 1e12": lambda: plane() + 1e12,
    "origin 1e15": lambda: plane() + 1e15,
    "small spread": lambda: 1e-4 * plane() + 1e7,
    "seconds": seconds,
    "integers": lambda: (1000 * plane()).astype(np.int64) + 2**40,
    "int64 near its end": lambda: (1e5 * plane()).astype(np.int64) + (2**63 - 10**7),
    "uint64": lambda: (1e5 * plane()).astype(np.int64).astype(np.uint64) + np.uint64(2**63 + 10**9),
    "longdouble": lambda: plane().astype(np.longdouble) + 1e8,
    "float16": lambda: plane().astype(np.float16),
    "float32": lambda: (plane() + 1e4).astype(np.float32),
    "frame": lambda: pd.DataFrame(seconds(), columns=list("abcdefgh")),
    "two units": lambda: plane() * ([1e-8] * 4 + [1e8] * 4),
    "subnormal column": lambda: np.column_stack([plane(), 1e-310 * plane()[:, 0]]),
    "constant column": lambda: np.column_stack([plane(), np.full(300, 1e9 + 0.25)]),
}


@pytest.mark.parametrize("name", TABLES)
def test_a_table_is_learned_and_scored_as_it_came(name):
    X = TABLES[name]()
    model = small(n_components=2, hidden_layer_sizes=(64,), max_epochs=20).fit(X)
    X_hat = model.reconstruct(X)
    # at 1e15 float64 is spaced by a tenth of the spread
    assert model.score(X) == pytest.approx(r2(X, X_hat), abs=1e-5)
    assert model.score(X) > 0.9
    assert len(np.unique(model.transform(X), axis=0)) == 300
    Z = model.transform(X)
    assert Z.dtype == np.float32
    np.testing.assert_array_equal(model.inverse_transform(Z), X_hat)
    assert model.sample(3).dtype == X_hat.dtype
    assert np.isfinite(model.score_samples(X)).all()


@pytest.mark.parametrize(
    ("center", "scale", "dtype"),
    [
        ([0, 0], [1, 1], np.float32),
        ([1e4, -1e4], [1, 1], np.float32),
        ([0, 1e5], [1, 1], np.float64),
        ([0, -1e5], [1, 1], np.float64),
        ([0, 1e5], [1, 1e3], np.float32),
    ],
)
def test_rows_come_back_as_float64_only_where_float32_rounds_too_much(center, scale, dtype):
    made = Standardizer(np.array(center, dtype=float), np.array(scale, dtype=float))
    assert made.output_dtype == dtype
    assert made.inverse_transform(np.zeros((3, 2), np.float32)).dtype == dtype


def test_rows_of_a_bounded_range_come_back_as_float32():
    X = MinMaxScaler().fit_transform(plane())
    model = small(output_activation="sigmoid").fit(X)
    assert model.reconstruct(X).dtype == model.sample(2).dtype == np.float32


def test_a_memory_map_far_from_the_origin(tmp_path):
    X = seconds()
    np.save(tmp_path / "rows.npy", X)
    found = []
    for rows in (X, np.load(tmp_path / "rows.npy", mmap_mode="r")):
        model = small(n_components=2, max_epochs=20).fit(rows)
        found.append((model.reconstruct(rows), model.score(rows)))
    np.testing.assert_array_equal(found[0][0], found[1][0])
    assert found[0][1] == found[1][1] > 0.5


def test_partial_fit_of_pieces_far_from_the_origin():
    X = plane() + 1e8
    model = small(n_components=2, hidden_layer_sizes=(64,))
    for _ in range(20):
        for piece in (X[::2], X[1::2]):
            model.partial_fit(piece)
    assert model.score(X) == pytest.approx(r2(X, model.reconstruct(X)), abs=1e-6)
    assert model.score(X) > 0.9


def test_cross_validation_prefers_the_model_that_learned():
    X = plane() + 1e8
    untrained, trained = (
        cross_val_score(small(n_components=2, max_epochs=epochs), X, cv=2).mean()
        for epochs in (0, 20)
    )
    assert untrained < 0.5 < trained


# Units and tails.


@pytest.mark.parametrize("unit", [1e-3, 1.0, 1e3])
def test_outliers_are_found_whatever_the_unit_of_a_column(unit):
    units = np.array([unit] + [1.0] * 7)
    X, normal = plane(600), plane(200, seed=1)
    outliers = np.random.default_rng(2).normal(size=(100, 8)) * X.std(axis=0)
    model = small(hidden_layer_sizes=(64,), max_epochs=30).fit(X * units)
    scores = model.score_samples(np.concatenate([normal, outliers]) * units)
    assert roc_auc_score([1] * 200 + [0] * 100, scores) > 0.97


def test_columns_that_are_nearly_constant_spoil_no_reconstruction_of_new_rows(digits):
    # Scaled to unit variance, pixels that are rarely lit have values of 30 standard deviations.
    X = StandardScaler().fit(digits[:300]).transform(digits)
    assert np.abs(X[300:]).max() > 15
    model = small(n_components=8, hidden_layer_sizes=(64,), max_epochs=60).fit(X[:300])
    assert model.score(X[300:]) > 0


# Rows far from the training data.

METHODS = ("transform", "reconstruct", "score", "score_samples", "predict_cluster")


@pytest.mark.filterwarnings("ignore:X has values from")
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("value", [1e20, 1e38, 1e39, 1e300])
@pytest.mark.parametrize("activation", ["identity", "sigmoid"])
@pytest.mark.parametrize("image_shape", [None, (8, 8)])
def test_huge_rows_give_finite_results_or_a_clear_error(method, value, activation, image_shape):
    X = MinMaxScaler().fit_transform(np.tile(plane(100), (1, 8)))
    model = small(output_activation=activation, image_shape=image_shape, max_epochs=1).fit(X)
    rows = X[:50].copy()
    rows[31, 1] = value
    message = r"too large for dtype\('float32'\)|Row 31 is too far from the training data"
    try:
        found = getattr(model, method)(rows)
    except ValueError as error:
        found = 0.0 if value >= 1e38 and re.search(message, str(error)) else np.nan
    assert np.isfinite(found).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_squashing_follows_its_formula_from_the_smallest_values_to_the_largest(dtype):
    t = np.array([[s * 10.0**power for s in (-1, 1)] for power in range(-30, 39)], dtype=dtype)
    bound = np.array([5.0, 12.0])
    made = Standardizer(np.zeros(2), np.ones(2), bound, minimum=t.min(0), maximum=t.max(0))
    expected = t / np.hypot(1, t.astype(np.float64) / bound)
    np.testing.assert_allclose(made.transform(t), expected, rtol=3e-7)


@pytest.mark.filterwarnings("ignore:X has values from")
def test_the_row_that_overflows_is_named_by_its_number(monkeypatch):
    from sklearn_bigan._runtime import inference

    monkeypatch.setattr(inference, "CHUNK_ROWS", 40)
    X = MinMaxScaler().fit_transform(plane(100))
    model = small(output_activation="sigmoid").fit(X)
    X[70] = 3e38
    with pytest.raises(ValueError, match="Row 70 is too far from the training data"):
        model.transform(X)


@pytest.mark.parametrize("X", [1e300 + plane(), 1e300 * plane()])
def test_x_beyond_float32_is_refused(X):
    with pytest.raises(ValueError, match=r"too large for dtype\('float32'\)"):
        small().fit(X)


def test_x_of_subnormal_numbers_is_constant():
    X = 1e-310 * plane(50)
    model = small(max_epochs=1).fit(X)
    assert np.isfinite(model.reconstruct(X)).all()
    assert model.score(X) == 0


# The range of the output activation.


def random_table(seed):
    random = np.random.default_rng(seed)
    return random.normal(size=(60, 20)) + random.uniform(-100, 100, 20)


@pytest.mark.parametrize(("activation", "low"), [("sigmoid", 0), ("tanh", -1)])
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_what_min_max_scaler_leaves_beyond_the_range_in_float32_is_rounding(
    activation, low, method
):
    tables = [load_breast_cancer().data, load_iris().data, *map(random_table, range(10))]
    n_beyond = 0
    for X in tables:
        scaled = MinMaxScaler((low, 1)).fit_transform(X.astype(np.float32))
        n_beyond += scaled.min() < low or scaled.max() > 1
        getattr(small(output_activation=activation, max_epochs=0), method)(scaled)
    assert n_beyond > 3


def test_scaled_folds_have_one_output_activation():
    X = (load_breast_cancer().data).astype(np.float32)
    model = make_pipeline(MinMaxScaler(), small(max_epochs=0))
    for fold in range(5):
        rows = X[np.arange(len(X)) % 5 != fold]
        assert model.fit(rows)[-1].output_activation_ == "sigmoid"


@pytest.mark.parametrize(
    ("value", "printed"), [(1.0011, r"to 1\.0011"), (-0.0011, r"from -0\.0011"), (1.5, r"to 1\.5")]
)
def test_values_beyond_rounding_are_printed_as_they_are(value, printed):
    X = MinMaxScaler().fit_transform(plane())
    X[3, 3] = value
    with pytest.raises(ValueError, match=rf"X must lie in \[0, 1\].*{printed}"):
        small(output_activation="sigmoid").fit(X)


def test_rows_that_do_not_fill_the_range_are_unbounded():
    X = MinMaxScaler((1e-5, 1)).fit_transform(plane())
    assert small(max_epochs=0).fit(X).output_activation_ == "identity"
