import numpy as np
import pytest

from sklearn_bigan import BiGANTransformer, _inference
from sklearn_bigan._inference import MULTIPLES, linear, rows_multiple


@pytest.fixture
def _no_cache():
    rows_multiple.cache_clear()
    yield
    rows_multiple.cache_clear()


@pytest.mark.usefixtures("_no_cache")
@pytest.mark.parametrize(("few", "multiple"), [(2, 4), (5, 8), (9, 16), (17, 32), (64, 32)])
def test_as_many_rows_are_filled_up_to_as_make_no_difference(monkeypatch, few, multiple):
    def of_such_a_processor(x, weight, bias=None):
        return linear(x, weight, bias) + (len(x) < few)

    monkeypatch.setattr(_inference, "linear", of_such_a_processor)
    assert rows_multiple() == multiple
    assert multiple in MULTIPLES


@pytest.mark.parametrize("n_columns", [20, 64, 784])
def test_a_row_of_a_table_has_the_same_bits_in_any_company(n_columns):
    X = np.random.default_rng(0).random((600, n_columns), dtype=np.float32)
    model = BiGANTransformer(max_epochs=0, features="all", random_state=0, device="cpu").fit(X)
    together = model.transform(X)
    for n_rows in (1, 2, 3, 5, 33):
        np.testing.assert_array_equal(model.transform(X[:n_rows]), together[:n_rows])
