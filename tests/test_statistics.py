"""Column statistics in one pass, and the standardisation made of them."""

import numpy as np
import pytest
from factories import small, table

from sklearn_bigan._data import source, statistics
from sklearn_bigan._data.standardizer import Standardizer
from sklearn_bigan._data.statistics import SQUASHED_INTO, ColumnStatistics


def of(X: np.ndarray) -> ColumnStatistics:
    return ColumnStatistics.of(X, "BiGANTransformer")


def standardizer(X: np.ndarray, *, bounded: bool = False, shared: bool = False) -> Standardizer:
    return of(X).standardizer(X, bounded=bounded, shared=shared)


class Watched(np.ndarray):
    """Rows that record which of them are read."""

    def __getitem__(self, rows):
        self.read.append((rows.start, rows.stop))
        return self.view(np.ndarray)[rows]


@pytest.mark.parametrize("offset", [0.0, 1e9])
def test_merged_chunks_have_the_statistics_of_all_rows(monkeypatch, offset):
    monkeypatch.setattr(statistics, "CHUNK_ROWS", 7)
    X = table(200) * [1, 1, 1, 10, 0.1, 3] + offset
    found = of(X)
    assert found.n_rows == 200
    # The difference is exact; at a large offset numpy's own mean and variance are not.
    centred = X - offset
    np.testing.assert_allclose(found.mean, offset + centred.mean(axis=0), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(found.variance, centred.var(axis=0), rtol=1e-12)
    np.testing.assert_array_equal(found.minimum, X.min(axis=0))
    np.testing.assert_array_equal(found.maximum, X.max(axis=0))


def test_every_row_is_read_once(monkeypatch):
    monkeypatch.setattr(statistics, "CHUNK_ROWS", 50)
    X = table(120).view(Watched)
    X.read = []
    of(X)
    assert X.read == [(0, 50), (50, 100), (100, 120)]


@pytest.mark.parametrize("dtype", ["float32", "int64", "uint8"])
def test_statistics_of_any_dtype_are_computed_in_float64(dtype):
    X = np.random.default_rng(0).integers(0, 200, (300, 3)).astype(dtype)
    found = of(X)
    np.testing.assert_allclose(found.mean, X.astype(float).mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(found.variance, X.astype(float).var(axis=0), rtol=1e-12)


@pytest.mark.parametrize(("value", "word"), [(np.nan, "NaN"), (np.inf, "infinity")])
def test_values_that_are_not_finite_are_refused_with_scikit_learns_message(value, word):
    X = table(100)
    X[70, 2] = value
    with pytest.raises(ValueError, match=f"Input X contains {word}"):
        of(X)


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (np.full((10, 2), 1e39), r"too large for dtype\('float32'\)"),
        (np.array([[1.0], [1e39], [2.0]]), r"too large for dtype\('float32'\)"),
        (1e17 * table(20), r"mean variance of X's columns must be in .* Got 1.7e\+17"),
        (1e-18 * table(20), r"mean variance of X's columns must be in .* Got 1.7e-18"),
        (np.array([[-1e308], [1e308]]), r"too large for dtype\('float32'\)"),
    ],
    ids=["constant", "one value", "large variation", "small variation", "beyond float64"],
)
def test_what_float32_cannot_hold_is_refused(X, message):
    with pytest.raises(ValueError, match=message):
        standardizer(X)


def test_one_unit_for_all_columns_is_the_root_of_their_mean_variance():
    X = table() * [1, 1, 1, 1, 1, 30] + 5
    made = standardizer(X, shared=True)
    np.testing.assert_allclose(made.scale, np.sqrt(X.var(axis=0).mean()), rtol=1e-12)
    np.testing.assert_allclose(made.transform(X).var(axis=0).mean(), 1, rtol=1e-6)  # float32


def test_a_column_counts_as_at_most_three_times_the_median():
    random = np.random.default_rng(0)
    X = random.normal(size=(500, 5)) * [1, 1, 2, 100, 0]
    stds = X.std(axis=0) / standardizer(X).scale
    # Beside the constant column the median is that of columns of 1, 1, 2 and 100.
    expected = X.std(axis=0)
    expected[3] = 3 * np.median(expected[:4])
    np.testing.assert_allclose(stds, expected / np.sqrt(np.square(expected).mean()), rtol=1e-12)


def test_ordinary_values_are_squashed_little_and_outliers_to_the_bound():
    X = np.random.default_rng(0).normal(size=(5000, 2)) * [1, 0.5] + 7
    made = standardizer(X)
    deviations = np.array([0.0, 1.0, 3.0, 30.0, 1e6, 1e35])[:, np.newaxis]
    y = made.transform(made.center + deviations * made.scale)
    # The first column varies more than the root of their mean variance, the second less.
    wide = X[:, 0].std() / made.scale[0]
    np.testing.assert_allclose(made.bound, [SQUASHED_INTO * wide, SQUASHED_INTO], rtol=1e-6)
    expected = deviations / np.sqrt(1 + np.square(deviations / made.bound))
    np.testing.assert_allclose(y, expected, rtol=1e-6)
    assert (y[2] > 2.9).all()


@pytest.mark.parametrize("value", [1e6, -1e15])
def test_outliers_leave_the_units_of_the_others_nearly_as_they_were(value):
    X = table(1000)
    with_outliers = X.copy()
    with_outliers[3] = value
    with_outliers[5, 2] = value
    before, after = standardizer(X), standardizer(with_outliers)
    np.testing.assert_allclose(after.scale, before.scale, rtol=0.15)
    np.testing.assert_allclose(after.transform(X), before.transform(X), rtol=0.15, atol=0.15)
    assert (np.abs(after.transform(with_outliers)) <= after.bound * (1 + 1e-6)).all()


@pytest.mark.parametrize("share", [0.02, 0.1, 0.3])
def test_columns_of_counts_and_spikes_keep_the_variance_of_their_rare_values(share):
    random = np.random.default_rng(0)
    rare = random.random(5000) < share
    counts = np.where(rare, random.poisson(3, 5000), 0)
    spikes = np.where(rare, random.lognormal(1, 0.5, 5000), 1e-4 * random.normal(size=5000))
    X = np.column_stack([counts, spikes, random.normal(size=5000)])
    expected = X.std(axis=0)
    X[0] = 1e6
    made = standardizer(X)
    y = made.transform(X)
    assert (np.abs(y) <= made.bound * (1 + 1e-6)).all()
    np.testing.assert_allclose(y[1:].std(axis=0) * made.scale, expected, rtol=0.1)


@pytest.mark.parametrize("n_rows", [20, 60, 150, 1000])
def test_one_wrong_row_among_few_is_not_the_unit(n_rows):
    X = table(n_rows)
    expected = standardizer(X).scale
    X[3] = -1e6
    assert (standardizer(X).scale < 3 * expected).all()


def test_columns_that_are_constant_but_in_one_row_are_bounded_too():
    X = table(500)
    X[:, 1] = 3.0
    made = standardizer(X)
    X[7, 1] = 1e9
    assert np.abs(made.transform(X)).max() <= SQUASHED_INTO * np.sqrt(6 / 5)


def test_rows_in_a_bounded_range_are_left_as_they_are():
    X = np.random.default_rng(0).random((100, 3))
    made = standardizer(X, bounded=True)
    np.testing.assert_array_equal(made.transform(X), X.astype(np.float32))
    assert made.variance == pytest.approx(X.var(axis=0).mean(), rel=1e-12)


@pytest.mark.parametrize("bounded", [False, True])
def test_constant_rows_have_a_unit(bounded):
    made = standardizer(np.full((10, 2), 1 / 3), bounded=bounded)
    assert made.variance == 1
    assert np.isfinite(made.transform(np.full((10, 2), 1 / 3))).all()


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_standardised_rows_come_back_in_their_units(dtype):
    X = (table() * [1, 10, 100, 0.1, 1, 1] + 5).astype(dtype)
    made = standardizer(X)
    np.testing.assert_allclose(made.inverse_transform(made.transform(X)), X, rtol=1e-5, atol=1e-5)


def test_a_large_offset_costs_float64_rows_no_precision():
    X = table()
    offset = standardizer(X + 1e9).transform(X + 1e9)
    # The spacing of float64 at 1e9 is 1e-7.
    np.testing.assert_allclose(offset, standardizer(X).transform(X), rtol=0, atol=1e-6)


def test_float32_rows_are_not_copied_without_need():
    X = table().astype(np.float32)
    assert Standardizer().transform(X) is X
    assert Standardizer().transform(np.asfortranarray(X)).flags.c_contiguous
    assert standardizer(X).transform(np.asfortranarray(X)).flags.c_contiguous


@pytest.mark.parametrize(
    ("x", "scale"), [(np.float32(3e38), 1e-3), (1e39, None), (1e39, 1.0), (1e308, 1e-3)]
)
def test_rows_too_large_for_float32_are_refused(x, scale):
    made = Standardizer() if scale is None else Standardizer(np.zeros(1), np.array([scale]))
    with pytest.raises(ValueError, match=r"too large for dtype\('float32'\)"):
        made.transform(np.full((2, 1), x))


def test_what_the_generator_draws_stays_within_the_range_of_its_column():
    X = table(300)
    made = standardizer(X)
    far = made.inverse_transform(np.full((2, 6), 1e3, dtype=np.float32) * [[1], [-1]])
    np.testing.assert_allclose(far, [X.max(axis=0), X.min(axis=0)], rtol=1e-6)


def test_fit_reads_x_once_for_statistics_and_then_by_blocks(tmp_path, monkeypatch):
    monkeypatch.setattr(source, "BLOCK_ROWS", 40)
    monkeypatch.setattr(source, "SPANS_PER_BLOCK", 4)

    class Map(np.memmap):
        def __getitem__(self, rows):
            if isinstance(rows, slice):
                reads.append((rows.start, rows.stop))
            return super().__getitem__(rows)

    reads = []
    X = Map(tmp_path / "X", dtype=np.float64, mode="w+", shape=(100, 6))
    X[:] = table(100)
    reads.clear()
    small().fit(X)
    # scikit-learn's checks of shape and dtype; the statistics; the nearest-neighbour graph
    assert reads[:2] == [(None, 2), (0, 100)]
    spans = [(start, start + 10) for start in range(0, 100, 10)]
    assert sorted(reads[2:12]) == spans
    assert set(reads[12:]) == set(spans)


def test_a_column_of_tiny_values_with_one_large_one_is_reconstructed():
    # The generator errs by as much in this column as in the others: magnified it would be all of X.
    random = np.random.default_rng(0)
    X = table(400)
    X[:, 1] = 1e-3 * random.normal(size=400)
    X[7, 1] = 60.0
    fitted = small(max_epochs=30).fit(X)
    others = np.arange(400) != 7
    assert np.abs(fitted.reconstruct(X)[others, 1]).max() < 5


def test_a_column_whose_rare_values_are_outside_of_the_sample_has_a_unit(monkeypatch):
    monkeypatch.setattr(statistics, "SAMPLE_ROWS", 20)
    monkeypatch.setattr(statistics, "SAMPLE_SPANS", 2)
    X = np.zeros((200, 2))
    X[50] = 1.0
    made = standardizer(X)
    np.testing.assert_allclose(made.scale, X.std(axis=0))
    assert np.isfinite(made.transform(X)).all()


def test_rows_that_vary_by_round_off_beside_one_outlier_have_a_unit():
    X = 1e9 + 0.1 * table(50)
    X[3] = 1e12
    made = standardizer(X)
    assert np.isfinite(made.scale).all()
    assert np.isfinite(made.transform(X)).all()
