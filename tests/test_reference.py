"""The algorithm in the plainest torch, and the engine held against it, step by step.

`Reference` is the definition: each player's loss is written out and differentiated by itself, where
the engine serves both with one pass through D. In float64 rounding stays too small to be amplified
over fifty steps.
"""

import copy
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from skorch.callbacks import Callback
from torch.nn.functional import cosine_similarity, cross_entropy, relu, softplus

from sklearn_bigan import BiGANTransformer, _blocks
from sklearn_bigan._noise import Noise
from sklearn_bigan._randomness import child_seed
from sklearn_bigan._training import train
from sklearn_bigan._views import views

CPU = torch.device("cpu")


def mean_square(a, b):
    return (a - b).square().mean()


def discriminator_loss(loss, real, fake):
    if loss == "hinge":
        return relu(1 - real).mean() + relu(1 + fake).mean()
    return softplus(-real).mean() + softplus(fake).mean()


def encoder_generator_loss(loss, real, fake):
    if loss == "hinge":
        return real.mean() - fake.mean()
    return softplus(real).mean() + softplus(-fake).mean()


def contrast_loss(codes):
    """NT-Xent: which of all other codes is the partner's, in the batch's other half?"""
    similarity = cosine_similarity(codes[:, None], codes[None], dim=2) / 0.4
    partners = torch.arange(len(codes)).roll(len(codes) // 2)
    return cross_entropy(similarity - torch.diag(torch.full((len(codes),), torch.inf)), partners)


class Reference:
    """The recipe of a net that is not trained yet: its networks, and what it is set to."""

    def __init__(self, net, n_steps):
        self.net, self.n_steps, self.n = net, n_steps, 0
        self.module = copy.deepcopy(net.module_).train()
        self.noise = Noise(CPU, child_seed(net.seed, 1, 0, 1))
        E, G, D = self.module.children()
        self.weights = {"D": [*D.parameters()], "EG": [*E.parameters(), *G.parameters()]}
        self.averages = [weight.detach().clone() for weight in self.weights["EG"]]
        players = [{"params": list(part.parameters())} for part in (E, G, D)]
        self.of_encoder, self.of_generator, self.of_discriminator = (
            torch.optim.Adam([player], betas=(0.5, 0.999)) for player in players
        )

    def step(self, batch):
        """Update D, and every k-th time E and G; return the losses before it."""
        self.n += 1
        joint = self.net.blueprint.inference == "adversarial"
        play = self.play_bigan if joint else self.play_gan_and_regress
        moved, losses = play(*self.module.children(), batch)
        gradients = [
            torch.autograd.grad(total, self.weights[who], retain_graph=True, materialize_grads=True)
            for who, total in moved.items()
        ]
        for who, found in zip(moved, gradients, strict=True):
            for weight, gradient in zip(self.weights[who], found, strict=True):
                weight.grad = gradient
        # The learning rate is constant for half of the way, then falls in a line; D and G take a
        # quarter of it where E is shown views.
        left = 2 * (1 - (self.n - 1) / self.n_steps)
        rate = self.net.lr * max(0.01, min(1, left))
        share = 0.25 if self.net.augmentations else 1
        self.update(self.of_discriminator, share * rate)
        if "EG" in moved:
            self.update(self.of_encoder, rate)
            self.update(self.of_generator, share * rate)
            n_updates = self.n // self.net.discriminator_steps
            decay = min(self.net.ema_decay, (n_updates - 1) / (n_updates + 9))
            self.averages = [
                decay * mean + (1 - decay) * weight.detach()
                for mean, weight in zip(self.averages, self.weights["EG"], strict=True)
            ]
        return losses

    def play_bigan(self, E, G, D, batch):
        """What D minimises and what E and G do, and each loss by the name that history has."""
        net, recipe = self.net, self.net.blueprint

        # Who is shown what: E the rows, or views of them; D, beside a row's code, its partner.
        row, partner = batch.chunk(2)
        if net.augmentations:
            x, seen_by_d = row, partner
            seen_by_e = views(
                batch, recipe.image_shape, net.augmentations, self.noise, net.x_unit[0]
            )
        else:
            x = seen_by_e = batch
            seen_by_d = torch.cat([partner, row]) if net.n_neighbors else batch
        n = len(x)

        z = E.prior.sample(n, self.noise)
        location, scale = E.posterior(E.hidden(seen_by_e))
        if recipe.posterior == "gaussian":
            location = location + scale * self.noise.normal(*location.shape)
        codes = E.prior.squash(location)
        z_hat = codes[:n]
        cycled = net.cycle_weight > 0
        x_hat, x_tilde = G(torch.cat([z, z_hat])).chunk(2) if cycled else (G(z), None)

        # The game. Beside views, every other generator pair is a reconstruction with its code.
        generated, source = x_hat, z
        if net.augmentations and cycled:
            odd = (torch.arange(n) % 2 == 1)[:, None]
            generated = torch.where(odd, x_tilde, x_hat)
            source = torch.where(odd, z_hat.detach(), z)
        real, fake = D(torch.cat([seen_by_d, generated]), torch.cat([z_hat, source])).chunk(2)
        d_loss = discriminator_loss(recipe.loss, real, fake)
        eg_loss = total = encoder_generator_loss(recipe.loss, real, fake)
        losses = {"discriminator_loss": d_loss, "encoder_generator_loss": eg_loss}
        if self.n % net.discriminator_steps:
            return {"D": d_loss}, losses

        # The terms beside it.
        if cycled:
            losses["cycle_loss"] = mean_square(x / net.x_unit, x_tilde / net.x_unit)
            total = total + net.cycle_weight * losses["cycle_loss"]
        if net.latent_cycle_weight:
            half = n // 2
            losses["latent_cycle_loss"] = mean_square(z[:half], E(x_hat[:half]))
            total = total + net.latent_cycle_weight * losses["latent_cycle_loss"]
        if net.consistency_weight and (net.augmentations or net.n_neighbors):
            losses["consistency_loss"] = (
                contrast_loss(codes) if net.augmentations else mean_square(*codes.chunk(2))
            )
            total = total + net.consistency_weight * losses["consistency_loss"]
        return {"D": d_loss, "EG": total}, losses

    def play_gan_and_regress(self, E, G, D, batch):
        """A GAN whose D sees x alone; E regresses z from G(z), G takes a share of that gradient."""
        recipe = self.net.blueprint
        z = E.prior.sample(len(batch), self.noise)
        x_hat, nothing = G(z), z[:, :0]
        real, fake = D(torch.cat([batch, x_hat]), torch.cat([nothing, nothing])).chunk(2)
        d_loss = discriminator_loss(recipe.loss, real, fake)
        eg_loss = encoder_generator_loss(recipe.loss, real, fake)
        share = 0.25 if recipe.inference == "joint_latent_regression" else 0
        location, _ = E.posterior(E.hidden(share * x_hat + (1 - share) * x_hat.detach()))
        regression = E.prior.regression_loss(location, z)
        losses = {"discriminator_loss": d_loss, "encoder_generator_loss": eg_loss}
        losses["latent_regression_loss"] = regression
        return {"D": d_loss, "EG": eg_loss + regression}, losses

    @staticmethod
    def update(optimizer, rate):
        optimizer.param_groups[0]["lr"] = rate
        optimizer.step()


class InStep(Callback):
    """Takes every step by the reference, too, and compares losses and weights."""

    def __init__(self, n_steps):
        self.n_steps = n_steps

    def on_train_begin(self, net, **kwargs):
        self.reference = Reference(net, self.n_steps)

    def on_batch_begin(self, net, batch, **kwargs):
        # Dropout draws from torch's own generator: the engine's step is to draw the same.
        with torch.random.fork_rng(devices=[]):
            self.losses = self.reference.step(batch.clone())

    def on_batch_end(self, net, figures, **kwargs):
        losses = {name: figure for name, figure in figures.items() if name.endswith("_loss")}
        assert losses.keys() == self.losses.keys()
        same(losses.values(), self.losses.values())
        same(net.module_.parameters(), self.reference.module.parameters())
        averaged_encoder, averaged_generator, _ = net.averaged_.children()
        averages = [*averaged_encoder.parameters(), *averaged_generator.parameters()]
        if net.ema_decay > 0:  # else the last weights are copied at the end
            same(averages, self.reference.averages)


def same(found, expected):
    found, expected = (torch.cat([t.detach().ravel() for t in ts]) for ts in (found, expected))
    # what rounding, 1e-16, comes to in fifty steps
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


@contextmanager
def float64(monkeypatch):
    """Let the engine keep rows in float64, and new tensors be float64."""
    torch.set_default_dtype(torch.float64)
    try:
        with monkeypatch.context() as patch:
            patch.setattr(_blocks, "as_float32", lambda rows: np.ascontiguousarray(rows, float))
            yield
    finally:
        torch.set_default_dtype(torch.float32)


TABLE = {"hidden_layer_sizes": (16, 8), "n_clusters": 4}
DEFAULT = TABLE | {"batch_size": 32}  # 16 rows and their partners
IMAGES = {"image_shape": (8, 8, 1), "batch_size": 8}
PUBLISHED = {
    "prior": "normal",
    "cycle_weight": 0,
    "latent_cycle_weight": 0,
    "n_neighbors": 0,
    "augmentations": None,
    "ema_decay": 0,
    "learning_rate": 2e-4,
}
BIGAN = TABLE | PUBLISHED | {"batch_size": 16}
ALI = BIGAN | {"posterior": "gaussian"}
LR, JLR = (BIGAN | {"inference": f"{kind}latent_regression"} for kind in ("", "joint_"))
RECIPES = {
    "bigan": BIGAN,
    "bigan, uniform prior": BIGAN | {"prior": "uniform"},
    "bigan, hinge": BIGAN | {"loss": "hinge"},
    "bigan, two steps of D": BIGAN | {"discriminator_steps": 2},
    "ali": ALI,
    "ali, uniform prior, hinge": ALI | {"prior": "uniform", "loss": "hinge"},
    "latent regression": LR,
    "joint latent regression": JLR,
    "joint latent regression, uniform prior, hinge": JLR | {"prior": "uniform", "loss": "hinge"},
    "default": DEFAULT,
    "default, two steps of D": DEFAULT | {"discriminator_steps": 2},
    "default, gaussian": DEFAULT | {"posterior": "gaussian"},
    "default, uniform prior": DEFAULT | {"prior": "uniform"},
    "images": IMAGES,
    "images, neighbours": IMAGES | {"n_neighbors": 3},
    "images, no cycle": IMAGES | {"cycle_weight": 0},
    "images, bigan": IMAGES | PUBLISHED,
    "images, ALI's networks": IMAGES | PUBLISHED | {"posterior": "gaussian", "network": "ali"},
}


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_every_step_is_the_references(recipe, monkeypatch):
    follow(recipe, monkeypatch)


@pytest.mark.slow
def test_compiled_steps_are_too_with_the_same_bits_each_time(monkeypatch):
    # Did it give up, the warning would be an error.
    first, again = (follow(DEFAULT, monkeypatch, compiled=True) for _ in range(2))
    for one, other in zip(first.parameters(), again.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)


def follow(recipe, monkeypatch, *, compiled=False):
    """Return networks after fifty steps beside the reference, ten on images, five with dropout."""
    of_images, with_dropout = "image_shape" in recipe, "network" in recipe
    n_rows, n_columns = (40, 64) if of_images else (80, 6)  # five batches
    n_epochs = 1 if with_dropout else 2 if of_images else 10
    rows = 2 + 3 * np.random.default_rng(0).normal(size=(n_rows, n_columns))
    if not of_images:
        rows[:, 0] *= 50  # a unit of its own
    callback = InStep(n_steps=5 * n_epochs)
    settings = recipe | {"max_epochs": 0, "device": "cpu", "random_state": 0}
    net = BiGANTransformer(3, callbacks=[callback], **settings).fit(rows).net_
    net.module_.double()
    net.averaged_.double()
    with float64(monkeypatch):
        train(net, rows, epochs=n_epochs, settle=True, compiled=compiled)
    assert net.n_steps_ == 5 * n_epochs
    return net.module_
