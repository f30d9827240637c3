"""The engine: a skorch net that trains three networks, and what it records."""

import gc
import weakref

import numpy as np
import pytest
import torch
from factories import METHODS, equal, raises_in_step, small, table, weights
from sklearn.base import clone
from skorch.callbacks import Callback
from torch import nn

from sklearn_bigan import BiGANTransformer
from sklearn_bigan._parameters import batch_size, learning_rate, n_epochs
from sklearn_bigan._training.net import BiGANNet
from sklearn_bigan._training.schedule import default_n_updates

X = table(40)
BIGAN = {"method": "bigan", "batch_size": 8}  # five batches
NETWORKS = ("encoder", "generator", "discriminator")


def net(**parameters) -> BiGANNet:
    """Return an untrained net that trains for an epoch at a time."""
    made = small(**BIGAN | {"max_epochs": 0} | parameters).fit(X).net_
    return made.set_params(max_epochs=1)


def bits(trained: BiGANNet) -> list:
    """Networks, optimizer and losses, as values that compare by their bits."""
    losses = [epoch["discriminator_loss"] for epoch in trained.history]
    return [_bits(part.state_dict()) for part in (trained.module_, trained.optimizer_)] + losses


def _bits(value):
    if isinstance(value, torch.Tensor):
        return value.shape, value.numpy(force=True).tobytes()
    if isinstance(value, dict):
        return {key: _bits(item) for key, item in value.items()}
    return [_bits(item) for item in value] if isinstance(value, list | tuple) else value


class Spy(Callback):
    """Keeps what each step reports."""

    def __init__(self):
        self.metrics, self.had_gradients, self.rates = [], [], []

    def on_batch_end(self, net, metrics, batch, **kwargs):
        self.metrics.append((len(batch.x), {name: float(x) for name, x in metrics.items()}))
        self.rates.append([group["lr"] / net.lr for group in net.optimizer_.param_groups])

    def on_grad_computed(self, net, named_parameters, **kwargs):
        self.had_gradients.append(all(weight.grad is not None for _, weight in named_parameters))


def test_the_optimizer_has_a_group_of_all_parameters_for_each_network():
    made = net()
    for group, name in zip(made.optimizer_.param_groups, NETWORKS, strict=True):
        assert list(map(id, group["params"])) == [
            id(weight) for weight in getattr(made.module_, name).parameters()
        ]


def test_each_network_runs_once_a_step():
    made, calls = net(), []
    E, G, D = (getattr(made.module_, name) for name in NETWORKS)
    for name, part in zip(NETWORKS, (E.body, G, D), strict=True):
        # Without gradients: the diagnostics, once an epoch.
        part.register_forward_hook(
            lambda *_, name=name: calls.append(name) if torch.is_grad_enabled() else None
        )
    made.partial_fit(X[:8])
    assert sorted(calls) == sorted(NETWORKS)


def test_the_learning_rate_is_constant_and_then_falls_linearly_to_a_hundredth():
    spy = Spy()
    small(**BIGAN, callbacks=[spy], max_epochs=4).fit(X).partial_fit(X)
    expected = [1.0] * 10 + [2 * (1 - n / 20) for n in range(10, 20)] + [1.0] * 5
    np.testing.assert_allclose(spy.rates, np.transpose([expected] * 3))
    net(callbacks=[spy]).fit(X, epochs=100)
    np.testing.assert_allclose(spy.rates[-2:], 0.01)


def test_a_single_step_is_taken_at_the_full_learning_rate():
    spy = Spy()
    net(batch_size=40, callbacks=[spy]).fit(X, epochs=1)
    assert spy.rates == [[1.0] * 3]


@pytest.mark.parametrize(
    ("n_rows", "updates"), [(40, 200), (100, 500), (101, 502), (7350, 15_000), (500_000, 15_000)]
)
def test_the_length_of_training_follows_the_rows(n_rows, updates):
    assert default_n_updates(n_rows) == updates
    assert default_n_updates(n_rows, of_images=True) == min(5_000, updates)


@pytest.mark.parametrize(
    ("n_rows", "updates"), [(40, 200), (100, 500), (101, 501), (1500, 1900), (60_000, 18_750)]
)
def test_with_neighbors_each_row_after_the_first_hundred_adds_one_update(n_rows, updates):
    assert default_n_updates(n_rows, with_neighbors=True) == updates


@pytest.mark.parametrize(
    ("n_rows", "parameters", "expected"),
    [
        (40, {}, (64, 2e-3, 320)),
        (1500, {}, (64, 2e-3, 82)),
        (9_999, {}, (64, 2e-3, 67)),
        (10_000, {}, (256, 4e-3, 67)),
        (60_000, {}, (256, 4e-3, 20)),
        (60_000, {"n_neighbors": 0}, (128, 2e-3, 32)),
        (60_000, {"method": "bigan"}, (128, 2e-4, 32)),
        (60_000, {"image_shape": (2, 2)}, (128, 2e-3, 11)),
    ],
)
def test_batches_rate_and_epochs_follow_the_rows(n_rows, parameters, expected):
    made = BiGANTransformer(**parameters)
    found = (
        batch_size(made, n_rows),
        learning_rate(made, n_rows),
        n_epochs(made, n_rows),
    )
    assert found == expected


def test_training_is_of_that_length_in_whole_epochs():
    # 200 updates in batches of 16, 16 and 8
    fitted = small(method="bigan", batch_size=16, max_epochs="auto").fit(X)
    assert fitted.net_.n_updates_ == 201


@pytest.mark.parametrize("error", [None, RuntimeError])
def test_no_rows_are_kept_after_training_or_its_failure(error):
    made = net(method="auto", callbacks=[raises_in_step(3, error)] if error else [])
    source = made.get_dataset(X)
    gone = weakref.ref(source)
    try:
        made.partial_fit(source)
    except RuntimeError:
        assert error
    del source
    gc.collect()
    assert gone() is None


@pytest.mark.parametrize("method", METHODS)
def test_history_has_the_mean_metrics_of_each_epoch(method):
    spy = Spy()
    made = net(method=method, batch_size=16, callbacks=[spy]).partial_fit(X)  # 16, 16 and 8 rows
    (epoch,) = made.epochs()
    assert [n_rows for n_rows, _ in spy.metrics] == [16, 16, 8]
    assert epoch["train_batch_count"] == 3
    for name in spy.metrics[0][1]:
        mean = sum(n_rows * metrics[name] for n_rows, metrics in spy.metrics) / 40
        assert epoch[name] == pytest.approx(mean, rel=1e-5)  # float32 sums
    terms = {
        "auto": {"cycle_loss", "latent_cycle_loss", "consistency_loss"},
        "bigan": set(),
        "ali": set(),
    }
    assert {name for name in epoch if name.endswith("_loss")} == terms.get(
        method, {"latent_regression_loss"}
    ) | {"discriminator_loss", "encoder_generator_loss"}


def test_batches_are_recorded_for_the_last_epoch_only(small_digits):
    history = small(max_epochs=3).fit(small_digits).net_.history
    assert [len(epoch["batches"]) for epoch in history] == [0, 0, 5]
    assert [epoch["train_batch_count"] for epoch in history] == [5, 5, 5]
    assert history[-1, "batches", :, "train_batch_size"] == [64, 64, 64, 64, 44]


def test_callbacks_see_every_gradient_before_it_is_used():
    spy = Spy()
    net(callbacks=[spy]).partial_fit(X)
    assert spy.had_gradients == [True] * 5


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
@pytest.mark.parametrize("n_before", [0, 1])
def test_what_goes_wrong_outside_of_callbacks_is_raised_and_changes_nothing(error, n_before):
    body = raising_body(error)
    interrupted, spared = (
        small(**BIGAN, network={"encoder": body}, max_epochs=n_before).fit(X) for _ in range(2)
    )
    interrupted.set_params(max_epochs=1)
    net_before, before = interrupted.net_, bits(interrupted.net_)
    for way in ("partial_fit", "fit"):
        body.armed = True
        with pytest.raises(error) as caught:
            getattr(interrupted, way)(X)
        assert type(caught.value) is error
        body.armed = False
        assert interrupted.net_ is net_before
        assert bits(interrupted.net_) == before
        assert not interrupted.net_.module_.training
    assert bits(interrupted.partial_fit(X).net_) == bits(spared.partial_fit(X).net_)


def raising_body(error):
    """Return a factory whose bodies raise in training while it is armed."""

    class Body(nn.Sequential):
        def forward(self, x):
            if make.armed and self.training:
                raise error
            return super().forward(x)

    def make(n_features, latent_dim):
        return Body(nn.Linear(n_features, 8), nn.Tanh())

    make.armed = False
    return make


def test_a_loss_that_is_not_finite_ends_training_and_changes_nothing():
    # The columns of images are not squashed.
    image = {"image_shape": (2, 3), "network": "mlp"}
    fitted = small(**BIGAN, **image, learning_rate=1e-3, max_epochs=1).fit(X)
    before = bits(fitted.net_)
    with pytest.raises(ValueError, match=r"diverged in epoch 2.*Lower learning_rate.*0\.001"):
        fitted.partial_fit(X * 1e36)
    assert bits(fitted.net_) == before


def test_weights_that_are_not_finite_are_noticed_after_the_last_step():
    class Spoil(Callback):
        def on_epoch_end(self, net, **kwargs):
            net.module_.encoder.head.bias.data.fill_(torch.inf)

    with pytest.raises(ValueError, match=r"encoder\.head\.bias is inf"):
        small(callbacks=[Spoil()], max_epochs=1).fit(X)


def test_a_new_learning_rate_is_the_length_of_the_next_steps():
    fitted = small(**BIGAN, max_epochs=0).fit(X)
    nn.init.normal_(fitted.net_.module_.discriminator.head.weight)
    before = [weights(getattr(fitted.net_.module_, name)) for name in NETWORKS]
    fitted.set_params(learning_rate=0.5).partial_fit(X[:8])
    for old, name in zip(before, NETWORKS, strict=True):
        now = weights(getattr(fitted.net_.module_, name))
        # Adam's first step is the learning rate, wherever the gradient is far above its epsilon
        moved = max(float((a - b).abs().max()) for a, b in zip(old, now, strict=True))
        assert moved == pytest.approx(0.5, rel=1e-3)


# The net by itself, as skorch has it.


@pytest.mark.parametrize("method", ["auto", "ali"])
def test_the_net_predicts_what_the_estimator_transforms_to(method):
    fitted = small(method=method).fit(X)
    for rows in (X, X.astype(np.float32)):
        np.testing.assert_array_equal(fitted.net_.predict(rows), fitted.transform(rows))
    np.testing.assert_array_equal(fitted.net_.forward(X).numpy(), fitted.transform(X))


def test_the_net_trains_as_the_estimator_does():
    one, other = (small(**BIGAN).fit(X) for _ in range(2))
    one.net_.partial_fit(X, epochs=1)
    assert bits(one.net_) == bits(other.partial_fit(X).net_)
    one.net_.fit(X)
    assert bits(one.net_) == bits(small(**BIGAN).fit(X).net_) != bits(other.net_)


def test_the_loop_by_itself_keeps_the_learning_rate():
    spy = Spy()
    net(callbacks=[spy]).fit_loop(X, epochs=2)
    assert spy.rates == [[1.0] * 3] * 10


@pytest.mark.parametrize("method", ["auto", "bigan"])
def test_saved_parts_give_the_same_codes_and_the_same_training(method, tmp_path):
    trained = small(method=method).fit(X).net_
    files = {f"f_{part}": str(tmp_path / part) for part in ("params", "optimizer", "history")}
    trained.save_params(**files)
    loaded = clone(trained).initialize()
    assert not equal(weights(trained.module_), loaded.module_)
    loaded.load_params(**files)
    np.testing.assert_array_equal(loaded.predict(X), trained.predict(X))
    assert bits(loaded.partial_fit(X)) == bits(trained.partial_fit(X))


def test_skorchs_parameters_can_be_read_and_set():
    class Count(Callback):
        n_ = 0

        def on_batch_end(self, net, **kwargs):
            self.n_ += 1

    made = net(callbacks=[("mine", Count())])
    parameters = made.get_params()
    assert parameters["lr"] == made.lr
    assert "callbacks__epoch_timer" in parameters
    counter = Count()
    made.set_params(lr=0.5, callbacks__mine=counter).partial_fit(X)
    assert counter.n_ == 5
    assert [group["lr"] for group in made.optimizer_.param_groups] == [0.5] * 3
    assert clone(made).lr == 0.5
