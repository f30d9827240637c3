"""The algorithm in plain torch, and the engine compared with it after every step.

`Reference` is the definition: each player's loss is written out and differentiated by itself, where
the engine serves both with one backward pass. In float64 rounding errors stay too small to be
amplified over fifty steps.
"""

import copy
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from factories import BodyWithBatchNorm, small
from skorch.callbacks import Callback
from torch.nn.functional import cosine_similarity, cross_entropy, softplus

from sklearn_bigan._data.augmentation import ViewDraws, apply_views
from sklearn_bigan._data.source import RowSource
from sklearn_bigan._runtime import settings


def mean_square(a, b):
    return (a - b).square().mean()


def contrastive_loss(codes, views):
    """Which of all other codes is the neighbour's, or the view's?"""
    if views is not None:  # NT-Xent
        similarity = cosine_similarity(codes[:, None], codes[None], dim=2) / 0.4
    else:  # the Cauchy kernel
        variance = codes.var(0, correction=0).mean()
        squares = (codes[:, None] - codes[None]).square().sum(2)
        similarity = -torch.log(1 + 4 * squares / variance)
    other = torch.arange(len(codes)).roll(len(codes) // 2)
    itself = torch.diag(torch.full((len(codes),), torch.inf))
    return cross_entropy(similarity - itself, other)


def averaged_state(network):
    """Weights and running statistics, which the moving average is of."""
    state = network.state_dict()
    return [t for name, t in state.items() if t.is_floating_point() and "prior" not in name]


class Reference:
    """Networks of its own, trained by the settings of a net that is not trained yet."""

    def __init__(self, net, n_steps):
        self.net, self.n_steps, self.n = net, n_steps, 0
        self.module = copy.deepcopy(net.module_).train()
        E, G, D = self.players = (
            self.module.encoder,
            self.module.generator,
            self.module.discriminator,
        )
        self.weights = {"D": [*D.parameters()], "EG": [*E.parameters(), *G.parameters()]}
        self.averages = [t.clone() for t in [*averaged_state(E), *averaged_state(G)]]
        self.optimizers = [torch.optim.Adam(p.parameters(), betas=(0.5, 0.999)) for p in (E, G, D)]

    def step(self, batch):
        """Update all networks; return the losses before it."""
        self.n += 1
        losses_of = self.bigan if self.net.spec.joint else self.gan_and_regression
        minimised, losses = losses_of(*self.players, batch)
        gradients = [
            torch.autograd.grad(total, self.weights[who], retain_graph=True, materialize_grads=True)
            for who, total in minimised.items()
        ]
        for who, found in zip(minimised, gradients, strict=True):
            for weight, gradient in zip(self.weights[who], found, strict=True):
                weight.grad = gradient
        # The learning rate is constant for half of the way, then falls linearly; that of D and G is
        # a quarter of it where E sees views.
        rate = self.net.lr * max(0.01, min(1, 2 * (1 - (self.n - 1) / self.n_steps)))
        share = 0.25 if self.net.config.augmentations else 1
        for optimizer, own in zip(self.optimizers, (1, share, share), strict=True):
            optimizer.param_groups[0]["lr"] = own * rate
            optimizer.step()
        decay = min(self.net.config.ema_decay, (self.n - 1) / (self.n + 9))
        E, G, _ = self.players
        self.averages = [
            decay * mean + (1 - decay) * now
            for mean, now in zip(
                self.averages, [*averaged_state(E), *averaged_state(G)], strict=True
            )
        ]
        return losses

    def bigan(self, E, G, D, batch):
        """What D minimises and what E and G do, and each loss under its name in the history."""
        config, spec = self.net.config, self.net.spec
        row, neighbor, (draws_of_z, draws_of_eps, views) = batch

        # What E sees: the rows, and their neighbours or views. With neighbours every other row
        # takes part in the game.
        seen_by_e, n = row, len(row)
        if views is not None:
            unit = self.net.standardizer.variance**0.5
            flat = ViewDraws(*(None if v is None else torch.cat([*v]) for v in views))
            view = apply_views(neighbor, spec.image_shape, flat, unit)
            seen_by_e = torch.cat([row, view])
        elif config.n_neighbors:
            seen_by_e = torch.cat([row, neighbor])

        z = draws_of_z[0]
        location, scale = E.posterior(E.hidden(seen_by_e))
        if spec.posterior == "gaussian":
            location = location + scale * torch.cat([*draws_of_eps])
        codes = torch.tanh(location) if spec.prior == "uniform" else location
        z_hat, x = codes[:n], row
        if config.n_neighbors and views is None:
            z, z_hat, x = z[::2], z_hat[::2], x[::2]
            n = len(x)
        with_cycle = config.cycle_weight > 0
        x_hat, x_tilde = G(torch.cat([z, z_hat])).chunk(2) if with_cycle else (G(z), None)

        # Beside views every other generator pair is a reconstruction with its code.
        generated, source = x_hat, z
        if views is not None and with_cycle:
            odd = (torch.arange(n) % 2 == 1)[:, None]
            generated = torch.where(odd, x_tilde, x_hat)
            source = torch.where(odd, z_hat.detach(), z)
        real, fake = D((x, z_hat), (generated, source)).chunk(2)
        losses, total = self.adversarial(real, fake)

        if with_cycle:
            losses["cycle_loss"] = mean_square(x, x_tilde) / self.net.standardizer.variance
            total = total + config.cycle_weight * losses["cycle_loss"]
        if config.latent_cycle_weight:
            losses["latent_cycle_loss"] = mean_square(z[::2], E(x_hat[::2]))
            total = total + config.latent_cycle_weight * losses["latent_cycle_loss"]
        if config.consistency_weight and (views is not None or config.n_neighbors):
            losses["consistency_loss"] = contrastive_loss(codes, views)
            total = total + config.consistency_weight * losses["consistency_loss"]
        return {"D": losses["discriminator_loss"], "EG": total}, losses

    def gan_and_regression(self, E, G, D, batch):
        """A GAN whose D sees x alone; E regresses z from G(z), G takes a share of that gradient."""
        spec = self.net.spec
        z = batch.draws.z[0]
        x_hat, nothing = G(z), z[:, :0]
        losses, total = self.adversarial(*D((batch.x, nothing), (x_hat, nothing)).chunk(2))
        share = 0.25 if spec.method == "joint_latent_regression" else 0
        location, _ = E.posterior(E.hidden(share * x_hat + (1 - share) * x_hat.detach()))
        if spec.prior == "uniform":  # cross-entropy of numbers brought to [0, 1]
            wanted, found = (1 + z) / 2, (1 + torch.tanh(location)) / 2
            regression = -(wanted * found.log() + (1 - wanted) * (1 - found).log()).mean()
        else:
            regression = 0.5 * mean_square(location, z)
        losses["latent_regression_loss"] = regression
        return {"D": losses["discriminator_loss"], "EG": total + regression}, losses

    @staticmethod
    def adversarial(real, fake):
        losses = {
            "discriminator_loss": softplus(-real).mean() + softplus(fake).mean(),
            "encoder_generator_loss": softplus(real).mean() + softplus(-fake).mean(),
        }
        return losses, losses["encoder_generator_loss"]


class InStep(Callback):
    """Takes every step by the reference, too, and compares losses, weights and statistics."""

    def __init__(self, n_steps):
        self.n_steps = n_steps

    def on_train_begin(self, net, **kwargs):
        self.reference = Reference(net, self.n_steps)

    def on_batch_begin(self, net, batch, **kwargs):
        # Dropout draws from torch's default generator: the engine's step must draw the same.
        with torch.random.fork_rng(devices=[]):
            self.losses = self.reference.step(batch)

    def on_batch_end(self, net, metrics, **kwargs):
        losses = {name: value for name, value in metrics.items() if name.endswith("_loss")}
        assert losses.keys() == self.losses.keys()
        same(losses.values(), self.losses.values())
        for own, other in zip(net.module_.children(), self.reference.players, strict=False):
            same(own.state_dict().values(), other.state_dict().values())
        used = net.module_.averaged
        if net.config.ema_decay > 0:  # else the last weights are copied at the end of an epoch
            averages = [*averaged_state(used.encoder), *averaged_state(used.generator)]
            same(averages, self.reference.averages)


def same(found, expected):
    found, expected = (
        torch.cat([t.detach().double().ravel() for t in ts]) for ts in (found, expected)
    )
    # what rounding, 1e-16, comes to in fifty steps
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


def standardised(source, number):
    made = source.standardizer
    t = (source.X - made.center) / made.scale
    return t / np.sqrt(1 + np.square(t / made.bound)) if made.bound is not None else t


@contextmanager
def float64(monkeypatch):
    """Let the engine keep rows in float64, and draw float64."""
    torch.set_default_dtype(torch.float64)
    try:
        with monkeypatch.context() as patch:
            patch.setattr(RowSource, "read", standardised)
            dtype = settings.SETTINGS[0]._replace(value=torch.float64)
            patch.setattr(settings, "SETTINGS", [dtype, *settings.SETTINGS[1:]])
            yield
    finally:
        torch.set_default_dtype(torch.float32)


TABLE = {"hidden_layer_sizes": (16, 8), "batch_size": 16}
RECIPE = TABLE | {"prior": 4}
IMAGES = {"image_shape": (8, 8, 1), "batch_size": 8}
# The default of 50 makes losses and their rounding ten times larger: 1.3e-12 in one weight.
IMAGE_RECIPE = IMAGES | {"cycle_weight": 5}
BIGAN, ALI, LR, JLR = (
    {"method": method}
    for method in ("bigan", "ali", "latent_regression", "joint_latent_regression")
)
NORMAL = {"prior": "normal"}
CONFIGURATIONS = {
    "bigan": TABLE | BIGAN,
    "bigan, normal prior": TABLE | BIGAN | NORMAL,
    "bigan, batch norm in D": TABLE | BIGAN | {"network": {"discriminator": BodyWithBatchNorm}},
    "ali": TABLE | ALI,
    "ali, uniform prior": TABLE | ALI | {"prior": "uniform"},
    "latent regression": TABLE | LR,
    "latent regression, normal prior": TABLE | LR | NORMAL,
    "joint latent regression": TABLE | JLR,
    "joint latent regression, normal prior": TABLE | JLR | NORMAL,
    "default": RECIPE,
    "default, no neighbours": RECIPE | {"n_neighbors": 0},
    "default, gaussian": RECIPE | {"posterior": "gaussian"},
    "default, uniform prior": TABLE | {"prior": "uniform"},
    "default, batch norm in D": RECIPE | {"network": {"discriminator": BodyWithBatchNorm}},
    "images": IMAGE_RECIPE,
    "images, gaussian": IMAGE_RECIPE | {"posterior": "gaussian"},
    "images, neighbours": IMAGE_RECIPE | {"n_neighbors": 3},
    "images, no views": IMAGE_RECIPE | {"augmentations": None},
    "images, no cycle": IMAGES | {"cycle_weight": 0},
    "images, bigan": IMAGES | BIGAN,
    "images, ALI's networks": IMAGES | ALI | {"network": "ali"},
}


@pytest.mark.parametrize("configuration", CONFIGURATIONS.values(), ids=CONFIGURATIONS)
def test_every_step_is_the_references(configuration, monkeypatch):
    follow(configuration, monkeypatch)


@pytest.mark.slow
def test_compiled_steps_are_too_with_the_same_bits_each_time(monkeypatch):
    first, again = (follow(RECIPE | {"compile": True}, monkeypatch) for _ in range(2))
    for one, other in zip(first.parameters(), again.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)


def follow(configuration, monkeypatch):
    """Return networks after fifty steps beside the reference, ten on images, five with dropout."""
    of_images, with_dropout = "image_shape" in configuration, configuration.get("network") == "ali"
    n_rows, n_columns = (40, 64) if of_images else (80, 6)  # five batches
    n_epochs = 1 if with_dropout else 2 if of_images else 10
    rows = 2 + 3 * np.random.default_rng(0).normal(size=(n_rows, n_columns))
    if not of_images:
        rows[:, 0] *= 50  # a unit of its own
    callback = InStep(n_steps=5 * n_epochs)
    settings = configuration | {"n_components": 3, "max_epochs": 0}
    net = small(callbacks=[callback], **settings).fit(rows).net_
    net.module_.double()
    with float64(monkeypatch):
        net.set_params(warm_start=True).fit(rows, epochs=n_epochs)
    assert net.n_updates_ == 5 * n_epochs
    return net.module_
