"""Training that goes on: pieces of data, warm starts, and what may change on the way."""

import numpy as np
import pytest
import torch
from sklearn.base import clone
from skorch.callbacks import Callback
from small import bigan, module_of

from sklearn_bigan import BiGANTransformer, _parameters


def test_partial_fit_keeps_the_statistics_of_all_pieces(small_digits):
    pieces = bigan().partial_fit(small_digits[:100]).partial_fit(small_digits[100:])
    assert pieces.n_iter_ == 2
    assert pieces.n_samples_seen_ == 300
    np.testing.assert_allclose(pieces.mean_, small_digits.mean(axis=0), atol=1e-6)  # float32 X


def test_partial_fit_moves_the_networks_that_are_there(fitted, small_digits):
    module, before = module_of(fitted), fitted.transform(small_digits)
    fitted.partial_fit(small_digits)
    assert module_of(fitted) is module
    assert (fitted.transform(small_digits) != before).any()
    assert [epoch["epoch"] for epoch in fitted.history_] == [1, 2, 3]


def test_warm_start_goes_on_and_a_plain_fit_starts_anew(fitted, small_digits):
    again = clone(fitted).fit(small_digits).fit(small_digits)
    np.testing.assert_array_equal(again.transform(small_digits), fitted.transform(small_digits))
    longer = clone(fitted).set_params(warm_start=True).fit(small_digits).fit(small_digits)
    assert again.n_iter_ == 2
    assert longer.n_iter_ == 4
    assert (longer.transform(small_digits) != fitted.transform(small_digits)).any()


def test_warm_start_takes_the_mean_of_the_new_rows(fitted, small_digits):
    fitted.set_params(warm_start=True).fit(small_digits[:50])
    assert fitted.n_samples_seen_ == 50
    np.testing.assert_allclose(fitted.mean_, small_digits[:50].mean(axis=0), atol=1e-6)


@pytest.mark.parametrize(
    "change",
    [
        {"n_components": 5},
        {"posterior": "gaussian"},
        {"prior": "uniform"},
        {"n_clusters": 5},
        {"inference": "latent_regression"},
        {"loss": "hinge"},
        {"hidden_layer_sizes": (16,)},
        {"output_activation": "sigmoid"},
        {"network": {"encoder": torch.nn.Linear}},
    ],
    ids=lambda change: next(iter(change)),
)
def test_training_cannot_go_on_with_another_model(fitted, small_digits, change):
    name = next(iter(change))
    with pytest.raises(ValueError, match=f"The '{name}' parameter cannot change while training"):
        fitted.set_params(**change).partial_fit(small_digits)


def test_networks_keep_their_width_while_training_goes_on(monkeypatch, small_digits):
    monkeypatch.setattr(_parameters, "MANY_ROWS", 100)
    estimator = BiGANTransformer(2, max_epochs=0, random_state=0).fit(small_digits[:99])
    estimator.partial_fit(small_digits[:100])
    assert estimator.net_.averaged_.encoder.n_hidden == 256


def test_training_can_go_on_with_another_learning_rate(fitted, small_digits):
    fitted.set_params(learning_rate=1e-2, batch_size=50).partial_fit(small_digits)
    assert fitted.net_.optimizer_.param_groups[0]["lr"] == 1e-2
    assert fitted.history_[-1]["train_batch_count"] == 12  # 25 rows and their partners


def test_each_fit_calls_the_callbacks_of_its_own(small_digits):
    class Count(Callback):
        n_epochs = 0

        def on_epoch_end(self, net, **kwargs):
            self.n_epochs += 1

    fitted = bigan(warm_start=True).fit(small_digits)
    count = Count()
    for _ in range(2):
        fitted.set_params(callbacks=[("count", count)]).fit(small_digits)
        assert dict(fitted.net_.callbacks_)["count"].n_epochs == 2
    assert count.n_epochs == 0


def test_a_first_piece_gives_the_batch_statistics_of_its_own():
    X = 100 + np.random.RandomState(0).randn(60, 5)
    one_piece = bigan().partial_fit(X)
    assert one_piece.score(X) > -0.5  # as after a `fit` of one epoch
