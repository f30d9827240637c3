"""Which of skorch's callbacks mean something in an adversarial training."""

import copy
from collections.abc import Iterable
from typing import Any

from skorch.callbacks import (
    BatchScoring,
    Callback,
    EarlyStopping,
    EpochScoring,
    LRScheduler,
    PassthroughScoring,
)


def has_scheduler(callbacks: Iterable[Any]) -> bool:
    """Return whether a callback sets the learning rate, in place of the built-in schedule."""
    return any(isinstance(callback, LRScheduler) for callback in _instances(callbacks))


def check_callbacks(callbacks: Iterable[Any]) -> None:
    """Raise TypeError for what is no callback, ValueError for one that cannot work here."""
    callbacks = list(callbacks)
    for position, item in enumerate(callbacks):
        if not _is_callback(item):
            raise TypeError(
                f"The 'callbacks' parameter of BiGANTransformer must be None or a list of skorch "
                f"callbacks: instances or subclasses of skorch.callbacks.Callback, or pairs (name, "
                f"callback). Got {item!r} at position {position}; to call a function of your own, "
                f"write a subclass with a method such as on_epoch_end(self, net, **kwargs)."
            )
    for callback in _instances(callbacks):
        name = type(callback).__name__
        if isinstance(callback, BatchScoring | PassthroughScoring):
            raise ValueError(
                f"The callback {name} needs a prediction and a loss for every batch, which the "
                f"training of BiGANTransformer does not have. Use "
                f"EpochScoring(..., on_train=True), or one of the metrics of history_."
            )
        if isinstance(callback, EpochScoring) and not callback.on_train:
            raise ValueError(
                f"{name}(on_train=False) scores a validation set, which BiGANTransformer does not "
                f"split off. Use {name}(..., on_train=True); its function may score held-out rows "
                f"of your own."
            )
        if isinstance(callback, EpochScoring) and callback.scoring is None:
            raise ValueError(
                f"{name}(None) needs a net with a score method, which net_ does not have. Pass a "
                f"function of the net, X and y, for example one that compares net.predict(X)."
            )
        monitor = getattr(callback, "monitor", None)
        if isinstance(monitor, str) and monitor.startswith("valid_"):
            # A checkpoint needs a flag, for which None means every epoch.
            metric = "reconstruction_ratio" if isinstance(callback, EarlyStopping) else None
            raise ValueError(
                f"{name}(monitor={monitor!r}) watches a validation set, which BiGANTransformer "
                f"does not split off. Use a metric of history_, such as "
                f"{name}(monitor={metric!r}), or the name of an EpochScoring."
            )
        if isinstance(callback, EarlyStopping | LRScheduler) and monitor == "train_loss":
            if isinstance(callback, LRScheduler) and "Plateau" not in str(callback.policy):
                continue  # skorch's default, which other policies do not look at
            raise ValueError(
                f"{name}(monitor='train_loss') watches a single loss, and an adversarial training "
                f"has one for each player. Use another metric of history_, such as "
                f"{name}(monitor='reconstruction_ratio')."
            )


def without_live(callbacks: Any, shared: Iterable[Any]) -> tuple[Any, list[str]]:
    """Return the callbacks that can be copied, and the names of those left out.

    What holds an open file, a lock or a connection cannot be copied. `shared` are objects that need
    no copy. A value that is no list is returned as it is.
    """
    if not isinstance(callbacks, list):
        return callbacks, []
    kept, left_out = [], []
    for item in callbacks:
        try:
            copy.deepcopy(item, {id(one): one for one in shared})
            kept.append(item)
        except TypeError:  # Python's "cannot pickle '_io.TextIOWrapper' object"
            callback = item[1] if isinstance(item, tuple | list) and len(item) == 2 else item
            left_out.append(type(callback).__name__)
    return (kept if left_out else callbacks), left_out


def _is_callback(item: Any) -> bool:
    if isinstance(item, tuple | list):
        if len(item) != 2 or not isinstance(item[0], str):
            return False
        item = item[1]
    return isinstance(item, Callback) or (isinstance(item, type) and issubclass(item, Callback))


def _instances(callbacks: Iterable[Any]) -> list[Any]:
    """Return callbacks without their names, classes as instances, as skorch takes them."""
    found = [item[1] if isinstance(item, tuple | list) else item for item in callbacks]
    return [callback() if isinstance(callback, type) else callback for callback in found]
