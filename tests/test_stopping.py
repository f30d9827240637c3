import numpy as np
import pytest
import torch
from skorch.callbacks import Callback

from sklearn_bigan import BiGANTransformer
from sklearn_bigan._averaging import weights


def bigan(**parameters) -> BiGANTransformer:
    defaults = {
        "n_components": 4,
        "hidden_layer_sizes": (32,),
        "early_stopping": True,
        "random_state": 0,
    }
    return BiGANTransformer(**{**defaults, **parameters})


class Keep(Callback):
    """Keeps the averaged weights of each epoch's end."""

    def initialize(self):
        self.kept = []
        return self

    def on_epoch_end(self, net, **kwargs):
        self.kept.append([weight.clone() for weight in weights(net.averaged_)])


def scores(fitted: BiGANTransformer) -> list[float]:
    return [epoch["validation_score"] for epoch in fitted.history_]


def test_training_ends_when_held_out_rows_are_no_longer_reconstructed_better(small_digits):
    noise = np.random.default_rng(0).normal(size=(60, 20)).astype(np.float32)  # to be overfitted
    fitted = bigan(n_iter_no_change=5).fit(noise)
    found = scores(fitted)
    assert len(found) < bigan(early_stopping=False).fit(noise).n_iter_
    assert np.argmax(found) == len(found) - 1 - 5


def test_the_best_weights_are_put_back():
    noise = np.random.default_rng(0).normal(size=(60, 20)).astype(np.float32)
    fitted = bigan(n_iter_no_change=5, callbacks=[("keep", Keep())]).fit(noise)
    kept = dict(fitted.net_.callbacks_)["keep"].kept
    best = kept[int(np.argmax(scores(fitted)))]
    for found, expected in zip(weights(fitted.net_.averaged_), best, strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=0)


def test_the_score_is_that_of_rows_never_trained_on(small_digits):
    class Seen(Callback):
        def on_train_begin(self, net, **kwargs):
            self.rows = {tuple(row) for row in net.blocks_.read(0).tolist()}

    fitted = bigan(max_epochs=30, validation_fraction=0.2, callbacks=[("seen", Seen())])
    fitted.fit(small_digits)
    seen = dict(fitted.net_.callbacks_)["seen"].rows
    held_out = np.array([row for row in small_digits if tuple(row.tolist()) not in seen])
    assert len(held_out) == 60  # of 300
    residual = ((held_out - fitted.reconstruct(held_out)) ** 2).sum()
    by_hand = 1 - residual / ((held_out - held_out.mean(axis=0)) ** 2).sum()
    # Batch statistics are gathered again at the end, G's with other draws: a difference of 0.004.
    assert max(scores(fitted)) == pytest.approx(by_hand, abs=0.02)


def test_the_next_fit_may_do_without(small_digits):
    fitted = bigan(max_epochs=1).fit(small_digits)
    fitted.set_params(early_stopping=False, warm_start=True).fit(small_digits)
    assert "validation_score" in fitted.history_[0]
    assert "validation_score" not in fitted.history_[1]


def test_held_out_rows_are_the_same_for_the_same_seed(small_digits):
    one, other = (scores(bigan(max_epochs=2).fit(small_digits)) for _ in range(2))
    assert one == other


def test_too_few_rows_to_hold_any_out_are_refused(small_digits):
    with pytest.raises(ValueError, match=r"holds out 2 of 3 rows.*early_stopping=False"):
        bigan().fit(small_digits[:3])


def test_a_failed_training_leaves_no_watch_behind(small_digits):
    class Fail(Callback):
        def on_epoch_end(self, net, **kwargs):
            raise RuntimeError

    fitted = bigan(max_epochs=1).fit(small_digits)
    with pytest.raises(RuntimeError):
        fitted.set_params(warm_start=True, callbacks=[Fail()]).fit(small_digits)
    assert fitted.net_.watch_ is None


def test_every_epoch_is_complete(small_digits):
    noise = np.random.default_rng(0).normal(size=(60, 20)).astype(np.float32)
    history = bigan(n_iter_no_change=5).fit(noise).history_
    assert all("dur" in epoch and "validation_score" in epoch for epoch in history)


def test_a_warm_start_holds_out_the_same_rows(small_digits):
    class Seen(Callback):
        def on_train_begin(self, net, **kwargs):
            seen.append({tuple(row) for row in net.blocks_.read(0).tolist()})

    seen = []
    fitted = bigan(max_epochs=1, callbacks=[Seen()]).fit(small_digits)
    fitted.set_params(warm_start=True).fit(small_digits)
    assert seen[0] == seen[1]


def test_held_out_rows_that_are_alike_can_still_be_reconstructed_better():
    X = np.repeat([[0.0, 0.0], [1.0, 1.0]], [57, 3], axis=0).astype(np.float32)
    history = bigan(n_iter_no_change=5, max_epochs=20).fit(X).history_
    assert np.isfinite([epoch["validation_score"] for epoch in history]).all()
    assert len(history) > 5
