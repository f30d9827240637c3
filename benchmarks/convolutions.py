"""What a training step on images costs over its bare convolutions and matrix products.

During one step every convolution and linear layer tells what came in, and whether gradients flow
back through it. The same products are then timed by themselves, forward and back, and side by side
with steps of the estimator: normalisation, activations, views, losses, optimizers and batches are
what a step costs more. Memory is that of a process which trains and does nothing else.

    python benchmarks/convolutions.py [--out benchmarks/results/convolutions.json]
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from runs import provenance
from threadpoolctl import threadpool_limits
from torch import Tensor, nn

from sklearn_bigan import BiGANTransformer
from sklearn_bigan._training import train

SHAPES = {"28x28x1": (28, 28, 1), "32x32x3": (32, 32, 3)}
NETWORKS = ("dcgan", "ali")
BATCH, STEPS, ROUNDS = 128, 3, 7
PRODUCTS = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)


def fitted(network: str, image_shape: tuple[int, int, int], **parameters: Any) -> tuple[Any, Any]:
    """Return an untrained net and rows of noise for it."""
    rows = np.random.default_rng(0).random((BATCH * STEPS, np.prod(image_shape)), dtype=np.float32)
    settings = {"max_epochs": 0, "random_state": 0, "device": "cpu", **parameters}
    model = BiGANTransformer(
        64, image_shape=image_shape, network=network, output_activation="sigmoid", **settings
    )
    return model.fit(rows).net_, rows


def products(net: Any, rows: np.ndarray) -> list[Callable[[], Any]]:
    """Return the bare products of one step, each a function that does it forward and back."""
    found: list[Callable[[], Any]] = []

    def note(layer: nn.Module, args: tuple[Tensor], out: Tensor) -> None:
        if not torch.is_grad_enabled():
            return  # a look at the networks' health, once an epoch
        x = torch.randn_like(args[0]).requires_grad_(args[0].requires_grad)
        wanted = [x] * x.requires_grad + [layer.weight] * layer.weight.requires_grad
        gradient = torch.randn_like(out)
        found.append(lambda: torch.autograd.grad(plain(layer, x), wanted, gradient))

    hooks = [
        layer.register_forward_hook(note)
        for layer in net.module_.modules()
        if isinstance(layer, PRODUCTS)
    ]
    train(net, rows[:BATCH], epochs=1, settle=False)
    for hook in hooks:
        hook.remove()
    return found


def plain(layer: nn.Module, x: Tensor) -> Tensor:
    """Apply a layer without its bias."""
    if isinstance(layer, nn.Linear):
        return nn.functional.linear(x, layer.weight)
    if isinstance(layer, nn.ConvTranspose2d):
        return nn.functional.conv_transpose2d(
            x, layer.weight, None, layer.stride, layer.padding, layer.output_padding
        )
    return nn.functional.conv2d(x, layer.weight, None, layer.stride, layer.padding)


def step_ratio(network: str, image_shape: tuple[int, int, int], **parameters: Any) -> Any:
    """Time steps and products in turns; return the medians of both and of their ratio."""
    net, rows = fitted(network, image_shape, **parameters)
    bare = products(net, rows)
    steps, floors = [], []
    clock = StepClock()
    net.callbacks_.append(("clock", clock))
    for _ in range(ROUNDS):
        train(net, rows, epochs=1, settle=False)
        steps.append(clock.seconds / STEPS)
        start = time.perf_counter()
        for product in bare:
            product()
        floors.append(time.perf_counter() - start)
    ratios = [step / floor for step, floor in zip(steps, floors, strict=True)]
    return {
        "step_seconds": round(statistics.median(steps), 4),
        "products_seconds": round(statistics.median(floors), 4),
        "ratio": round(statistics.median(ratios), 3),
        "least": round(min(ratios), 3),
        "greatest": round(max(ratios), 3),
        "products": len(bare),
    }


class StepClock:
    """A skorch callback: seconds from the first step's begin to the last step's end."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        if not name.startswith("on_"):
            raise AttributeError(name)
        return lambda *args, **kwargs: None

    def on_train_begin(self, net: Any, **kwargs: Any) -> None:
        """Forget the epoch before."""
        self.start = None

    def on_batch_begin(self, net: Any, **kwargs: Any) -> None:
        """Start at the first."""
        self.start = self.start or time.perf_counter()

    def on_batch_end(self, net: Any, **kwargs: Any) -> None:
        """Stop, so far."""
        self.seconds = time.perf_counter() - self.start


def peak_megabytes(network: str) -> float:
    """Greatest resident memory of a process that trains on images of 32 x 32 x 3; on Linux."""
    script = (
        "import sys, torch; sys.path.insert(0, sys.argv[1]); torch.set_num_threads(1); "
        "import convolutions as c; net, rows = c.fitted(sys.argv[2], (32, 32, 3)); "
        "c.train(net, rows, epochs=1, settle=False); "
        "print(open('/proc/self/status').read().split('VmHWM:')[1].split()[0])"
    )
    command = [sys.executable, "-c", script, str(Path(__file__).parent), network]
    kilobytes = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return round(int(kilobytes) / 1024, 1)


def main() -> None:
    """Print and keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    figures: dict[str, Any] = {"batch_size": BATCH, **provenance()}
    with threadpool_limits(1):
        for network in NETWORKS:
            for name, shape in SHAPES.items():
                figures[f"{network} {name}"] = step_ratio(network, shape)
                print(network, name, figures[f"{network} {name}"], flush=True)
            figures[f"{network} peak_megabytes"] = peak_megabytes(network)
            print(network, figures[f"{network} peak_megabytes"], "MB", flush=True)
    if args.out:
        args.out.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
