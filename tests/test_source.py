"""The training rows, standardised and in blocks."""

import weakref
from itertools import chain

import numpy as np
import pytest
import torch
from factories import small

from sklearn_bigan import BiGANTransformer
from sklearn_bigan._data import source as module
from sklearn_bigan._data.source import RowSource
from sklearn_bigan._data.standardizer import Standardizer

CPU = torch.device("cpu")


def numbered(n_rows: int = 203, seed: int = 0, standardizer=None) -> RowSource:
    """Return rows whose value is their number."""
    rows = np.arange(n_rows, dtype=np.float32)[:, None]
    return RowSource(rows, standardizer or Standardizer(), CPU, seed)


def memory_map(folder, rows: np.ndarray) -> np.memmap:
    np.save(folder / "rows.npy", rows)
    return np.load(folder / "rows.npy", mmap_mode="r")


@pytest.fixture
def small_blocks(monkeypatch):
    """Blocks of about 40 rows, in spans of 10."""
    monkeypatch.setattr(module, "BLOCK_ROWS", 40)
    monkeypatch.setattr(module, "SPANS_PER_BLOCK", 4)


def test_rows_that_fit_are_one_block_without_a_copy():
    source = numbered(100)
    assert source.sizes == [100]
    assert source.block(0).data_ptr() == source.X.ctypes.data
    assert source.sample(200, seed=0) is source.block(0)


def test_each_row_is_in_one_block_in_spans_from_all_over(small_blocks):
    source = numbered()
    blocks = [source.block(number).ravel().tolist() for number in range(len(source.sizes))]
    assert [len(rows) for rows in blocks] == source.sizes
    assert max(source.sizes) <= 50
    assert sorted(chain.from_iterable(blocks)) == list(range(203))
    for rows in blocks:
        assert sum(np.diff(rows) != 1) >= 2  # not from one place
        assert all(start % 10 == 0 for start in rows[::10])
    other = numbered(seed=1)
    assert [other.read(number).ravel().tolist() for number in range(6)] != blocks


def test_wide_rows_have_smaller_blocks(monkeypatch):
    monkeypatch.setattr(module, "BLOCK_BYTES", 4 * 3 * 200)
    source = RowSource(np.zeros((1000, 3)), Standardizer(), CPU, seed=0)
    assert max(source.sizes) <= 200 + 200 // module.SPANS_PER_BLOCK


@pytest.mark.parametrize("n_rows", [30, 203])
def test_blocks_are_standardised(small_blocks, n_rows):
    standardizer = Standardizer(np.array([100.0]), np.array([50.0]))
    rows, standardised = numbered(n_rows), numbered(n_rows, standardizer=standardizer)
    for number in range(len(rows.sizes)):
        expected = (rows.block(number) - 100) / 50
        assert torch.equal(standardised.block(number), expected)


@pytest.mark.parametrize("n_rows", [30, 203])
def test_a_sample_has_different_rows_that_the_seed_decides(small_blocks, n_rows):
    one, same, other = (numbered(n_rows).sample(20, seed).ravel().tolist() for seed in (0, 0, 1))
    assert len(set(one)) == 20
    assert set(one) <= set(range(n_rows))
    assert one == same
    assert one != other


def test_an_epoch_has_every_block_once_in_an_order_of_its_own(small_blocks):
    source = numbered()
    first, second = (list(source.blocks_in_random_order()) for _ in range(2))
    assert sorted(first) == sorted(second) == list(range(len(source.sizes)))
    assert first != second


@pytest.mark.parametrize("dtype", ["float64", "float32", "int64"])
@pytest.mark.parametrize("n_rows", [30, 203])
def test_a_memory_map_trains_as_the_array_does(tmp_path, small_blocks, dtype, n_rows):
    X = np.random.default_rng(0).normal(0, 10, (n_rows, 5)).astype(dtype)
    models = [small(batch_size=8).fit(rows) for rows in (X, memory_map(tmp_path, X))]
    np.testing.assert_array_equal(*(model.transform(X) for model in models))
    np.testing.assert_array_equal(*(model.sample(5, 0) for model in models))


def test_rows_that_cannot_be_written_to_train_without_a_warning(tmp_path):
    X = np.random.default_rng(0).random((50, 5), dtype=np.float32)
    rows = memory_map(tmp_path, X)
    models = [small(output_activation="sigmoid").fit(each) for each in (X, rows)]
    np.testing.assert_array_equal(*(model.transform(rows) for model in models))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (1e39, r"too large for dtype\('float32'\)"),
        (np.nan, "Input X contains NaN"),
        (np.inf, "Input X contains infinity"),
    ],
)
def test_values_of_a_memory_map_are_checked(tmp_path, value, message):
    rows = memory_map(tmp_path, np.array([[1.0], [2.0], [value]]))
    with pytest.raises(ValueError, match=message):
        BiGANTransformer(1).fit(rows)


def test_a_dataset_is_refused_with_what_to_do_instead():
    dataset = torch.utils.data.TensorDataset(torch.zeros(4, 2))
    with pytest.raises(TypeError, match=r"Got torch.*TensorDataset.*np\.memmap.*partial_fit"):
        BiGANTransformer(1).fit(dataset)


def test_a_block_is_released_before_the_next_is_read(small_blocks, monkeypatch):
    source = numbered()
    read, used, released = source.read, [], []

    def watched(number):
        released.extend(block() is None for block in used)
        return read(number)

    monkeypatch.setattr(source, "read", watched)
    for number in source.blocks_in_random_order():
        used.append(weakref.ref(source.block(number)))
    assert len(released) > len(source.sizes)
    assert all(released)


def test_blocks_stay_on_a_device_that_has_room(small_blocks, monkeypatch):
    monkeypatch.setattr(module, "free_bytes", lambda device: 2**20)
    source = numbered()
    blocks = [source.block(number) for number in range(len(source.sizes))]
    assert all(source.block(number) is rows for number, rows in enumerate(blocks))
