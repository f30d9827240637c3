"""Ctrl-C, told apart from a KeyboardInterrupt that is raised to stop a training."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

Handler = Callable[[int, Any], Any]

# Ctrl-C, and what `kill` and schedulers send: some programs give both the same handler.
SIGNALS = (signal.SIGINT, signal.SIGTERM)

# Attribute of an exception that a signal handler raised.
MARK = "_raised_by_signal_handler"


@contextmanager
def marking_interrupts() -> Iterator[None]:
    """Mark what the handlers of Ctrl-C and SIGTERM raise, for `is_interrupt`.

    In other threads than the main one, where no handler can run, this does nothing.
    """
    with _handlers_replaced(_marking):
        yield


class HeldInterrupts:
    """Ctrl-C and SIGTERM, held back while `holding` until `release`; a second one is not."""

    def __init__(self) -> None:
        self.holding = False
        self.pending: Callable[[], Any] | None = None

    @contextmanager
    def handling(self) -> Iterator[None]:
        """Handle the signals; whatever is held back is released at the end."""
        with _handlers_replaced(self._holding):
            yield
            self.release()

    def release(self) -> None:
        """Do now what the signal's handler would have done."""
        call, self.pending = self.pending, None
        if call is not None:
            self.holding = False
            call()

    def _holding(self, handler: Handler) -> Handler:
        def held(number: int, frame: Any) -> Any:
            if not self.holding or self.pending is not None:
                return handler(number, frame)
            self.pending = partial(handler, number, frame)
            return None

        return held


@contextmanager
def _handlers_replaced(replace: Callable[[Handler], Handler]) -> Iterator[None]:
    """Put functions of the handlers in their place, in the main thread, and restore them."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handlers = {number: signal.getsignal(number) for number in SIGNALS}
    # Others are not callable: the signal is ignored, ends the process, or is not Python's.
    ours = {number: replace(handler) for number, handler in handlers.items() if callable(handler)}
    for number, handler in ours.items():
        signal.signal(number, handler)
    try:
        yield
    finally:
        for number, handler in ours.items():
            if signal.getsignal(number) is handler:  # else a callback has set its own
                signal.signal(number, handlers[number])


def _marking(handler: Handler) -> Handler:
    def marked(number: int, frame: Any) -> Any:
        try:
            return handler(number, frame)
        except BaseException as error:
            setattr(error, MARK, True)
            raise

    return marked


def is_interrupt(error: BaseException) -> bool:
    """Return whether a signal handler raised the exception, or the one it was raised from."""
    link: BaseException | None = error
    seen = set()
    while link is not None and id(link) not in seen:
        if getattr(link, MARK, False):
            return True
        seen.add(id(link))
        link = link.__cause__ or link.__context__
    return False
