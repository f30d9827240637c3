"""From rows to a trained net: what comes before, round and after the steps."""

import copy
import math
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from sklearn_bigan._averaging import fit_prior
from sklearn_bigan._blocks import BLOCK_ROWS, Blocks, as_float32
from sklearn_bigan._compiling import Compiler
from sklearn_bigan._device import mixed_precision
from sklearn_bigan._distributed import Group
from sklearn_bigan._health import PROBE_ROWS, complaints
from sklearn_bigan._neighbors import BlockGraphs
from sklearn_bigan._net import BiGANNet, StopTraining
from sklearn_bigan._noise import Noise
from sklearn_bigan._randomness import (
    child_seed,
    default_generators_seeded,
    generator_on,
    repeatable,
)
from sklearn_bigan._replay import Recorder
from sklearn_bigan._stopping import HeldOut, Patience

# Length of training where nobody says: a fixed number of epochs would be far too few updates for
# a small table, and far too long for a large one. Five updates for each of the first 100 rows and
# two for each further row: more lets small tables be learned by heart. One on images costs ten
# times as much as one on a table.
FIRST_ROWS, UPDATES_PER_FIRST_ROW, UPDATES_PER_ROW = 100, 5, 2
MOST_UPDATES, MOST_IMAGE_UPDATES = 15_000, 5_000


def train(
    net: BiGANNet,
    rows: np.ndarray,
    epochs: int | None,
    *,
    settle: bool,
    patience: Patience | None = None,
    compiled: bool = False,
) -> list[str]:
    """Take the net through `epochs` passes over the rows; if that fails, it is as before.

    Parameters
    ----------
    net : BiGANNet
        Changed in place.
    rows : ndarray of shape (n_samples, n_features)
        The training data, a memory map or not, of any numeric dtype.
    epochs : int or None
        How often to see each. None: as long as `length` says.
    settle : bool
        Whether this is all there is to learn from: the learning rate then falls in the second
        half of the way, and batch statistics and clusters are those of these rows.
    patience : Patience or None
        When to stop before that, by rows that are held out.
    compiled : bool
        Whether a step's gradients are computed by code that is compiled for it.

    Returns
    -------
    complaints : list of str
        What is wrong with the trained model; looked for only if it is to settle.

    Raises
    ------
    ValueError
        If a loss or a weight is no longer finite, or there are too few rows to hold any out or to
        share among processes, or these were given different rows.
    """
    # Seeds depend on how many epochs came before, not on a generator's inner state.
    n_epochs = len(net.history)
    order, noise, default, graph, probe, spans = (
        child_seed(net.seed, 1, n_epochs, purpose) for purpose in range(6)
    )
    chosen = held_out = None
    if patience is not None:
        # By the net's seed alone: a warm start holds out the same rows of the same X.
        chosen, held_out = patience.split(len(rows), child_seed(net.seed, 2))
    device = torch.device(net.device)
    group = net.group_ = Group(device)
    with (
        unchanged_on_failure(net),
        repeatable(),
        group.sharing_statistics(net.module_),
        mixed_precision(net.module_, net.precision),
    ):
        net.blocks_ = blocks = Blocks(rows, device, spans, chosen=chosen)
        group.check(len(blocks), net.rows_a_batch)
        net.unit_ = net.x_unit.to(device)
        net.order_, net.noise_ = generator_on(device, order), Noise(device, noise)
        paired = net.n_neighbors > 0 and net.blueprint.joint and epochs != 0
        net.graphs_ = BlockGraphs(blocks, net.n_neighbors, graph, net.x_unit) if paired else None
        net.probe_ = blocks.sample(PROBE_ROWS), probe
        net.gradients_ = gradients_of(net, compiled)
        if held_out is not None and patience is not None:
            aside = torch.from_numpy(as_float32(rows[held_out])).to(device)
            net.watch_ = HeldOut(aside, blocks.mean(), patience.n_epochs)
        try:
            # Dropout is not to be the same in every process.
            take_steps(net, epochs, settle, default + group.rank)
            net.use_last_weights()
            if net.watch_ is not None:
                net.watch_.go_back(net)
            # The first piece of data finds the statistics of none.
            net.settle(anew=settle or n_epochs == 0)
            trained = settle and len(net.history) > n_epochs
            if trained and net.blueprint.joint:
                fit_prior(net.averaged_, net.module_, blocks.sample(BLOCK_ROWS), net.noise_)
            for module in (net.module_, net.averaged_):
                group.as_first(module)
            net.history[:] = group.from_first(list(net.history))
            return complaints(net.look_at(net.averaged_)) if trained else []
        finally:
            net.watch_ = None
            del net.blocks_, net.unit_, net.graphs_, net.probe_, net.group_, net.gradients_


def length(n_rows: int, *, of_images: bool) -> int:
    """Return the number of updates for so many rows."""
    first = min(n_rows, FIRST_ROWS)
    updates = UPDATES_PER_FIRST_ROW * first + UPDATES_PER_ROW * (n_rows - first)
    return min(updates, MOST_IMAGE_UPDATES if of_images else MOST_UPDATES)


def gradients_of(net: BiGANNet, compiled: bool) -> Callable[..., dict[str, Tensor]]:
    """Return what leaves a batch's gradients on the weights: compiled, recorded or as it is."""
    blueprint, group = net.blueprint, net.group_
    # What is not ours may do more than a recording sees; what waits for others is not recorded.
    recorded = isinstance(blueprint.network, str) and group.size == 1
    step: Callable[..., dict[str, Tensor]] = net.gradients
    if compiled and recorded and blueprint.draws_privately:
        step = Compiler(step, net.module_)
    elif compiled:
        warnings.warn(
            "compile=True has no effect: only network='mlp' and 'dcgan' can be compiled, in one "
            "process. Training goes on without.",
            RuntimeWarning,
            stacklevel=2,
        )
    step = partial(step, net.noise_.shared(group.rank, group.size))
    if recorded:
        step = Recorder(step, net.module_, net.noise_.generator, net.blocks_.device)
    return step


def take_steps(net: BiGANNet, epochs: int | None, settle: bool, seed: int) -> None:
    """Train until the end or a callback's stop; `seed` is for what a network's dropout may draw."""
    n_batches = len(net.batches())
    if epochs is None:
        of_images = net.blueprint.image_shape is not None
        epochs = math.ceil(length(len(net.blocks_), of_images=of_images) / n_batches)
    net.fall_ = epochs * n_batches if settle else 0
    net.n_steps_before_ = net.n_steps_
    rows, private = net.blocks_.array, net.blueprint.draws_privately
    with nullcontext() if private else default_generators_seeded(seed, net.blocks_.device):
        net.module_.train()
        try:
            net.notify("on_train_begin", X=rows, y=None)
            net.fit_loop(rows, epochs=epochs)
        except StopTraining:
            # An epoch that was not finished has no figures to report.
            if net.history and "train_batch_count" not in net.history[-1]:
                del net.history[-1]
        with suppress(StopTraining):
            net.notify("on_train_end", X=rows, y=None)
    weights = dict(net.module_.named_parameters())
    sums = torch.stack([weight.detach().sum() for weight in weights.values()])
    net.check_finite(dict(zip(weights, sums.cpu().tolist(), strict=True)))
    net.module_.eval()


@contextmanager
def unchanged_on_failure(net: BiGANNet) -> Iterator[None]:
    """Put weights, optimizers and history back if training ends in an exception."""
    averaged = nn.ModuleList([net.averaged_.encoder, net.averaged_.generator])  # D is shared
    parts = (net.module_, averaged, net.optimizer_, net.optimizer_discriminator_)
    states = [copy.deepcopy(part.state_dict()) for part in parts]
    n_epochs, n_steps = len(net.history), net.n_steps_
    try:
        yield
    except BaseException:
        for part, state in zip(parts, states, strict=True):
            part.load_state_dict(state)
        del net.history[n_epochs:]
        net.n_steps_ = n_steps
        net.module_.eval()
        raise
