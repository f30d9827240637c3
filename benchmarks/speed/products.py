"""The bare matrix products and convolutions that a training step cannot do without.

Each run of a layer is one product forward and two backward, for the gradients at its weight and at
its input. At the input only those rows count that a network made: rows of X and draws of z need no
gradient.
"""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
import torch
from skorch.callbacks import Callback
from torch import Tensor, nn

from sklearn_bigan import BiGANTransformer
from sklearn_bigan.networks.dcgan import Upsampling, WholeMapConvolution
from sklearn_bigan.networks.mlp import PairBody

LAYERS = (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)

Product = Callable[[], Any]


class Run(NamedTuple):
    """What came into a layer, and what came out."""

    layer: nn.Module
    x: Tensor
    out: Tensor


class Recorder(Callback):
    """Notes every run of a layer in a step, after random noise `change` is added to the weights."""

    def __init__(self, change: float) -> None:
        self.change = change
        self.runs: list[Run] = []

    def on_train_begin(self, net: Any, **kwargs: Any) -> None:
        """Change the weights, and listen to the layers."""
        random = torch.Generator().manual_seed(0)
        module = net.module_
        with torch.no_grad():
            for weight in module.parameters():
                noise = torch.rand(weight.shape, generator=random).to(weight)
                weight.add_(noise, alpha=self.change)
        self.handles = [
            layer.register_forward_hook(self.note)
            for part in (module.encoder, module.generator, module.discriminator)
            for layer in part.modules()
            if isinstance(layer, LAYERS)
        ]

    def note(self, layer: nn.Module, args: tuple[Tensor], out: Tensor) -> None:
        """Note a run, unless it is part of a diagnosis, which needs no gradient."""
        if torch.is_grad_enabled():
            x, out = args[0].detach().clone(), out.detach().clone()
            if isinstance(layer, WholeMapConvolution):
                x, out = x.flatten(1), out.flatten(1)
            self.runs.append(Run(layer, x, out))

    def on_batch_end(self, net: Any, **kwargs: Any) -> None:
        """Stop listening after one step."""
        for handle in self.handles:
            handle.remove()
        if isinstance(net.module_.discriminator.body, PairBody):
            self.runs = joined(self.runs, net.module_.discriminator.body)


def joined(runs: list[Run], body: PairBody) -> list[Run]:
    """Replace D's first layer, which sees x and z of each kind of pairs apart, by one of all."""
    layers = [layer for layer in (body.from_x, body.from_z) if layer is not None]
    apart = [[run for run in runs if run.layer is layer] for layer in layers]
    whole = nn.Linear(sum(layer.in_features for layer in layers), layers[0].out_features)
    with torch.no_grad():
        whole.weight = nn.Parameter(torch.cat([layer.weight for layer in layers], dim=1))
    x = torch.cat([torch.cat([run.x for run in of_layer]) for of_layer in apart], dim=1)
    out = torch.cat([run.out for run in apart[0]])
    first = next(number for number, run in enumerate(runs) if run.layer in layers)
    others = [run for run in runs[first:] if run.layer not in layers]
    return [*runs[:first], Run(whole, x, out), *others]


def floor(make: Callable[[], BiGANTransformer], X: np.ndarray) -> list[Product]:
    """Return the products of one step on the rows X in order, forward and then backward.

    The step is taken twice with the same rows and draws and other weights: where the input of a
    layer differs, a network made it.
    """
    recorders = [Recorder(change) for change in (0.0, 0.1)]
    for recorder in recorders:
        make().set_params(callbacks=[recorder], max_epochs=1).fit(X)
    both = zip(*(recorder.runs for recorder in recorders), strict=True)
    found = [bare(*run, list(parts(run.x != changed.x))) for run, changed in both]
    return [*(there for there, _ in found), *chain(*(back for _, back in reversed(found)))]


def parts(made: Tensor) -> Iterator[tuple[slice, slice]]:
    """Yield rows and columns (of images channels) that a network made, by half batches."""
    middle = len(made) // 2
    first, second = span(made[:middle].any(0)), span(made[middle:].any(0))
    halves = [(slice(0, middle), first), (slice(middle, len(made)), second)]
    if first == second:
        halves = [(slice(0, len(made)), first)]
    yield from ((rows, columns) for rows, columns in halves if columns is not None)


def span(wanted: Tensor) -> slice | None:
    """Return the range from the first wanted column, or channel, to the last."""
    numbers = wanted.flatten(1).any(1).nonzero() if wanted.dim() > 1 else wanted.nonzero()
    return slice(int(numbers[0]), int(numbers[-1]) + 1) if len(numbers) else None


def bare(
    layer: nn.Module, x: Tensor, gradient: Tensor, made: Iterable[tuple[slice, slice]]
) -> tuple[Product, list[Product]]:
    """Return a layer's product forward, without its bias, and those backward."""
    weight = (layer.kernel() if isinstance(layer, Upsampling) else layer.weight).detach()
    # In mixed precision a layer computes in the type of what it puts out.
    x, weight = x.to(gradient.dtype), weight.to(gradient.dtype)
    if isinstance(layer, WholeMapConvolution):
        weight = weight.flatten(1)
    if isinstance(layer, nn.Linear | WholeMapConvolution):

        def product(left: Tensor, right: Tensor) -> Product:
            return partial(torch.mm, left, right, out=left.new_empty(len(left), right.shape[1]))

        at_inputs = [product(gradient[rows], weight[:, columns]) for rows, columns in made]
        return product(x, weight.T), [product(gradient.T, x), *at_inputs]

    settings = (
        *(layer.stride, layer.padding, layer.dilation),
        *(isinstance(layer, nn.ConvTranspose2d), layer.output_padding, layer.groups),
    )

    def back(rows: slice, at_input: bool, at_weight: bool) -> Product:
        given = (gradient[rows], x[rows], weight, None, *settings)
        return partial(torch.ops.aten.convolution_backward, *given, (at_input, at_weight, False))

    everything = slice(0, len(x))
    of_rows = [rows for rows, _ in made]
    if of_rows == [everything]:  # both gradients share what is done to the one that comes in
        backward = [back(everything, True, True)]
    else:
        backward = [back(everything, False, True), *(back(part, True, False) for part in of_rows)]
    return partial(torch.convolution, x, weight, None, *settings), backward
