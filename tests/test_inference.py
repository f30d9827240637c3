import numpy as np
import pytest
from factories import small
from torch import nn

from sklearn_bigan import BiGANTransformer


@pytest.mark.parametrize("n_columns", [20, 64, 784])
def test_a_row_of_a_table_has_the_same_bits_in_any_company(n_columns):
    X = np.random.default_rng(0).random((600, n_columns), dtype=np.float32)
    model = BiGANTransformer(max_epochs=0, features="all", random_state=0, device="cpu").fit(X)
    together = model.transform(X)
    for n_rows in (1, 2, 3, 5, 33):
        np.testing.assert_array_equal(model.transform(X[:n_rows]), together[:n_rows])


def test_rows_beyond_a_chunk_are_as_those_within(fitted, small_digits):
    X = np.tile(small_digits, (28, 1))[:8193]  # one more than are computed at a time
    np.testing.assert_array_equal(fitted.transform(X)[-93:], fitted.transform(small_digits)[:93])


class Recording(nn.Sequential):
    """An encoder that notes how many rows it is used on."""

    sizes: list[int]

    def __init__(self, n_features, latent_dim):
        super().__init__(nn.Linear(n_features, 8))

    def forward(self, x):
        Recording.sizes.append(len(x))
        return super().forward(x)


def test_few_rows_are_computed_as_many_for_which_processors_have_other_kernels(small_digits):
    Recording.sizes = []
    model = small(network={"encoder": Recording}, max_epochs=0).fit(small_digits)
    for n_rows in (1, 31, 33):
        Recording.sizes.clear()
        assert len(model.transform(small_digits[:n_rows])) == n_rows
        assert Recording.sizes == [32 if n_rows < 32 else 64]


def test_few_rows_of_a_table_are_computed_as_few_where_the_bits_allow_it(
    fitted, small_digits, monkeypatch
):
    monkeypatch.setattr("sklearn_bigan._training.net.smallest_exact_multiple", lambda: 4)
    sizes = []
    fitted.net_.module_.averaged.encoder.body.register_forward_hook(
        lambda _, inputs, __: sizes.append(len(inputs[0]))
    )
    fitted.transform(small_digits[:5])
    assert sizes == [8]
