"""Which of skorch's callbacks mean something in an adversarial training."""

from collections.abc import Iterable
from typing import Any

from skorch.callbacks import (
    BatchScoring,
    EarlyStopping,
    EpochScoring,
    LRScheduler,
    PassthroughScoring,
)


def has_scheduler(callbacks: Iterable[Any]) -> bool:
    """Return whether a callback sets the learning rate, in place of the built-in schedule."""
    return any(isinstance(callback, LRScheduler) for callback in _instances(callbacks))


def check_callbacks(callbacks: Iterable[Any]) -> None:
    """Raise ValueError for callbacks that cannot do here what skorch says they do."""
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


def _instances(callbacks: Iterable[Any]) -> list[Any]:
    """Return callbacks without their names, classes as instances, as skorch takes them."""
    found = [item[1] if isinstance(item, tuple | list) else item for item in callbacks]
    return [callback() if isinstance(callback, type) else callback for callback in found]
