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
from sklearn_bigan.networks.mlp import PairBody

LAYERS = (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)

Product = Callable[[], Any]


class Run(NamedTuple):
    """What came into a layer, and what came out."""

    layer: nn.Module
    x: Tensor
    out: Tensor


class Recorder(Callback):
    """Notes every run of a layer in the steps of a training.

    Parameters
    ----------
    change : float
        How much random noise is added to the initial weights.
    """

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
            self.runs.append(Run(layer, args[0].detach().clone(), out.detach().clone()))

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
    """Return the products of one step in order, forward and then backward.

    The step is taken twice with the same rows and draws and other weights: where the input of a
    layer differs, a network made it.

    Parameters
    ----------
    make : callable
        Returns an unfitted estimator, always the same.
    X : ndarray of shape (n_samples, n_features)
        The rows of one batch.
    """
    recorders = [Recorder(change) for change in (0.0, 0.1)]
    for recorder in recorders:
        make().set_params(callbacks=[recorder], max_epochs=1).fit(X)
    forward, backward = [], []
    for run, changed in zip(*(recorder.runs for recorder in recorders), strict=True):
        there, back = bare(run.layer, run.x, run.out, list(parts(run.x != changed.x)))
        forward.append(there)
        backward.append(back)
    return [*forward, *chain(*reversed(backward))]


def parts(made: Tensor) -> Iterator[tuple[slice, slice]]:
    """Yield rows and columns (of images channels) that a network made, by half batches."""
    n_rows = len(made)
    halves = [
        (slice(half.start, half.stop), span(made[half.start : half.stop].any(0)))
        for half in (range(n_rows // 2), range(n_rows // 2, n_rows))
    ]
    (_, first), (_, second) = halves
    if first == second:
        halves = [(slice(0, n_rows), first)]
    for rows, columns in halves:
        if columns is not None:
            yield rows, columns


def span(wanted: Tensor) -> slice | None:
    """Return the range from the first wanted column, or channel, to the last."""
    numbers = wanted.flatten(1).any(1).nonzero() if wanted.dim() > 1 else wanted.nonzero()
    return slice(int(numbers[0]), int(numbers[-1]) + 1) if len(numbers) else None


def bare(
    layer: nn.Module, x: Tensor, gradient: Tensor, made: Iterable[tuple[slice, slice]]
) -> tuple[Product, list[Product]]:
    """Return a layer's product forward, without its bias, and those backward."""
    weight = layer.weight.detach()
    if isinstance(layer, nn.Linear):

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
