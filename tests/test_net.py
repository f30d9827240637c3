import itertools

import pytest
import torch
from skorch.callbacks import Callback, EarlyStopping
from torch import nn

from sklearn_bigan import _training as training
from sklearn_bigan._net import BiGANNet
from sklearn_bigan._randomness import generator_on
from sklearn_bigan.networks.bigan import Blueprint

CPU = torch.device("cpu")
INFERENCES = ("adversarial", "latent_regression", "joint_latent_regression")
ROWS = torch.randn(40, 6, generator=torch.Generator().manual_seed(3))


# How the published BiGAN and ALI train: the adversarial loss alone.
PUBLISHED = {
    "cycle_weight": 0.0,
    "latent_cycle_weight": 0.0,
    "consistency_weight": 0.0,
    "n_neighbors": 0,
    "neighbor_steps": 2,
    "augmentations": (),
    "ema_decay": 0.0,
    "precision": "float32",
}


def net(
    discriminator_steps=1, lr=1e-3, batch_size=8, callbacks=None, training=PUBLISHED, **changes
) -> BiGANNet:
    values = {
        "n_features": 6,
        "latent_dim": 3,
        "posterior": "deterministic",
        "prior": "normal",
        "n_clusters": 2,
        "inference": "adversarial",
        "loss": "logistic",
        "output_activation": "identity",
        "hidden_layer_sizes": (16, 8),
        "image_shape": None,
        "network": "mlp",
    }
    return BiGANNet(
        Blueprint(**{**values, **changes}),
        x_mean=ROWS.mean(0),
        x_unit=torch.ones(ROWS.shape[1]),
        seed=0,
        discriminator_steps=discriminator_steps,
        lr=lr,
        batch_size=batch_size,
        device="cpu",
        callbacks=callbacks,
        verbose=0,
        **training,
    ).initialize()


def train(
    made: BiGANNet, epochs: int | None, rows: torch.Tensor = ROWS, settle: bool = False
) -> None:
    training.train(made, rows.numpy(), epochs, settle=settle)


def weights(module: nn.Module) -> list[torch.Tensor]:
    return [weight.detach().clone() for weight in module.parameters()]


def same(before: list[torch.Tensor], module: nn.Module) -> bool:
    return all(map(torch.equal, before, weights(module)))


def everything(trained: BiGANNet) -> list:
    """Weights, optimizer state and history, as values that compare by their bits."""
    parts = (
        trained.module_,
        trained.averaged_,
        trained.optimizer_,
        trained.optimizer_discriminator_,
    )
    return [bits(part.state_dict()) for part in parts] + [trained.epochs()]


def bits(value):
    if isinstance(value, torch.Tensor):
        return value.shape, value.numpy(force=True).tobytes()
    if isinstance(value, dict):
        return {key: bits(item) for key, item in value.items()}
    return [bits(item) for item in value] if isinstance(value, list | tuple) else value


class Spy(Callback):
    """Keeps what each step reports."""

    def __init__(self):
        self.figures, self.had_gradients = [], []

    def on_batch_end(self, net, figures, batch, **kwargs):
        self.figures.append((len(batch), {name: float(x) for name, x in figures.items()}))

    def on_grad_computed(self, net, named_parameters, **kwargs):
        self.had_gradients.append(all(weight.grad is not None for _, weight in named_parameters))


def test_the_two_optimizers_share_out_all_parameters():
    made = net()
    eg, d = (
        {id(w) for group in optimizer.param_groups for w in group["params"]}
        for optimizer in (made.optimizer_, made.optimizer_discriminator_)
    )
    assert not eg & d
    assert d == {id(w) for w in made.module_.discriminator.parameters()}
    assert eg | d == {id(w) for w in made.module_.parameters()}


def test_a_step_of_the_discriminator_leaves_encoder_and_generator_alone():
    made = net(discriminator_steps=100)
    nets = (made.module_.encoder, made.module_.generator, made.module_.discriminator)
    before = [weights(part) for part in nets]
    train(made, 1)
    assert [same(old, part) for old, part in zip(before, nets, strict=True)] == [True, True, False]


def test_a_step_of_encoder_and_generator_leaves_the_discriminator_alone():
    made = net()
    train(made, 1)  # past the first step, where D's zero head gives them nothing
    made.optimizer_discriminator_.step = lambda: None
    nets = (made.module_.encoder, made.module_.generator, made.module_.discriminator)
    before = [weights(part) for part in nets]
    train(made, 1)
    assert [same(old, part) for old, part in zip(before, nets, strict=True)] == [False, False, True]


def test_encoder_and_generator_move_on_every_kth_batch():
    moved = []

    class Watch(Callback):
        def on_batch_begin(self, net, **kwargs):
            self.before = weights(net.module_.generator)

        def on_batch_end(self, net, **kwargs):
            moved.append(not same(self.before, net.module_.generator))

    # five batches an epoch: the count goes on over epochs
    train(net(discriminator_steps=3, callbacks=[Watch()]), 2)
    assert moved == [False, False, True] * 3 + [False]


def test_each_network_runs_once_a_step():
    made, calls = net(), []
    for name in ("encoder", "generator", "discriminator"):
        body = getattr(made.module_, name).body
        # Without gradients: a look at the networks' health, once an epoch.
        body.register_forward_hook(
            lambda *_, name=name: calls.append(name) if torch.is_grad_enabled() else None
        )
    train(made, 1, ROWS[:8])
    assert sorted(calls) == ["discriminator", "encoder", "generator"]


def test_without_averaging_the_last_weights_are_used():
    made = net()  # ema_decay 0
    train(made, 2)
    for name in ("encoder", "generator"):
        assert same(weights(getattr(made.module_, name)), getattr(made.averaged_, name))


def test_the_learning_rate_stays_and_then_falls_in_a_line():
    class Rates(Callback):
        def on_batch_end(self, net, **kwargs):
            rates.append(net.optimizer_.param_groups[0]["lr"] / net.lr)

    rates = []
    made = net(callbacks=[Rates()])
    train(made, 4, settle=True)  # five batches an epoch
    expected = [1.0] * 10 + [2 * (1 - n / 20) for n in range(10, 20)]
    assert rates == pytest.approx(expected)
    rates.clear()
    train(made, 1, settle=False)
    assert rates == [1.0] * 5


def test_the_learning_rate_ends_at_a_hundredth():
    class Last(Callback):
        def on_batch_end(self, net, **kwargs):
            rates.append(net.optimizer_.param_groups[0]["lr"] / net.lr)

    rates = []
    train(net(callbacks=[Last()]), 100, settle=True)
    assert rates[-2:] == [0.01, 0.01]


def test_a_single_step_is_taken_at_full_learning_rate():
    made = net(batch_size=40)
    train(made, 1, settle=True)
    assert made.optimizer_.param_groups[0]["lr"] == made.lr


@pytest.mark.parametrize(
    ("n_rows", "updates"), [(40, 200), (100, 500), (101, 502), (7350, 15_000), (500_000, 15_000)]
)
def test_the_length_of_training_follows_the_rows(n_rows, updates):
    assert training.length(n_rows, of_images=False) == updates
    assert training.length(n_rows, of_images=True) == min(5_000, updates)


def test_training_is_of_that_length_in_whole_epochs(monkeypatch):
    monkeypatch.setattr("sklearn_bigan._training.length", lambda n_rows, of_images: 23)
    made = net()
    train(made, None)  # five batches an epoch
    assert made.n_steps_ == 25


def test_no_rows_are_kept_after_training_or_its_failure():
    made = net()
    train(made, 1)
    interrupt(made, KeyboardInterrupt)
    assert not {"blocks_", "graphs_"} & set(vars(made))


@pytest.mark.parametrize("inference", INFERENCES)
def test_history_has_the_mean_losses_of_each_epoch(inference):
    spy = Spy()
    made = net(batch_size=16, callbacks=[spy], inference=inference)
    train(made, 1)  # batches of 16, 16 and 8
    names = {"discriminator_loss", "encoder_generator_loss"}
    if inference != "adversarial":
        names.add("latent_regression_loss")
    epoch = made.epochs()[0]
    assert {name for name in epoch if name.endswith("_loss")} == names
    assert epoch["train_batch_count"] == 3
    for name in names:
        mean = sum(n * figures[name] for n, figures in spy.figures) / 40
        assert epoch[name] == pytest.approx(mean, rel=1e-5)  # float32 sums


def test_callbacks_see_every_gradient_before_it_is_used():
    spy = Spy()
    train(net(callbacks=[spy]), 1)
    assert spy.had_gradients == [True] * 5


def test_skorchs_early_stopping_ends_training():
    class Stuck(EarlyStopping):
        def on_epoch_end(self, net, **kwargs):
            net.history.record("stuck", 1.0)
            super().on_epoch_end(net, **kwargs)

    made = net(callbacks=[Stuck(monitor="stuck", patience=2, sink=lambda *_: None)])
    train(made, 50)
    assert 1 < len(made.history) < 5
    assert not made.module_.training


def test_stopping_within_an_epoch_keeps_the_finished_epochs():
    class Stop(Callback):
        def on_batch_end(self, net, **kwargs):
            if net.n_steps_ == 12:  # five a epoch: in the third
                raise KeyboardInterrupt

    made = net(callbacks=[Stop()])
    train(made, 50)
    assert [epoch["epoch"] for epoch in made.epochs()] == [1, 2]


@pytest.mark.parametrize("when", ["on_train_begin", "on_epoch_begin", "on_epoch_end"])
def test_a_callback_may_stop_training_between_steps(when):
    class Stop(Callback):
        pass

    def stop(self, net, **kwargs):
        raise KeyboardInterrupt

    setattr(Stop, when, stop)
    made = net(callbacks=[Stop()])
    train(made, 3)
    assert len(made.history) == (when == "on_epoch_end")
    assert not made.module_.training


def test_a_callback_that_stops_when_training_has_ended_loses_nothing():
    class Stop(Callback):
        def on_train_end(self, net, **kwargs):
            raise KeyboardInterrupt

    made = net(callbacks=[Stop()])
    train(made, 3)
    assert len(made.history) == 3


def interrupt(made: BiGANNet, error: type[BaseException]) -> None:
    """Train for an epoch that fails in its third step."""
    step, steps = made.train_step, itertools.count(1)

    def third_step_fails(batch, **kwargs):
        if next(steps) == 3:
            raise error
        return step(batch, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(made, "train_step", third_step_fails)
        with pytest.raises(error):
            train(made, 1)


@pytest.mark.parametrize("epochs_before", [0, 1])
@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_an_interrupted_training_leaves_the_net_as_it_was(error, epochs_before):
    made = net()
    train(made, epochs_before)
    before = everything(made)
    interrupt(made, error)
    assert everything(made) == before
    assert not made.module_.training


@pytest.mark.parametrize("discriminator_steps", [1, 3])
def test_training_goes_on_as_if_it_had_not_been_interrupted(discriminator_steps):
    interrupted, spared = (net(discriminator_steps) for _ in range(2))
    for made in (interrupted, spared):
        train(made, 1)
    interrupt(interrupted, KeyboardInterrupt)
    for made in (interrupted, spared):
        train(made, 1)
    assert everything(interrupted)[:4] == everything(spared)[:4]  # history has durations


def test_a_loss_that_is_not_finite_stops_training_and_changes_nothing():
    made = net()
    train(made, 1)
    before = everything(made)
    with pytest.raises(ValueError, match=r"diverged in epoch 2.*Lower learning_rate.*0\.001"):
        train(made, 1, ROWS * 1e38)
    assert everything(made) == before


def test_weights_that_are_not_finite_are_noticed_after_the_last_step():
    class Spoil(Callback):
        def on_epoch_end(self, net, **kwargs):
            net.module_.encoder.head.bias.data.fill_(torch.inf)

    with pytest.raises(ValueError, match=r"encoder\.head\.bias is inf"):
        train(net(callbacks=[Spoil()]), 1)


def test_a_new_learning_rate_reaches_both_optimizers():
    made = net()
    made.lr = 0.5
    train(made, 1)
    for optimizer in (made.optimizer_, made.optimizer_discriminator_):
        assert optimizer.param_groups[0]["lr"] == 0.5


def test_skorchs_predict_is_the_encoder():
    made = net()
    with torch.no_grad():
        codes = made.module_(ROWS)
    torch.testing.assert_close(torch.from_numpy(made.predict(ROWS)), codes)


def test_a_new_learning_rate_is_the_length_of_the_next_steps():
    made = net(lr=1e-3)
    nn.init.normal_(made.module_.discriminator.head.weight, generator=generator_on(CPU, 0))
    before = [weights(part) for part in made.module_.children()]
    made.lr = 0.5
    train(made, 1, ROWS[:8])
    for old, part in zip(before, made.module_.children(), strict=True):
        # Adam's first step is the learning rate, wherever the gradient is far above its epsilon
        moved = max(float((a - b).abs().max()) for a, b in zip(old, weights(part), strict=True))
        assert moved == pytest.approx(0.5, rel=1e-3)
