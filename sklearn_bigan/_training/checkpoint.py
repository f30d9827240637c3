"""A training written to a file now and then, and taken up again from there, bit by bit.

A checkpoint holds all that the next step depends on: weights, averages, batch statistics and
optimizer, the states of the generators, the history, and the place in the epoch. What follows from
the data and the parameters is computed again: blocks, nearest-neighbour graphs, the schedule.
"""

import json
import time
from dataclasses import dataclass, field
from hashlib import blake2b
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as to_bytes
from sklearn.utils import gen_batches
from skorch import NeuralNet
from torch import Tensor

from sklearn_bigan._data.batches import Batch, Batches, Place
from sklearn_bigan._data.rows import dense
from sklearn_bigan._data.source import advise_dontneed
from sklearn_bigan._runtime.caller import warn
from sklearn_bigan._runtime.determinism import default_states, set_default_states
from sklearn_bigan._runtime.files import file_to_write, remove_leftovers, replace_file
from sklearn_bigan._runtime.interrupts import HeldInterrupts

# Key of the header in the file's metadata.
KEY = "training"

# What the file says of itself; the number is raised when older checkpoints become unreadable.
KIND = {"kind": "training of sklearn_bigan", "format": 2}

# Values of X hashed at a time.
CHUNK_VALUES = 2**22


@dataclass
class EpochMeans:
    """The metrics of an epoch so far, for their means over its rows."""

    names: list[str] = field(default_factory=list)
    sums: Tensor | None = None  # (n_metrics,), on the device
    sizes: list[int] = field(default_factory=list)  # rows of each batch

    def add(self, batch: Batch, metrics: dict[str, Tensor]) -> None:
        """Add the metrics of a batch."""
        self.names = list(metrics)
        weighted = len(batch.x) * torch.stack(list(metrics.values()))
        self.sums = weighted if self.sums is None else self.sums + weighted
        self.sizes.append(len(batch.x))

    def mean(self) -> Tensor:
        """Return the means, (n_metrics,)."""
        assert self.sums is not None
        return self.sums / sum(self.sizes)


class Checkpoint:
    """The file that a training is written to every `interval` seconds, and taken up from.

    `identity` says by plain values which training it is; ValueError if the file holds another one.
    """

    def __init__(
        self, path: str | PathLike[str], interval: float, identity: dict[str, Any]
    ) -> None:
        self.path = file_to_write(path, "checkpoint")
        self.interval = interval
        self.identity: dict[str, Any] = json.loads(json.dumps(identity, default=repr))
        self.last = time.monotonic()
        self.interrupts = HeldInterrupts()
        self._header: dict[str, Any] = {}
        self._arrays: dict[str, np.ndarray] = {}
        remove_leftovers(self.path)
        if self.path.exists():
            self._header, self._arrays = read(self.path)
            self._check()

    @property
    def seed(self) -> int | None:
        """Seed of the training in the file, None if there is no file."""
        return self._header.get("seed")

    @property
    def finished(self) -> bool:
        """Whether the training in the file came to its end."""
        return bool(self._header) and self._header["place"] is None

    def _check(self) -> None:
        """Raise ValueError if the file holds anything but this training."""
        if any(self._header.get(name) != value for name, value in KIND.items()):
            raise ValueError(
                f"The file {str(self.path)!r} is no checkpoint that this version of sklearn_bigan "
                f"reads. Pass another path as checkpoint, or delete the file."
            )
        then, now = self._header.get("identity", {}), self.identity
        differing = [
            f"{name} was {then.get(name)!r} and is {now.get(name)!r}"
            for name in sorted(then.keys() | now.keys())
            if then.get(name) != now.get(name)
        ]
        if differing:
            raise ValueError(
                f"The checkpoint {str(self.path)!r} is of another training: "
                f"{'; '.join(differing)}. To go on, call fit with the same data and parameters. "
                f"To train from scratch, pass another path as checkpoint, or delete the file."
            )

    # Writing.

    def after_step(
        self, net: NeuralNet, batches: Batches, n_epochs: int, means: EpochMeans
    ) -> None:
        """Write the training if it is time to, or if there was a Ctrl-C, which is then raised."""
        if self.interrupts.pending or time.monotonic() - self.last >= self.interval:
            self.save(net, batches, n_epochs, means)
        self.interrupts.release()

    def save(
        self, net: NeuralNet, batches: Batches | None, n_epochs: int, means: EpochMeans
    ) -> None:
        """Write the training after a step of the epoch after `n_epochs`; without batches, its end.

        A file that cannot be written costs a warning and not the training.
        """
        place = None if batches is None else batches.place
        header = {
            **KIND,
            "identity": self.identity,
            "seed": net.seed,
            "n_updates": net.n_updates_,
            "history": [epoch for epoch in net.epochs() if "train_batch_count" in epoch],
            "optimizer": net.optimizer_.state_dict()["param_groups"],
            "n_epochs": n_epochs,
            "names": means.names,
            "sizes": means.sizes,
            "place": place and {name: getattr(place, name) for name in Place.PLAIN},
        }
        tensors = {f"module.{name}": t for name, t in net.module_.state_dict().items()}
        for number, state in net.optimizer_.state_dict()["state"].items():
            tensors |= {f"optimizer.{number}.{name}": tensor for name, tensor in state.items()}
        if place is not None and batches is not None and means.sums is not None:
            states = default_states(batches.source.device)
            tensors |= {f"default.{number}": state for number, state in enumerate(states)}
            tensors |= {"order": place.order, "noise": place.noise, "sums": means.sums}
        arrays = {name: t.detach().cpu().contiguous().numpy() for name, t in tensors.items()}
        try:
            text = json.dumps(header, default=_plain)
            replace_file(self.path, [to_bytes(arrays, metadata={KEY: text})])
        except OSError as error:
            warn(
                f"The checkpoint {str(self.path)!r} could not be written: {error}. Training "
                f"continues.",
                RuntimeWarning,
            )
        self.last = time.monotonic()

    # Going on.

    def restore(self, net: NeuralNet) -> None:
        """Bring a net to where it was: weights, optimizer, history."""
        header, arrays = self._header, self._arrays
        module = {name: torch.from_numpy(a) for name, a in _below(arrays, "module.").items()}
        net.module_.load_state_dict(module)
        state: dict[int, dict[str, Tensor]] = {}
        for name, array in _below(arrays, "optimizer.").items():
            number, _, what = name.partition(".")
            state.setdefault(int(number), {})[what] = torch.from_numpy(array)
        groups = [group | {"betas": tuple(group["betas"])} for group in header["optimizer"]]
        net.optimizer_.load_state_dict({"state": state, "param_groups": groups})
        for epoch in header["history"]:
            net.history.new_epoch()
            for name, value in epoch.items():
                net.history.record(name, value)
        net.n_updates_ = header["n_updates"]

    def resume(self, net: NeuralNet, batches: Batches) -> tuple[int, EpochMeans]:
        """Bring net and batches to where they were; return whole epochs and means of the next.

        From here on Ctrl-C waits for the end of a step.
        """
        self.interrupts.holding = True
        if not self._header:
            return 0, EpochMeans()
        self.restore(net)
        header, arrays = self._header, self._arrays
        self._header, self._arrays = {}, {}
        order, noise, sums = (torch.from_numpy(arrays[n]) for n in ("order", "noise", "sums"))
        batches.place = Place(**header["place"], order=order, noise=noise)
        device = batches.source.device
        states = _below(arrays, "default.")
        set_default_states(device, [torch.from_numpy(states[n]) for n in sorted(states)])
        return header["n_epochs"], EpochMeans(header["names"], sums.to(device), header["sizes"])


def read(path: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return header and arrays of a checkpoint; ValueError if it is no such file."""
    try:
        with safe_open(path, framework="numpy") as file:
            header = json.loads((file.metadata() or {})[KEY])
            return header, {name: file.get_tensor(name) for name in file.keys()}
    except (SafetensorError, KeyError, ValueError) as error:
        raise ValueError(
            f"The checkpoint {str(path)!r} is damaged, or no file that fit has written. Pass "
            f"another path as checkpoint, or delete the file."
        ) from error


def _plain(value: Any) -> Any:
    """Return what JSON has for a numpy scalar or array in the history; the text of other things."""
    return value.tolist() if isinstance(value, np.generic | np.ndarray) else repr(value)


def _below(arrays: dict[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    """Return the arrays whose names have a prefix, without it."""
    return {n.removeprefix(prefix): a for n, a in arrays.items() if n.startswith(prefix)}


def fingerprint(X: Any) -> str:
    """Return shape, data type and a hash of the values of X, which is read once, sparse or not."""
    digest = blake2b(digest_size=16)
    for cut in gen_batches(X.shape[0], max(1, CHUNK_VALUES // X.shape[1])):
        digest.update(np.ascontiguousarray(dense(X[cut])).data)
        advise_dontneed(X)
    return f"{X.dtype} {X.shape} {digest.hexdigest()}"
