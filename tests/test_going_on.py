"""Training that goes on: pieces of data, warm starts, and what may change on the way."""

import numpy as np
import pandas as pd
import pytest
import torch
from factories import small
from sklearn.base import clone
from skorch.callbacks import Callback


def test_partial_fit_keeps_the_statistics_of_all_pieces(small_digits):
    pieces = small().partial_fit(small_digits[:100]).partial_fit(small_digits[100:])
    assert pieces.n_iter_ == 2
    assert pieces.n_samples_seen_ == 300
    np.testing.assert_allclose(pieces.mean_, small_digits.mean(axis=0), atol=1e-6)  # float32 X


def test_partial_fit_goes_on_from_what_was_learned(fitted, small_digits):
    before = fitted.transform(small_digits)
    fitted.partial_fit(small_digits)
    codes = fitted.transform(small_digits)
    assert [epoch["epoch"] for epoch in fitted.history_] == [1, 2, 3]
    # Codes of another initialisation have nothing to do with these.
    other = clone(fitted).set_params(random_state=1).fit(small_digits).transform(small_digits)
    assert 0 < np.abs(codes - before).mean() < 0.5 * np.abs(other - before).mean()


def test_warm_start_goes_on_and_a_plain_fit_starts_anew(fitted, small_digits):
    again = clone(fitted).fit(small_digits).fit(small_digits)
    np.testing.assert_array_equal(again.transform(small_digits), fitted.transform(small_digits))
    longer = clone(fitted).set_params(warm_start=True).fit(small_digits).fit(small_digits[:50])
    assert again.n_iter_ == 2
    assert longer.n_iter_ == 4
    # The mean is that of the new rows.
    assert longer.n_samples_seen_ == 50
    np.testing.assert_allclose(longer.mean_, small_digits[:50].mean(axis=0), atol=1e-6)


def another(n_features, latent_dim):
    return torch.nn.Linear(n_features, 8)


@pytest.mark.parametrize(
    "change",
    [
        {"n_components": 5},
        {"method": "latent_regression"},
        {"posterior": "gaussian"},
        {"prior": "uniform"},
        {"prior": 5},
        {"hidden_layer_sizes": (16,)},
        {"output_activation": "identity"},
        {"network": {"encoder": another}},
        {"image_shape": (8, 8)},
    ],
    ids=lambda change: next(iter(change)),
)
def test_training_cannot_go_on_with_another_model(fitted, small_digits, change):
    name = next(iter(change))
    with pytest.raises(ValueError, match=f"The '{name}' parameter cannot change while training"):
        fitted.set_params(**change).partial_fit(small_digits)


def test_training_can_go_on_with_other_settings(fitted, small_digits):
    changes = {"learning_rate": 1e-2, "batch_size": 50, "cycle_weight": 0, "n_neighbors": 0}
    fitted.set_params(**changes).partial_fit(small_digits)
    assert fitted.net_.optimizer_.param_groups[0]["lr"] == 1e-2
    assert fitted.history_[-1]["train_batch_count"] == 6
    assert "cycle_loss" in fitted.history_[-2]
    assert not {"cycle_loss", "consistency_loss"} & set(fitted.history_[-1])


class Count(Callback):
    def __init__(self):
        self.trainings = self.epochs = 0

    def on_train_begin(self, net, **kwargs):
        self.trainings += 1

    def on_epoch_end(self, net, **kwargs):
        self.epochs += 1


@pytest.mark.parametrize(("way", "epochs"), [("fit", 2), ("partial_fit", 1)])
def test_callbacks_and_verbosity_are_those_of_the_call(small_digits, capsys, way, epochs):
    first, second = Count(), Count()
    fitted = small(warm_start=True, callbacks=[first]).fit(small_digits)
    getattr(fitted.set_params(callbacks=[second], verbose=2), way)(small_digits)
    assert (first.trainings, first.epochs) == (1, 2)
    assert (second.trainings, second.epochs) == (1, epochs)
    assert len(capsys.readouterr().out.splitlines()) == 1 + epochs
    getattr(fitted.set_params(callbacks=None, verbose=0), way)(small_digits)
    assert second.trainings == 1
    assert capsys.readouterr().out == ""


def test_a_first_piece_gives_the_batch_statistics_of_its_own():
    X = np.random.RandomState(0).randn(60, 5)  # one batch: `fit` takes the same step
    piece, whole = small().partial_fit(X), small(max_epochs=1).fit(X)
    np.testing.assert_array_equal(piece.transform(X), whole.transform(X))


def test_a_later_piece_lets_older_batch_statistics_fade():
    X = np.random.RandomState(0).randn(60, 5).astype(np.float32)
    trained = small().partial_fit(X).partial_fit(X + 3).net_
    first, norm, _ = trained.module_.averaged.encoder.body
    of_piece = first(torch.from_numpy(trained.standardizer.transform(X + 3))).mean(0)
    assert (norm.running_mean - of_piece).abs().max() > 0.5


def test_a_fit_without_names_forgets_the_names_of_the_fit_before(small_digits):
    estimator = small().fit(pd.DataFrame(small_digits).add_prefix("pixel"))
    assert len(estimator.feature_names_in_) == 64
    assert not hasattr(estimator.fit(small_digits), "feature_names_in_")
