import pytest
import torch

from sklearn_bigan._batches import TensorBatches


def batches(n_rows: int, batch_size: int, seed: int = 0) -> TensorBatches:
    rows = torch.arange(n_rows).float().unsqueeze(1)
    return TensorBatches(rows, batch_size, torch.Generator().manual_seed(seed))


def values(epoch) -> list[float]:
    return torch.cat(list(epoch)).ravel().tolist()


@pytest.mark.parametrize(
    ("n_rows", "batch_size", "sizes"),
    [
        (300, 128, [128, 128, 44]),
        (256, 128, [128, 128]),
        (257, 128, [128, 129]),  # a single row joins the batch before it
        (3, 2, [3]),
        (2, 128, [2]),
    ],
)
def test_batches_have_the_sizes_asked_for_and_never_one_row(n_rows, batch_size, sizes):
    assert [len(batch) for batch in batches(n_rows, batch_size)] == sizes


def test_an_epoch_has_every_row_exactly_once():
    assert sorted(values(batches(301, 128))) == list(range(301))


def test_each_epoch_has_an_order_of_its_own():
    source = batches(300, 128)
    first, second = values(source), values(source)
    assert first != second
    assert sorted(first) == sorted(second)


def test_the_seed_decides_the_order():
    assert values(batches(300, 128, seed=1)) == values(batches(300, 128, seed=1))
    assert values(batches(300, 128, seed=1)) != values(batches(300, 128, seed=2))
