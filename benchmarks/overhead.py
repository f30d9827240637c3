"""What the engine costs over plain PyTorch, and what it saves: ratios from one run.

Ways to train the same networks with the same optimizers, losses, batches and draws:

    engine    BiGANNet, as `fit` uses it
    plain     a flat loop that does the same operations and nothing else
    textbook  the loop of a tutorial: fresh forward passes for D's side and for E's and G's
    skorch    BiGANNet with skorch's own DataLoader and per-batch bookkeeping
    default   BiGANNet with the estimator's default recipe, where the others train as published

`plain` says what the engine's conveniences cost, `textbook` and `skorch` what it saves. That the
engine computes the right thing is shown beside: its losses, step by step, against `plain` and
against `autograd`, which differentiates each player's loss by itself; in float32 and, where
rounding is not amplified to be seen, in float64.

    python benchmarks/overhead.py [--out benchmarks/results/overhead.json]
"""

import argparse
import copy
import datetime
import json
import statistics
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import torch
from methods import PUBLISHED
from runs import cpu
from skorch import NeuralNet
from skorch.callbacks import Callback
from torch import Tensor
from torch.nn.functional import softplus

from sklearn_bigan import BiGANTransformer
from sklearn_bigan._batches import TensorBatches
from sklearn_bigan._inference import CHUNK_ROWS
from sklearn_bigan._learning import TRAINING
from sklearn_bigan._net import ADAM_BETAS, BiGANNet
from sklearn_bigan._randomness import child_seed, generator_on
from sklearn_bigan._training import train

SHAPES = {"digits": (64, 16), "mnist": (784, 50)}  # n_features, n_components
BATCH, STEPS, ROUNDS, LEARNING_RATE = 128, 50, 9, 2e-4
CPU = torch.device("cpu")
BIGAN = {**PUBLISHED, "learning_rate": LEARNING_RATE}


def fresh_net(n_features: int, n_components: int, **recipe: Any) -> BiGANNet:
    """Return an untrained net, the same at every call; BiGAN's as published unless told."""
    X = np.zeros((2, n_features), dtype=np.float32)
    settings = {"max_epochs": 0, "device": "cpu", "random_state": 0, **(recipe or BIGAN)}
    return BiGANTransformer(n_components, **settings).fit(X).net_


class Clock(Callback):
    """Seconds from the first step to the last, without what surrounds them."""

    def on_train_begin(self, net: NeuralNet, **kwargs: Any) -> None:
        """Start."""
        self.start = time.perf_counter()

    def on_train_end(self, net: NeuralNet, **kwargs: Any) -> None:
        """Stop."""
        self.seconds = time.perf_counter() - self.start


class Losses(Callback):
    """Collects each step's losses, as device scalars."""

    def __init__(self) -> None:
        self.seen: list[Tensor] = []

    def on_batch_end(self, net: NeuralNet, figures: dict[str, Tensor], **kwargs: Any) -> None:
        """Keep what the step returned."""
        names = ("discriminator_loss", "encoder_generator_loss")
        self.seen.append(torch.stack([figures[name] for name in names]))


def engine(net: BiGANNet, rows: Tensor) -> Tensor:
    """Losses (steps, 2) of one epoch as `fit` trains it."""
    losses = Losses()
    net.callbacks_.append(("losses", losses))
    train(net, rows.numpy(), epochs=1, settle=False)
    net.callbacks_.pop()
    return torch.stack(losses.seen)


def engine_seconds(net: BiGANNet, rows: Tensor) -> float:
    """Time the steps of one epoch as `fit` trains it."""
    clock = Clock()
    net.callbacks_.append(("clock", clock))
    train(net, rows.numpy(), epochs=1, settle=False)
    net.callbacks_.pop()
    return clock.seconds


class _Loop:
    """What the flat loops share: the engine's networks, batches and draws."""

    def __init__(self, net: BiGANNet, rows: Tensor) -> None:
        module = copy.deepcopy(net.module_).train()
        self.E, self.G, self.D = module.encoder, module.generator, module.discriminator
        eg = [*self.E.parameters(), *self.G.parameters()]
        settings = {"lr": LEARNING_RATE, "betas": ADAM_BETAS, "fused": True}
        self.optimizer_eg = torch.optim.Adam(eg, **settings)
        self.optimizer_d = torch.optim.Adam(self.D.parameters(), **settings)
        order, self.noise = (generator_on(CPU, child_seed(net.seed, 1, 0, i)) for i in range(2))
        self.batches = TensorBatches(rows, BATCH, order)

    def pairs(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield x and z, batch by batch."""
        for x in self.batches:
            yield x, torch.randn(len(x), self.E.latent_dim, generator=self.noise)


def plain(net: BiGANNet, rows: Tensor) -> Tensor:
    """One forward through each network, both pairs at once through D, one backward through D."""
    loop, seen = _Loop(net, rows), []
    for x, z in loop.pairs():
        loop.optimizer_eg.zero_grad()
        loop.optimizer_d.zero_grad()
        z_hat, x_hat = loop.E(x), loop.G(z)
        xs = torch.cat([x, x_hat.detach()]).requires_grad_()
        zs = torch.cat([z_hat.detach(), z]).requires_grad_()
        t = loop.D(xs, zs)
        with torch.no_grad():
            t_q, t_p = t.chunk(2)
            losses = torch.stack(
                [
                    softplus(-t_q).mean() + softplus(t_p).mean(),
                    softplus(t_q).mean() + softplus(-t_p).mean(),
                ]
            )
            d = torch.cat([-torch.sigmoid(-t_q), torch.sigmoid(t_p)]) / len(x)
            e = torch.cat([torch.sigmoid(t_q), -torch.sigmoid(-t_p)]) / len(x)
        t.backward(d)
        scale = (e / d)[:, None]
        at_x, at_z = scale * xs.grad, scale * zs.grad
        torch.autograd.backward([z_hat, x_hat], [at_z[: len(x)], at_x[len(x) :]])
        loop.optimizer_d.step()
        loop.optimizer_eg.step()
        seen.append(losses)
    return torch.stack(seen)


def autograd(net: BiGANNet, rows: Tensor) -> Tensor:
    """Both losses differentiated separately, at the same weights."""
    loop, seen = _Loop(net, rows), []
    eg, d = [*loop.E.parameters(), *loop.G.parameters()], list(loop.D.parameters())
    for x, z in loop.pairs():
        xs, zs = torch.cat([x, loop.G(z)]), torch.cat([loop.E(x), z])
        t_q, t_p = loop.D(xs, zs).chunk(2)
        d_loss = softplus(-t_q).mean() + softplus(t_p).mean()
        eg_loss = softplus(t_q).mean() + softplus(-t_p).mean()
        for players, loss in ((d, d_loss), (eg, eg_loss)):
            gradients = torch.autograd.grad(loss, players, retain_graph=True)
            for weight, gradient in zip(players, gradients, strict=True):
                weight.grad = gradient
        loop.optimizer_d.step()
        loop.optimizer_eg.step()
        seen.append(torch.stack([d_loss, eg_loss]).detach())
    return torch.stack(seen)


def textbook(net: BiGANNet, rows: Tensor) -> Tensor:
    """D's step on fresh pairs, then E's and G's step on fresh pairs."""
    loop, seen = _Loop(net, rows), []
    for x, z in loop.pairs():
        with torch.no_grad():
            z_hat, x_hat = loop.E(x), loop.G(z)
        d_loss = softplus(-loop.D(x, z_hat)).mean() + softplus(loop.D(x_hat, z)).mean()
        loop.optimizer_d.zero_grad()
        d_loss.backward()
        loop.optimizer_d.step()
        t_q, t_p = loop.D(x, loop.E(x)), loop.D(loop.G(z), z)
        eg_loss = softplus(t_q).mean() + softplus(-t_p).mean()
        loop.optimizer_eg.zero_grad()
        eg_loss.backward()
        loop.optimizer_eg.step()
        seen.append(torch.stack([d_loss, eg_loss]).detach())
    return torch.stack(seen)


class StockNet(BiGANNet):
    """The same step under skorch's own loop: DataLoader, and a loss read from every batch."""

    get_iterator = NeuralNet.get_iterator
    run_single_epoch = NeuralNet.run_single_epoch

    def train_step(self, batch: Any, **fit_params: Any) -> dict[str, Any]:
        """Unpack the batch, and name the loss as skorch wants it."""
        step = super().train_step(batch[0])
        return {**step, "loss": step["figures"]["discriminator_loss"]}


def stock_skorch(net: BiGANNet) -> BiGANNet:
    """Return the same net under skorch's own loop."""
    names = ("lr", "n_neighbors", "augmentations", *TRAINING)
    return StockNet(
        net.blueprint,
        x_mean=net.x_mean,
        x_std=net.x_std,
        seed=net.seed,
        device="cpu",
        verbose=0,
        **{name: getattr(net, name) for name in names},
    ).initialize()


def loss_gaps(n_features: int, n_components: int, rows: Tensor) -> dict[str, float]:
    """Largest relative difference of any step's losses between three ways, in rows' dtype.

    In float32 two flat loops part as well, since training amplifies rounding; in float64 there
    is nothing left to amplify.
    """
    losses = {}
    for way in (engine, plain, autograd):
        net = fresh_net(n_features, n_components)
        net.module_.to(rows.dtype)
        net.averaged_.to(rows.dtype)
        torch.set_default_dtype(rows.dtype)
        losses[way.__name__] = way(net, rows)
        torch.set_default_dtype(torch.float32)
    return {
        f"{one} and {other}": float(((losses[one] - losses[other]) / losses[other]).abs().max())
        for one, other in combinations(losses, 2)
    }


def seconds(run: Callable[[], Any]) -> float:
    """Wall time of one call, or what it says itself."""
    start = time.perf_counter()
    told = run()
    return told if isinstance(told, float) else time.perf_counter() - start


def ratios(runs: dict[str, Callable[[], Any]], unit: str) -> dict[str, float]:
    """Median over rounds of each run's time over that of `unit`, in turn within a round."""
    for run in runs.values():
        run()
    rounds = [{name: seconds(run) for name, run in runs.items()} for _ in range(ROUNDS)]
    return {
        name: round(statistics.median(times[name] / times[unit] for times in rounds), 3)
        for name in runs
    } | {f"{unit}_seconds": round(statistics.median(times[unit] for times in rounds), 5)}


def measure(n_features: int, n_components: int) -> dict[str, Any]:
    """All figures for one shape."""
    rows = torch.rand(STEPS * BATCH, n_features, generator=generator_on(CPU, 0))
    gaps = {
        str(dtype).removeprefix("torch."): loss_gaps(n_features, n_components, rows.to(dtype))
        for dtype in (torch.float32, torch.float64)
    }
    net = fresh_net(n_features, n_components)
    default = fresh_net(n_features, n_components, learning_rate=LEARNING_RATE)
    # One epoch of the default recipe is `STEPS` steps on half of the rows: the others are partners.
    half = rows[: len(rows) // 2]
    step_time = ratios(
        {
            "plain": partial(plain, net, rows),
            "engine": partial(engine_seconds, net, rows),
            "textbook": partial(textbook, net, rows),
            "stock_skorch": partial(engine_seconds, stock_skorch(net), rows),
            "default": partial(engine_seconds, default, half),
        },
        unit="plain",
    )

    X = torch.rand(65536, n_features, generator=generator_on(CPU, 1)).numpy()
    estimator = BiGANTransformer(n_components, max_epochs=0, device="cpu", random_state=0).fit(X)
    encoder = estimator.net_.averaged_.encoder

    def bare_forward() -> Tensor:
        with torch.inference_mode():
            return torch.cat([encoder(chunk) for chunk in torch.from_numpy(X).split(CHUNK_ROWS)])

    transform_time = ratios(
        {
            "bare_forward": bare_forward,
            "transform": lambda: estimator.transform(X),
            "skorch_predict": lambda: NeuralNet.predict(estimator.net_, X),
        },
        unit="bare_forward",
    )
    return {"loss_gaps": gaps, "step_time": step_time, "transform_time": transform_time}


def main() -> None:
    """Measure every shape and print, or write, one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path)
    out = parser.parse_args().out
    torch.set_num_threads(1)
    report = {
        "date": datetime.date.today().isoformat(),
        "cpu": cpu(),
        "torch": torch.__version__,
        "steps": STEPS,
        "batch_size": BATCH,
        "rounds": ROUNDS,
        **{name: measure(*shape) for name, shape in SHAPES.items()},
    }
    text = json.dumps(report, indent=2)
    print(text)
    if out:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(text + "\n")


if __name__ == "__main__":
    main()
