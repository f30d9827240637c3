"""Properties that hold for rows of any shape, dtype and layout, found out by hypothesis."""

import tempfile
import warnings
from pathlib import Path

import numpy as np
import pytest
from factories import small
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from sklearn_bigan import BiGANTransformer

pytestmark = pytest.mark.slow

quick = settings(
    deadline=None,
    derandomize=True,
    max_examples=40,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
FLOATS = ["float16", "float32", "float64", "longdouble", ">f4", ">f8"]
INTEGERS = ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", ">i4", "bool"]
WIDTHS = range(1, 13)
_models: dict[int, BiGANTransformer] = {}


def model_of(n_columns: int) -> BiGANTransformer:
    """Return a model of that many columns, which no test changes."""
    if n_columns not in _models:
        X = np.random.default_rng(0).normal(size=(20, n_columns))
        # Not fewer units: of 8, some CPUs compute other bits by a row's place in the batch.
        _models[n_columns] = small(hidden_layer_sizes=(16,), max_epochs=1).fit(X)
    return _models[n_columns]


def shapes(min_rows: int, max_rows: int) -> st.SearchStrategy[tuple[int, int]]:
    return st.tuples(st.integers(min_rows, max_rows), st.sampled_from(WIDTHS))


@st.composite
def whole_rows(draw: st.DrawFn) -> np.ndarray:
    """Draw rows of whole numbers that every dtype of `FLOATS` and `INTEGERS` but bool holds."""
    return draw(hnp.arrays(np.float64, draw(shapes(1, 40)), elements=st.integers(0, 127)))


@st.composite
def any_rows(draw: st.DrawFn, min_rows: int = 1, max_rows: int = 40) -> np.ndarray:
    """Draw rows of any dtype and value, its extremes, NaN and infinity included."""
    dtype = np.dtype(draw(st.sampled_from(FLOATS + INTEGERS)))
    shape = draw(shapes(min_rows, max_rows))
    if dtype == np.longdouble:  # hypothesis draws none, and numpy warns if it is made to
        X = draw(hnp.arrays(np.float64, shape, elements=st.floats(width=64)))
        return X.astype(dtype)
    return draw(hnp.arrays(dtype, shape))


def every_other(X: np.ndarray) -> np.ndarray:
    return np.repeat(X, 2, axis=0)[::2]


def read_only(X: np.ndarray) -> np.ndarray:
    X = X.copy()
    X.flags.writeable = False
    return X


def unaligned(X: np.ndarray) -> np.ndarray:
    moved = np.zeros(X.nbytes + 1, np.uint8)[1:].view(X.dtype).reshape(X.shape)
    moved[:] = X
    return moved


LAYOUTS = {
    "C": np.ascontiguousarray,
    "F": np.asfortranarray,
    "every other row": every_other,
    "every other column": lambda X: np.repeat(X, 2, axis=1)[:, ::2],
    "backwards": lambda X: X[::-1].copy()[::-1],
    "columns backwards": lambda X: X[:, ::-1].copy()[:, ::-1],
    "read-only": read_only,
    "unaligned": unaligned,
}


@quick
@given(whole_rows(), st.sampled_from(FLOATS + INTEGERS), st.sampled_from(sorted(LAYOUTS)))
def test_the_same_values_have_the_same_bits(X, dtype, layout):
    if dtype == "bool":
        X = (X > 60).astype(float)
    model = model_of(X.shape[1])
    rows = LAYOUTS[layout](X.astype(dtype))
    np.testing.assert_array_equal(rows, X)
    np.testing.assert_array_equal(model.transform(rows), model.transform(X))


@quick
@given(whole_rows(), st.sampled_from(["r", "c", "r+"]), st.sampled_from("CF"))
def test_memory_maps_have_the_bits_of_arrays(X, mode, order):
    model = model_of(X.shape[1])
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "rows.npy"
        np.save(path, np.asarray(X, order=order))
        content = path.read_bytes()
        rows = np.load(path, mmap_mode=mode)
        Z = model.transform(rows)
        del rows
        assert path.read_bytes() == content
    np.testing.assert_array_equal(Z, model.transform(X))


@quick
@given(whole_rows(), st.data())
def test_row_i_depends_on_row_i_alone(X, data):
    model = model_of(X.shape[1])
    Z = model.transform(X)
    i = data.draw(st.integers(0, len(X) - 1))
    np.testing.assert_array_equal(model.transform(X[i : i + 1])[0], Z[i])
    order = data.draw(st.permutations(range(len(X))))
    np.testing.assert_array_equal(model.transform(X[order]), Z[order])
    others = np.arange(len(X)) != i
    changed = X.copy()
    changed[i] = data.draw(st.sampled_from([0.0, -1e6, 1e20]))
    np.testing.assert_array_equal(model.transform(changed)[others], Z[others])


def outcome(call, X: np.ndarray) -> np.ndarray | None:
    """Return what the call gives, or None if it refuses X, named; X must stay as it is."""
    before, flags, said = X.tobytes(), str(X.flags), ""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            warnings.filterwarnings("ignore", message=".*", category=UserWarning)
            found = call(X)
    except (ValueError, TypeError) as error:
        found, said = None, str(error)
    assert found is not None or "X" in said or "Row" in said
    assert X.tobytes() == before
    assert str(X.flags) == flags
    return found


@quick
@given(any_rows(), st.sampled_from(["transform", "reconstruct", "score_samples"]))
def test_any_rows_give_finite_values_or_are_refused(X, method):
    model = model_of(X.shape[1])
    found = outcome(getattr(model, method), X)
    if found is None:
        # Only NaN, infinity, and what float32 does not hold.
        with np.errstate(over="ignore"):
            assert not (np.abs(X.astype(np.float64)) < 1e30).all()
    else:
        columns = {"transform": (4,), "reconstruct": X.shape[1:], "score_samples": ()}[method]
        assert found.shape == (len(X), *columns)
        assert found.dtype in ((np.float32,) if method == "transform" else (np.float32, np.float64))
        assert np.isfinite(found).all()


@settings(quick, max_examples=25)
@given(any_rows(2, 60))
def test_any_rows_can_be_fitted_or_are_refused(X):
    model = small(hidden_layer_sizes=(8,), max_epochs=1)
    if outcome(model.fit, X) is None:
        assert set(vars(model)) == set(model.get_params())
        return
    assert model.n_features_in_ == X.shape[1]
    Z = model.transform(X)
    assert Z.shape == (len(X), 4)
    assert Z.dtype == np.float32
    assert np.isfinite(Z).all()
    assert np.isfinite(model.inverse_transform(Z)).all()


@settings(quick, max_examples=15)
@given(whole_rows(), st.sampled_from(["float16", "longdouble", "uint8", ">f8"]))
def test_fit_gives_the_same_bits_for_any_layout(X, dtype):
    if len(X) < 2:
        X = np.repeat(X, 2, axis=0)
    codes = [
        small(hidden_layer_sizes=(8,), max_epochs=1).fit(rows.astype(dtype)).transform(X)
        for rows in (X, np.asfortranarray(X), every_other(X))
    ]
    for Z in codes[1:]:
        np.testing.assert_array_equal(Z, codes[0])


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts_are_what_they_are_called(layout):
    X = np.arange(12.0).reshape(4, 3)
    rows = LAYOUTS[layout](X)
    np.testing.assert_array_equal(rows, X)
    assert (rows.flags.c_contiguous and rows.flags.writeable and rows.flags.aligned) == (
        layout == "C"
    )
