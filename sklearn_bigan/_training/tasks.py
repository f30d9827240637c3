"""scikit-learn's callbacks: each epoch of `fit` is a task of the estimator.

scikit-learn has them from version 1.9 on; before, there is nothing to call.
"""

from collections.abc import Callable
from typing import Any

from skorch.callbacks import Callback

from sklearn_bigan._data.source import RowSource

try:
    from sklearn.callback import CallbackSupportMixin, with_callbacks
except ImportError:  # scikit-learn before 1.9

    class CallbackSupportMixin:  # type: ignore[no-redef]
        """Has nothing to add."""

    def with_callbacks(method: Callable[..., Any]) -> Callable[..., Any]:
        """Return the method as it is."""
        return method


__all__ = ["CallbackSupportMixin", "EpochTasks", "with_callbacks"]


class EpochTasks(Callback):
    """Calls the estimator's scikit-learn callbacks before and after `fit` and each epoch.

    `source` has the rows of X on the device. An estimator that is fitted as if `fit` had stopped
    now is made only if a callback asks for it.
    """

    def __init__(self, estimator: Any, X: Any, y: Any, source: RowSource, n_epochs: int) -> None:
        self.data = {"estimator": estimator, "X": X, "y": y}
        self.source = source
        self.fit = estimator._init_callback_context(max_subtasks=n_epochs)
        self.fit.call_on_fit_task_begin(**self.data)
        self.n_before = 0
        self.epoch: Any = None

    def on_train_begin(self, net: Any, **_: Any) -> None:
        """Remember how many epochs there were before."""
        self.n_before = len(net.history)

    def on_epoch_begin(self, net: Any, **_: Any) -> None:
        """Begin the task of an epoch."""
        self.epoch = self.fit.subcontext(task_name="epoch")
        self.epoch.call_on_fit_task_begin(**self.data)

    def on_epoch_end(self, net: Any, **_: Any) -> None:
        """End the task, and the training if a callback asks for it."""
        if self.epoch.call_on_fit_task_end(
            **self.data,
            reconstruction_attributes=lambda: {"net_": net.as_if_ended(self.source, self.n_before)},
        ):
            raise KeyboardInterrupt

    def end(self) -> None:
        """End the task of the whole `fit`."""
        fitted = {"net_": self.data["estimator"].net_}
        self.fit.call_on_fit_task_end(**self.data, reconstruction_attributes=fitted)
