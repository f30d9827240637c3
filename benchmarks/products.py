"""The floor of a training step: the bare matrix products and convolutions it cannot do without.

Each run of a layer is one product forward and two backward, for the gradients at its weight and at
its input. At the input only that counts which a network made: rows of X and draws of z need no
gradient. So the first layer of E has none to give, and that of D, which is told (x, E(x)) from
(G(z), z), gives half: at E(x) for the one kind of pairs and at G(z) for the other.
"""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from sklearn_bigan._training import train
from sklearn_bigan.networks.mlp import PairLinear, joined

LAYERS = (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)

Product = Callable[[], Any]


class Run(NamedTuple):
    """What came into a layer, and what came out."""

    layer: nn.Module
    x: Tensor
    out: Tensor


class Block(NamedTuple):
    """Where a layer's input needs a gradient; of images all columns, which are channels."""

    rows: slice
    columns: slice


def floor(fresh_net: Callable[[], Any], rows: np.ndarray) -> list[Product]:
    """Return the products of one step on the rows, in order: forward, then back.

    The step is taken twice, by two nets that are told the same rows and draws but have other
    weights: what comes into a layer differently was made by a network.
    """
    net, other = fresh_net(), fresh_net()
    with torch.no_grad():
        for weight in other.module_.parameters():
            weight.add_(torch.rand_like(weight), alpha=0.1)
    forward, backward = [], []
    for run, changed in zip(runs(net, rows), runs(other, rows), strict=True):
        there, back = bare(run.layer, run.x, run.out, list(made(run.x != changed.x)))
        forward.append(there)
        backward.append(back)
    return [*forward, *chain(*reversed(backward))]


def runs(net: Any, rows: np.ndarray) -> list[Run]:
    """Return every run of a layer in one step."""
    found = []

    def note(layer: nn.Module, args: tuple[Any], out: Tensor) -> None:
        if torch.is_grad_enabled():  # else it is the look at the networks' health after the epoch
            x = joined(args[0]) if isinstance(layer, PairLinear) else args[0]
            found.append(Run(layer, x.detach().clone(), out.detach().clone()))

    for layer in net.module_.modules():
        if isinstance(layer, LAYERS):
            layer.register_forward_hook(note)
    train(net, rows, epochs=1, settle=False)
    return found


def made(changed: Tensor) -> Iterator[Block]:
    """Yield where the input was made, by half batches: the two kinds of pairs, or of codes."""
    n_rows = len(changed)
    halves = [
        (slice(half.start, half.stop), span(changed[half.start : half.stop].any(0)))
        for half in (range(n_rows // 2), range(n_rows // 2, n_rows))
    ]
    (_, first), (_, second) = halves
    if first == second:
        halves = [(slice(0, n_rows), first)]
    for rows, columns in halves:
        if columns is not None:
            yield Block(rows, columns)


def span(wanted: Tensor) -> slice | None:
    """From the first wanted column, or channel, to the last."""
    numbers = wanted.flatten(1).any(1).nonzero() if wanted.dim() > 1 else wanted.nonzero()
    return slice(int(numbers[0]), int(numbers[-1]) + 1) if len(numbers) else None


def bare(
    layer: nn.Module, x: Tensor, gradient: Tensor, blocks: Iterable[Block]
) -> tuple[Product, list[Product]]:
    """Return a layer's product, without its bias, and those of its way back."""
    weight = layer.weight.detach()
    if isinstance(layer, nn.Linear):

        def product(left: Tensor, right: Tensor) -> Product:
            return partial(torch.mm, left, right, out=left.new_empty(len(left), right.shape[1]))

        at_inputs = [product(gradient[rows], weight[:, columns]) for rows, columns in blocks]
        return product(x, weight.T), [product(gradient.T, x), *at_inputs]

    settings = (
        *(layer.stride, layer.padding, layer.dilation),
        *(isinstance(layer, nn.ConvTranspose2d), layer.output_padding, layer.groups),
    )

    def back(rows: slice, at_input: bool, at_weight: bool) -> Product:
        given = (gradient[rows], x[rows], weight, None, *settings)
        return partial(torch.ops.aten.convolution_backward, *given, (at_input, at_weight, False))

    everything = slice(0, len(x))
    parts = [rows for rows, _ in blocks]
    if parts == [everything]:  # the two share what they do to the gradient
        backward = [back(everything, True, True)]
    else:
        backward = [back(everything, False, True), *(back(part, True, False) for part in parts)]
    return partial(torch.convolution, x, weight, None, *settings), backward
