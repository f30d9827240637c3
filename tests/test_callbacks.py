"""skorch's stock callbacks do what skorch says, and watching a training does not change it."""

import copy
import pickle
import signal
import threading
from itertools import pairwise

import numpy as np
import pytest
import torch
from factories import METHODS, BodyWithBatchNorm, equal, not_with_torch_2_6, small, table, weights
from sklearn.base import clone
from skorch.callbacks import (
    BatchScoring,
    Callback,
    Checkpoint,
    EarlyStopping,
    EpochScoring,
    Freezer,
    GradientNormClipping,
    LRScheduler,
    PassthroughScoring,
    ProgressBar,
    TensorBoard,
)
from torch import nn
from torch.optim.lr_scheduler import LambdaLR, ReduceLROnPlateau, StepLR

X, HELD_OUT = table(), table(seed=1)
SETTINGS = {"batch_size": 64}  # four batches


def silent(text):
    """Take what callbacks would print."""


def stopping(monitor, patience=3, **settings) -> EarlyStopping:
    return EarlyStopping(monitor=monitor, patience=patience, sink=silent, **settings)


class Record(Callback):
    """Records a value for each epoch, and keeps the averaged networks of its end."""

    def __init__(self, values=()):
        self.values = values

    def on_train_begin(self, net, **kwargs):
        self.states_, self.codes_ = [], []

    def on_epoch_end(self, net, **kwargs):
        if self.values:
            net.history.record("given", self.values[len(net.history) - 1])
            net.history.record("given_best", self.values[len(net.history) - 1] == min(self.values))
        self.states_.append([weights(net.module_.averaged), weights(net.module_)])
        self.codes_.append(net.predict(X))


class Stop(Callback):
    """Raises KeyboardInterrupt at a given point, the n-th time."""

    def __init__(self, point, number=1):
        self.point, self.number = point, number

    def initialize(self):
        self.n_ = 0

        def stop(*args, **kwargs):
            self.n_ += 1
            if self.n_ == self.number:
                raise KeyboardInterrupt

        setattr(self, self.point, stop)
        return self

    def get_params(self, deep=True):
        return {"point": self.point, "number": self.number}


class Writer:
    """Stands in for TensorBoard's SummaryWriter."""

    def __init__(self):
        self.scalars, self.closed = {}, False

    def add_scalar(self, tag, scalar_value, global_step):
        assert not self.closed
        self.scalars[tag, global_step] = scalar_value

    def close(self):
        self.closed = True


def reconstruction(net, X, y=None) -> float:
    return float(np.square(HELD_OUT[:, :4] - net.predict(HELD_OUT)).mean())


# Watching.

WATCHING = {
    "EpochScoring": lambda folder: EpochScoring(reconstruction, on_train=True, name="held_out"),
    "EarlyStopping": lambda folder: stopping("reconstruction_ratio", 99),
    "Checkpoint": lambda folder: Checkpoint(monitor=None, dirname=str(folder)),
    "ProgressBar": lambda folder: ProgressBar(),
    "TensorBoard": lambda folder: TensorBoard(Writer()),
}


@pytest.mark.parametrize("make", WATCHING.values(), ids=WATCHING)
@pytest.mark.parametrize("method", ["auto", "ali"])
def test_watching_a_training_does_not_change_it(make, method, tmp_path):
    plain, watched = (
        small(**SETTINGS, method=method, max_epochs=3, callbacks=callbacks).fit(X).net_
        for callbacks in (None, [make(tmp_path)])
    )
    assert len(watched.history) == 3
    for name, value in watched.module_.state_dict().items():
        torch.testing.assert_close(value, plain.module_.state_dict()[name], rtol=0, atol=0)
    losses = [[epoch["discriminator_loss"] for epoch in net.history] for net in (plain, watched)]
    assert losses[0] == losses[1]


@pytest.mark.parametrize("method", ["auto", "bigan"])
def test_epoch_scoring_scores_the_averaged_networks_of_each_epoch(method):
    def of_codes(net, X, y=None):
        used = net.module_.averaged.encoder
        rows = torch.from_numpy(net.standardizer.transform(X))
        scored.append(float(used(rows).square().mean()))
        return float(np.square(net.predict(X)).mean())

    scored = []
    scoring = EpochScoring(of_codes, on_train=True)
    history = small(**SETTINGS, method=method, callbacks=[scoring], max_epochs=5).fit(X).history_
    recorded = [epoch["of_codes"] for epoch in history]
    np.testing.assert_allclose(recorded, scored, rtol=1e-5)
    assert len(set(recorded)) == 5
    lowest = np.minimum.accumulate([np.inf, *recorded])[:-1]
    assert [epoch["of_codes_best"] for epoch in history] == list(recorded < lowest)


def test_tensorboard_is_given_the_history_and_closed():
    writer = Writer()
    history = small(**SETTINGS, callbacks=[TensorBoard(writer)]).fit(X).history_
    assert writer.closed
    for epoch in history:
        for name in ("cycle_loss", "discriminator_loss", "reconstruction_ratio", "coverage"):
            assert writer.scalars[name, epoch["epoch"]] == epoch[name]


def test_a_progress_bar_counts_the_batches(monkeypatch):
    bars = []

    class Bar:
        def __init__(self, total, leave):
            self.total, self.n = total, 0
            bars.append(self)

        def update(self):
            self.n += 1

        def set_postfix(self, *args, **kwargs):
            pass

        close = set_postfix

    monkeypatch.setattr("skorch.callbacks.logging.tqdm.tqdm", Bar)
    small(**SETTINGS, callbacks=[ProgressBar()]).fit(X)
    assert [(bar.n, bar.total) for bar in bars] == [(4, 4)] * 2


# Stopping, and going back to the best epoch.


def test_early_stopping_ends_training_and_the_estimator_is_fitted():
    fitted = small(callbacks=[stopping("reconstruction_ratio", 1)], max_epochs=200).fit(X)
    ratios = [epoch["reconstruction_ratio"] for epoch in fitted.history_]
    assert 1 < fitted.n_iter_ < 200
    assert ratios[-1] > ratios[-2] * (1 - 1e-3)
    assert np.isfinite(fitted.transform(X)).all()


@pytest.mark.parametrize("normalised", [False, True])
@pytest.mark.parametrize("method", ["auto", "bigan"])
@pytest.mark.parametrize("way", ["EarlyStopping", "Checkpoint"])
def test_the_best_epochs_networks_are_used(way, method, normalised, tmp_path):
    record = Record([3.0, 2.0, 1.0, 4.0, 5.0, 6.0])
    last = {
        "EarlyStopping": lambda: stopping("given", load_best=True),
        "Checkpoint": lambda: Checkpoint("given_best", dirname=str(tmp_path), load_best=True),
    }[way]()
    settings = SETTINGS if normalised else SETTINGS | {"network": {"encoder": plain}}
    fitted = small(**settings, method=method, callbacks=[record, last], max_epochs=6).fit(X)
    states = [all_equal(fitted.net_.module_, state) for state in record.states_]
    assert states == [False, False, True, False, False, False]
    if not normalised:  # else batch statistics are computed again
        np.testing.assert_array_equal(fitted.transform(X), record.codes_[2])


def plain(n_features, latent_dim):
    return nn.Sequential(nn.Linear(n_features, 8), nn.Tanh())


def all_equal(module, state) -> bool:
    return equal(state[0], module.averaged) and equal(state[1], module)


def test_a_checkpoint_can_be_loaded_into_a_fresh_net(tmp_path):
    record = Record([3.0, 1.0, 2.0])
    checkpoint = Checkpoint("given_best", dirname=str(tmp_path))
    net = small(**SETTINGS, callbacks=[record, checkpoint], max_epochs=3).fit(X).net_
    assert not all_equal(net.module_, record.states_[1])
    fresh = clone(net).set_params(callbacks=None).initialize()
    fresh.load_params(checkpoint=checkpoint)
    assert all_equal(fresh.module_, record.states_[1])
    assert len(fresh.history) == 2
    assert fresh.n_updates_ == 8
    params = clone(net).initialize()
    params.load_params(f_params=str(tmp_path / "params.pt"))
    np.testing.assert_array_equal(params.predict(X), fresh.predict(X))


@pytest.mark.parametrize("method", ["auto", "bigan"])
@pytest.mark.parametrize(
    ("point", "number", "n_epochs", "n_updates"),
    [
        ("on_train_begin", 1, 0, 0),
        ("on_epoch_begin", 1, 0, 0),
        ("on_epoch_begin", 2, 1, 4),
        ("on_batch_begin", 6, 1, 5),
        ("on_grad_computed", 6, 1, 5),
        ("on_batch_end", 6, 1, 6),
        ("on_epoch_end", 2, 2, 8),
        ("on_train_end", 1, 3, 12),
    ],
)
def test_a_callback_may_stop_training_anywhere(point, number, n_epochs, n_updates, method):
    settings = {**SETTINGS, "method": method, "max_epochs": 3}
    fitted = small(**settings, callbacks=[Stop(point, number)]).fit(X)
    assert [epoch["epoch"] for epoch in fitted.history_] == list(range(1, n_epochs + 1))
    assert all("dur" in epoch for epoch in fitted.history_[:-1])
    net = fitted.net_
    assert net.n_updates_ == n_updates
    assert not net.module_.training
    last = equal(weights(net.module_.encoder), net.module_.averaged.encoder)
    assert last == (method == "bigan" or n_updates == 0)
    assert np.isfinite(fitted.transform(X)).all()


class Interrupt(Stop):
    """Presses Ctrl-C in place of raising KeyboardInterrupt."""

    def initialize(self):
        def interrupt(*args, **kwargs):
            signal.raise_signal(signal.SIGINT)

        setattr(self, self.point, interrupt)
        return self


POINTS = ["on_train_begin", "on_epoch_begin", "on_batch_begin", "on_grad_computed", "on_batch_end",
          "on_epoch_end", "on_train_end"]  # fmt: skip


@pytest.mark.parametrize("point", POINTS)
def test_ctrl_c_inside_a_callback_is_no_way_to_stop_training(point):
    handler, fitted = signal.getsignal(signal.SIGINT), small().fit(X)
    before = fitted.net_
    with pytest.raises(KeyboardInterrupt):
        fitted.set_params(callbacks=[Interrupt(point)]).fit(X)
    assert fitted.net_ is before
    assert signal.getsignal(signal.SIGINT) is handler


class Reraise(Callback):
    def on_epoch_end(self, net, **kwargs):
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt as interrupt:
            raise KeyboardInterrupt("after cleaning up") from interrupt


def test_ctrl_c_that_a_callback_raises_again_is_one():
    with pytest.raises(KeyboardInterrupt, match="after cleaning up"):
        small(callbacks=[Reraise()]).fit(X)


def test_a_callback_may_stop_training_after_a_signal_that_the_users_handler_takes():
    class StopAtEndOfEpoch(Callback):
        def on_batch_end(self, net, **kwargs):
            signal.raise_signal(signal.SIGINT)

        def on_epoch_end(self, net, **kwargs):
            if received:
                raise KeyboardInterrupt

    def handler(number, frame):
        received.append(number)

    received, before = [], signal.signal(signal.SIGINT, handler)
    try:
        fitted = small(**SETTINGS, callbacks=[StopAtEndOfEpoch()], max_epochs=3).fit(X)
        assert signal.getsignal(signal.SIGINT) is handler
    finally:
        signal.signal(signal.SIGINT, before)
    assert fitted.n_iter_ == 1
    assert received == 4 * [signal.SIGINT]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_handler_set_during_training_stays_in_place(number):
    class Handle(Callback):
        def on_train_begin(self, net, **kwargs):
            signal.signal(number, handler)

    def handler(number, frame):
        """Do nothing."""

    before = signal.getsignal(number)
    try:
        small(callbacks=[Handle()]).fit(X)
        assert signal.getsignal(number) is handler
    finally:
        signal.signal(number, before)


def test_a_callback_may_stop_training_in_another_thread():
    fitted = small(callbacks=[Stop("on_epoch_end")], max_epochs=3)
    thread = threading.Thread(target=fitted.fit, args=(X,))
    thread.start()
    thread.join()
    assert fitted.n_iter_ == 1


def test_gradients_can_be_clipped():
    class Norm(Callback):
        def on_grad_computed(self, net, named_parameters, **kwargs):
            gradients = [weight.grad for _, weight in named_parameters]
            norms.append(float(nn.utils.get_total_norm(gradients)))

    norms = []
    small(**SETTINGS, callbacks=[GradientNormClipping(0.1), Norm()]).fit(X)
    np.testing.assert_allclose(norms, 0.1, rtol=1e-3)  # without, all are above


ROLES = ("encoder", "generator", "discriminator")


@pytest.mark.parametrize("roles", [*ROLES, ROLES[:2], ROLES], ids=str)
@pytest.mark.parametrize("network", ["auto", {"discriminator": BodyWithBatchNorm}], ids=str)
@pytest.mark.parametrize("method", METHODS)
def test_whole_networks_can_be_frozen(method, network, roles):
    frozen = [roles] if isinstance(roles, str) else list(roles)
    settings = SETTINGS | {"method": method, "network": network}
    freezer = Freezer([f"{role}.*" for role in frozen])
    module = small(**settings, callbacks=[freezer]).fit(X).net_.module_
    start = small(**settings, max_epochs=0).fit(X).net_.module_
    for role in frozen:
        assert equal(weights(start.get_submodule(role)), module.get_submodule(role)), role
    # The discriminator's logit starts at 0: while it is frozen, E and G learn from terms alone.
    if "discriminator" not in frozen:
        assert not equal(weights(start.discriminator), module.discriminator)


@pytest.mark.parametrize(
    "compile",
    [
        False,
        pytest.param(True, marks=not_with_torch_2_6("a step with frozen weights is not compiled")),
    ],
)
def test_a_network_can_be_frozen_after_some_epochs(compile):
    class Keep(Callback):
        def on_epoch_end(self, net, **kwargs):
            kept.append(weights(net.module_.encoder))

    kept = []
    callbacks = [Keep(), Freezer("encoder.*", at=3)]
    small(**SETTINGS, compile=compile, callbacks=callbacks, max_epochs=4).fit(X)
    same = [all(map(torch.equal, *pair)) for pair in pairwise(kept)]
    assert same == [False, True, True]


# Callbacks that hold something live.


class Log(Callback):
    """Writes to an open file, which cannot be copied."""

    def __init__(self, file):
        self.file = file

    def on_epoch_end(self, net, **kwargs):
        self.file.write(f"{len(net.history)}\n")


@pytest.mark.parametrize("live", [Log, lambda file: TensorBoard(threading.Lock())])
def test_a_copy_leaves_out_what_cannot_be_copied_and_says_so(live, tmp_path):
    with (tmp_path / "log").open("w") as file:
        callback = live(file)
        fitted = small().fit(X).set_params(callbacks=[Record(), ("live", callback)])
        for copied in (copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))):
            name = type(callback).__name__
            with pytest.warns(UserWarning, match=f"leaves out the callbacks {name}") as caught:
                other = copied(fitted)
            assert [warning.filename for warning in caught] == [__file__]
            assert [type(kept) for kept in other.callbacks] == [Record]
            np.testing.assert_array_equal(other.transform(X), fitted.transform(X))
            assert fitted.callbacks[1] == ("live", callback)
            other.partial_fit(X)


def test_a_callback_that_knows_the_estimator_is_copied_with_it():
    fitted = small(callbacks=[Record()]).fit(X)
    fitted.callbacks[0].values = ()
    fitted.callbacks[0].estimator = fitted
    other = copy.deepcopy(fitted)
    assert other.callbacks[0].estimator is other


# The learning rate.


class Rates(Callback):
    def initialize(self):
        self.rates_ = []
        return self

    def on_batch_end(self, net, **kwargs):
        self.rates_.append([group["lr"] for group in net.optimizer_.param_groups])


def test_a_scheduler_replaces_the_built_in_schedule():
    rates, scheduler = Rates(), LRScheduler(StepLR, step_size=1, gamma=0.1)
    fitted = small(**SETTINGS, learning_rate=1e-2, max_epochs=4, callbacks=[rates, scheduler])
    history = fitted.fit(X).history_
    expected = np.repeat([1e-2, 1e-3, 1e-4, 1e-5], 4)
    np.testing.assert_allclose(rates.rates_, np.transpose([expected] * 3))
    np.testing.assert_allclose([epoch["event_lr"] for epoch in history], expected[::4])


def test_a_scheduler_goes_on_where_it_was_with_each_networks_share(small_digits):
    rates, scheduler = Rates(), LRScheduler(LambdaLR, lr_lambda=lambda epoch: 1 / (1 + epoch))
    settings = {"image_shape": (8, 8), "learning_rate": 1e-2, "callbacks": [rates, scheduler]}
    fitted = small(**settings).fit(small_digits[:128])  # E sees views
    fitted.partial_fit(small_digits[:128]).partial_fit(small_digits[:128])
    expected = np.outer(1e-2 / np.arange(1, 5), [1, 0.25, 0.25])
    np.testing.assert_allclose(rates.rates_, expected)


def test_a_scheduler_that_multiplies_rates_starts_from_each_networks_share(small_digits):
    rates, scheduler = Rates(), LRScheduler(StepLR, step_size=1, gamma=0.1)
    settings = {"image_shape": (8, 8), "learning_rate": 1e-2, "callbacks": [rates, scheduler]}
    small(**settings, batch_size=128).fit(small_digits[:128])  # two epochs of one update
    np.testing.assert_allclose(rates.rates_, np.outer([1e-2, 1e-3], [1, 0.25, 0.25]))


def test_a_scheduler_starts_from_a_learning_rate_that_has_changed():
    rates, scheduler = Rates(), LRScheduler(LambdaLR, lr_lambda=lambda epoch: 1.0)
    fitted = small(learning_rate=1e-2, max_epochs=1, callbacks=[rates, scheduler]).fit(X)
    fitted.set_params(learning_rate=1e-3, warm_start=True).fit(X)
    assert [row[0] for row in rates.rates_] == [1e-3] * len(rates.rates_)


# What is refused.


@pytest.mark.parametrize(
    ("callback", "said"),
    [
        (BatchScoring(reconstruction), r"Use EpochScoring\(\.\.\., on_train=True\)"),
        (PassthroughScoring("train_loss"), r"Use EpochScoring\(\.\.\., on_train=True\)"),
        (EpochScoring(reconstruction), r"Use EpochScoring\(\.\.\., on_train=True\)"),
        (EarlyStopping(), r"EarlyStopping\(monitor='reconstruction_ratio'\)"),
        (EarlyStopping, r"EarlyStopping\(monitor='reconstruction_ratio'\)"),
        (EarlyStopping("train_loss"), r"EarlyStopping\(monitor='reconstruction_ratio'\)"),
        (("mine", EarlyStopping()), r"EarlyStopping\(monitor='reconstruction_ratio'\)"),
        (Checkpoint(), r"Checkpoint\(monitor=None\), or the name of an EpochScoring"),
        (
            LRScheduler(ReduceLROnPlateau, monitor="train_loss"),
            r"LRScheduler\(monitor='reconstruction_ratio'\)",
        ),
        (EpochScoring(None, on_train=True), r"function of the net, X and y"),
    ],
)
def test_callbacks_that_cannot_work_are_refused_with_an_alternative(callback, said):
    fitted = small(**SETTINGS).fit(X)
    before = fitted.net_
    with pytest.raises(ValueError, match=said):
        fitted.set_params(callbacks=[callback]).fit(X)
    assert fitted.net_ is before


@pytest.mark.parametrize(
    "item",
    [3, "early", None, len, object(), ("a",), ("a", 3), (Callback(), "a"), ["a", "b", "c"], int],
    ids=range(10),
)
@pytest.mark.parametrize("way", ["fit", "partial_fit"])
def test_what_is_no_callback_is_named_with_the_rule(item, way):
    fitted = small(**SETTINGS).fit(X)
    fitted.set_params(callbacks=[Record(), item])
    with pytest.raises(
        TypeError, match=r"The 'callbacks' parameter .* skorch\.callbacks"
    ) as raised:
        getattr(fitted, way)(X)
    assert f"Got {item!r} at position 1" in str(raised.value)
    assert fitted.n_iter_ == 2


def test_the_alternatives_work(tmp_path):
    callbacks = [
        EpochScoring(reconstruction, on_train=True, name="held_out"),
        stopping("reconstruction_ratio"),
        Checkpoint(monitor="held_out_best", dirname=str(tmp_path)),
        LRScheduler(ReduceLROnPlateau, monitor="reconstruction_ratio", patience=0),
    ]
    assert small(**SETTINGS, callbacks=callbacks).fit(X).history_[0]["event_cp"]
