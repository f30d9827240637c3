import weakref
from contextlib import nullcontext
from itertools import chain

import numpy as np
import pytest
import torch

from sklearn_bigan import BiGANTransformer, _blocks, _device
from sklearn_bigan._batches import BlockBatches, TensorBatches, cuts
from sklearn_bigan._blocks import Blocks

CPU = torch.device("cpu")


def numbered(n_rows: int, dtype="float32") -> np.ndarray:
    """Rows that say which they are."""
    return np.arange(n_rows, dtype=dtype)[:, None]


@pytest.fixture
def small_blocks(monkeypatch):
    """Blocks of about 40 rows, in spans of 10."""
    monkeypatch.setattr(_blocks, "BLOCK_ROWS", 40)
    monkeypatch.setattr(_blocks, "SPANS", 4)


def memory_map(folder, rows: np.ndarray) -> np.memmap:
    np.save(folder / "rows.npy", rows)
    return np.load(folder / "rows.npy", mmap_mode="r")


def test_rows_that_fit_are_one_block_and_not_copied():
    rows = numbered(100)
    blocks = Blocks(rows, CPU, seed=0)
    assert blocks.sizes == [100]
    assert blocks.block(0).data_ptr() == rows.ctypes.data
    assert blocks.sample(200) is blocks.block(0)


def test_further_rows_are_in_one_block_each_in_spans_from_all_over(small_blocks):
    blocks = Blocks(numbered(203), CPU, seed=0)
    held = [blocks.block(number).ravel().tolist() for number in range(len(blocks.sizes))]
    assert [len(rows) for rows in held] == blocks.sizes
    assert max(blocks.sizes) <= 50
    assert sorted(chain.from_iterable(held)) == list(range(203))
    for rows in held:
        assert sum(np.diff(rows) != 1) >= 2  # not from one place
        assert all(start % 10 == 0 for start in rows[::10])
    other = Blocks(numbered(203), CPU, seed=1)
    assert [other.read(i).ravel().tolist() for i in range(6)] != held


def test_wide_rows_have_smaller_blocks(monkeypatch):
    monkeypatch.setattr(_blocks, "BLOCK_BYTES", 4 * 3 * 200)
    assert max(Blocks(np.zeros((1000, 3)), CPU, seed=0).sizes) <= 200 + 200 // _blocks.SPANS


def test_only_chosen_rows_are_there(small_blocks):
    chosen = np.arange(0, 203, 2)
    blocks = Blocks(numbered(203), CPU, seed=0, chosen=chosen)
    rows = np.concatenate([blocks.read(number) for number in range(len(blocks.sizes))])
    np.testing.assert_array_equal(np.sort(rows.ravel()), chosen)
    assert len(blocks) == len(chosen)
    torch.testing.assert_close(blocks.mean(), torch.tensor([chosen.mean()]).float())


@pytest.mark.parametrize("n_rows", [30, 203])
def test_a_sample_has_different_rows(small_blocks, n_rows):
    drawn = Blocks(numbered(n_rows), CPU, seed=0).sample(20).ravel().tolist()
    assert len(set(drawn)) == 20
    assert set(drawn) <= set(range(n_rows))


def test_an_epoch_has_every_row_once_and_blocks_in_an_order_of_its_own(small_blocks):
    blocks = Blocks(numbered(203), CPU, seed=0)
    order = torch.Generator().manual_seed(0)
    batches = BlockBatches(
        blocks,
        lambda n: len(list(cuts(n, 16, 1))),
        lambda i: TensorBatches(blocks.block(i), 16, order),
    )
    epochs = [list(batches) for _ in range(2)]
    for epoch in epochs:
        assert len(epoch) == len(batches)
        assert sorted(torch.cat(epoch).ravel().tolist()) == list(range(203))
    first, second = ([batch[0].item() for batch in epoch] for epoch in epochs)
    assert first != second


@pytest.mark.parametrize("dtype", ["float64", "float32", "int64"])
@pytest.mark.parametrize("early_stopping", [False, True])
def test_a_memory_map_trains_as_the_array_does(tmp_path, small_blocks, dtype, early_stopping):
    X = np.random.default_rng(0).normal(0, 10, (203, 5)).astype(dtype)
    settings = {"max_epochs": 2, "hidden_layer_sizes": (8,), "random_state": 0, "batch_size": 8}
    models = [
        BiGANTransformer(3, early_stopping=early_stopping, **settings).fit(rows)
        for rows in (X, memory_map(tmp_path, X))
    ]
    np.testing.assert_array_equal(*(model.transform(X) for model in models))
    np.testing.assert_array_equal(*(model.sample(5, 0) for model in models))


def test_a_value_that_float32_cannot_hold_is_refused_in_a_memory_map_too(tmp_path):
    rows = memory_map(tmp_path, np.array([[1.0], [1e39], [2.0]]))
    with pytest.raises(ValueError, match="too large for dtype\\('float32'\\)"):
        BiGANTransformer(1).fit(rows)


@pytest.mark.parametrize(("value", "message"), [(np.nan, "NaN"), (np.inf, "infinity")])
def test_what_is_not_finite_is_called_so_in_a_memory_map_too(tmp_path, value, message):
    rows = memory_map(tmp_path, np.array([[1.0], [2.0], [value]]))
    with pytest.raises(ValueError, match=f"Input X contains {message}"):
        BiGANTransformer(1).fit(rows)


def test_a_dataset_is_refused_with_what_to_do_instead():
    dataset = torch.utils.data.TensorDataset(torch.zeros(4, 2))
    with pytest.raises(TypeError, match=r"Got a torch Dataset.*np\.memmap.*partial_fit"):
        BiGANTransformer(1).fit(dataset)


def test_the_next_block_is_read_while_one_is_trained_on(small_blocks, monkeypatch):
    blocks = Blocks(numbered(203), CPU, seed=0)
    blocks.reads_ahead = True
    read, events = blocks.read, []
    monkeypatch.setattr(blocks, "read", lambda number: events.append(number) or read(number))
    batches = BlockBatches(blocks, lambda n: 1, lambda number: [blocks.block(number)])
    for x in batches:
        if blocks._coming is not None:
            blocks._coming[1].result()
        events.append(len(x))
    order = [event for event in events if event < len(blocks.sizes)]
    assert sorted(order) == list(range(len(blocks.sizes)))
    assert events[:3] == [order[0], order[1], blocks.sizes[order[0]]]


def test_a_block_is_let_go_before_the_next_is_read(small_blocks, monkeypatch):
    blocks = Blocks(numbered(203), CPU, seed=0)
    read, seen, gone = blocks.read, [], []

    def watched(number):
        gone.extend(block() is None for block in seen)
        return read(number)

    monkeypatch.setattr(blocks, "read", watched)
    order = torch.Generator().manual_seed(0)
    for _ in BlockBatches(
        blocks, lambda n: 1, lambda number: TensorBatches(blocks.block(number), 10, order)
    ):
        seen.append(weakref.ref(*blocks._held.values()))
    assert len(gone) > len(blocks.sizes)
    assert all(gone)


def test_what_cannot_be_read_is_told_where_it_is_asked_for(small_blocks, monkeypatch):
    blocks = Blocks(numbered(203), CPU, seed=0)
    monkeypatch.setattr(blocks, "read", lambda number: 1 / 0)
    blocks.reads_ahead = True
    blocks.expect(1)
    with pytest.raises(ZeroDivisionError):
        blocks.block(1)


def test_blocks_stay_on_a_device_that_has_room(small_blocks, monkeypatch):
    monkeypatch.setattr(_blocks, "free_bytes", lambda device: 2**20)
    blocks = Blocks(numbered(203), CPU, seed=0)
    held = [blocks.block(number) for number in range(len(blocks.sizes))]
    assert all(blocks.block(number) is rows for number, rows in enumerate(held))


def test_rows_travel_from_pinned_memory_on_a_stream_of_their_own(monkeypatch):
    events = []

    class Streams:
        current_stream = staticmethod(lambda device: "computing")
        stream = staticmethod(lambda stream: nullcontext())

        class Stream:
            def __init__(self, device):
                pass

            def synchronize(self):
                events.append("there")

    def pinned(rows):
        events.append("pinned")
        return rows.clone()

    def record_stream(rows, stream):
        events.append(stream)

    monkeypatch.setattr(_device, "streams_of", lambda device: Streams)
    monkeypatch.setattr(torch.Tensor, "pin_memory", pinned)
    monkeypatch.setattr(torch.Tensor, "record_stream", record_stream)
    blocks = Blocks(numbered(100), CPU, seed=0)
    blocks.reads_ahead = True
    blocks.expect(0)
    assert blocks.block(0).ravel().tolist() == list(range(100))
    assert events == ["pinned", "there", "computing"]
