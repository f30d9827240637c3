"""Sparse rows are learned and encoded as the same rows in an array, without making X dense."""

import tracemalloc
import warnings

import numpy as np
import pytest
import scipy.sparse
from factories import small
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder
from sklearn.utils import get_tags

from sklearn_bigan import BiGANTransformer
from sklearn_bigan._data import source, statistics
from sklearn_bigan._runtime import inference
from sklearn_bigan._training.checkpoint import fingerprint
from sklearn_bigan.metrics import prior_score, sample_score, trustworthiness_score

COUNTS = np.random.default_rng(0).poisson(0.3, (203, 7))
FORMATS = ["csr_matrix", "csr_array", "csc_matrix", "csc_array", "coo_matrix", "coo_array"]


def sparse(rows: np.ndarray = COUNTS, kind: str = "csr_array"):
    return getattr(scipy.sparse, kind)(rows)


def with_duplicates(rows: np.ndarray = COUNTS) -> scipy.sparse.csr_array:
    """Return a CSR matrix that holds each entry in two halves, which count together."""
    x = sparse(rows)
    made = scipy.sparse.csr_array(
        (np.repeat(x.data / 2, 2), np.repeat(x.indices, 2), 2 * x.indptr), shape=x.shape
    )
    assert not made.has_canonical_format
    return made


@pytest.fixture
def small_pieces(monkeypatch):
    """Blocks, chunks and strips of a few rows or columns, so that there are several of each."""
    monkeypatch.setattr(source, "BLOCK_ROWS", 40)
    monkeypatch.setattr(source, "SPANS_PER_BLOCK", 4)
    monkeypatch.setattr(statistics, "CHUNK_ROWS", 50)
    monkeypatch.setattr(statistics, "STRIP_VALUES", 150)
    monkeypatch.setattr(statistics, "SAMPLE_ROWS", 100)
    monkeypatch.setattr(statistics, "SAMPLE_SPANS", 10)
    monkeypatch.setattr(inference, "CHUNK_ROWS", 64)


def test_the_tag_says_so():
    assert get_tags(BiGANTransformer()).input_tags.sparse


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("dtype", ["float64", "float32", "int64", "uint8", "bool"])
def test_sparse_rows_are_learned_to_the_bit_as_an_array(kind, dtype):
    X = COUNTS.astype(dtype)
    models = [small().fit(rows) for rows in (X, sparse(X, kind))]
    np.testing.assert_array_equal(*(model.transform(X) for model in models))
    np.testing.assert_array_equal(*(model.mean_ for model in models))


@pytest.mark.parametrize("activation", ["identity", "sigmoid"])
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_sparse_rows_in_several_blocks_are_learned_to_the_bit(small_pieces, activation, method):
    X = COUNTS / COUNTS.max()
    models = [small(output_activation=activation) for _ in range(2)]
    for model, rows in zip(models, (X, sparse(X)), strict=True):
        getattr(model, method)(rows)
        getattr(model, method)(rows[:100])
    np.testing.assert_array_equal(*(model.transform(X) for model in models))


@pytest.mark.parametrize(
    "method",
    [
        "transform",
        "reconstruct",
        "score",
        "score_samples",
        "predict_cluster",
        "posterior_moments",
    ],
)
@pytest.mark.parametrize("kind", FORMATS)
def test_every_method_has_the_results_of_an_array(small_pieces, method, kind):
    model = small(posterior="gaussian", max_epochs=1).fit(COUNTS)
    results = [getattr(model, method)(rows) for rows in (COUNTS, sparse(kind=kind))]
    np.testing.assert_array_equal(*results)


@pytest.mark.parametrize("n_columns", [1, 2, 3, 5])
def test_strips_of_columns_have_the_statistics_of_all(monkeypatch, n_columns):
    monkeypatch.setattr(statistics, "STRIP_VALUES", 1)
    X = np.random.default_rng(0).lognormal(size=(300, n_columns))
    found = [small(max_epochs=0).fit(rows).net_.standardizer for rows in (X, sparse(X))]
    for name in ("center", "scale", "bound", "minimum", "maximum", "variance"):
        np.testing.assert_array_equal(*(getattr(each, name) for each in found))


def test_rows_without_any_entry_are_zeros(small_pieces):
    X = COUNTS.copy()
    X[50:130] = 0
    models = [small().fit(rows) for rows in (X, sparse(X))]
    np.testing.assert_array_equal(*(model.transform(X) for model in models))
    np.testing.assert_array_equal(*(models[0].transform(rows[60:70]) for rows in (X, sparse(X))))


def test_duplicate_entries_are_added_up_and_stay_as_they_are():
    x = with_duplicates(COUNTS / COUNTS.max())
    entries = x.data.copy()
    for array in (x.data, x.indices, x.indptr):
        array.flags.writeable = False
    model = small(output_activation="sigmoid").fit(x)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        codes = model.transform(x)
    with pytest.warns(UserWarning, match="X has values from 0 to 2"):
        model.transform(with_duplicates(2 * COUNTS / COUNTS.max()))
    np.testing.assert_array_equal(codes, model.transform(COUNTS / COUNTS.max()))
    np.testing.assert_array_equal(x.data, entries)


@pytest.mark.parametrize("method", ["fit", "transform"])
def test_another_number_of_columns_is_refused(method):
    model = small(max_epochs=1, warm_start=True).fit(sparse())
    with pytest.raises(ValueError, match="X has 6 features, but BiGANTransformer is expecting 7"):
        getattr(model, method)(sparse(COUNTS[:, :6]))


def test_a_checkpoint_knows_the_rows_again_in_either_form(tmp_path):
    x = sparse()
    assert fingerprint(x) == fingerprint(COUNTS)
    assert fingerprint(sparse(COUNTS + np.eye(203, 7, dtype=int))) != fingerprint(x)
    path = tmp_path / "training"
    first = small(checkpoint=path).fit(x)
    np.testing.assert_array_equal(small(checkpoint=path).fit(x).transform(x), first.transform(x))


def test_the_net_takes_them_and_callbacks_see_them(capsys):
    model = small(verbose=1).fit(sparse())
    np.testing.assert_array_equal(
        model.net_.predict(sparse(kind="coo_array")), model.transform(COUNTS)
    )
    assert "203 rows of 7 columns" in "".join(capsys.readouterr())
    assert len(model.net_.partial_fit(sparse(kind="coo_array")).history) == 4


@pytest.mark.parametrize("metric", [prior_score, sample_score, trustworthiness_score])
@pytest.mark.parametrize("n_rows", [203, 1100])
def test_metrics_take_them(metric, n_rows):
    X = np.random.default_rng(0).poisson(0.3, (n_rows, 7))
    model = small(max_epochs=1).fit(X)
    assert metric(model, sparse(X)) == metric(model, X)


def test_encoders_whose_output_is_sparse_need_no_step_in_between():
    colours = np.array([["red", "green", "blue"] * 20]).T
    assert make_pipeline(OneHotEncoder(), small()).fit_transform(colours).shape == (60, 4)
    texts = [f"{colour} {shape}" for colour in "abcdef" for shape in ("round", "square", "long")]
    assert make_pipeline(TfidfVectorizer(), small()).fit_transform(texts).shape == (18, 4)


# Dense, 400 MB in float32 and 800 MB in its own dtype.
WIDE = scipy.sparse.random_array((20_000, 5000), density=0.001, random_state=0, format="csr")


def with_peak(function, *args):
    """Return the result of a call, and by how much memory rose during it."""
    tracemalloc.start()
    try:
        return function(*args), tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_wide_sparse_rows_are_never_dense_as_a_whole():
    model, peak = with_peak(small(max_epochs=0, n_neighbors=0).fit, WIDE)
    assert peak < 350e6
    codes, peak = with_peak(model.transform, WIDE)
    assert peak < 150e6
    few = slice(1000, 1400)
    np.testing.assert_array_equal(codes[few], model.transform(WIDE[few].toarray()))
    np.testing.assert_array_equal(codes[-few.stop :], model.transform(WIDE[-few.stop :].toarray()))
