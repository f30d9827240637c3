"""Ctrl-C, told apart from a KeyboardInterrupt that is raised to stop a training."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

# Ctrl-C, and what `kill` and schedulers send: some programs give both the same handler.
SIGNALS = (signal.SIGINT, signal.SIGTERM)

# Attribute of an exception that a signal handler raised.
MARK = "_raised_by_signal_handler"


@contextmanager
def marking_interrupts() -> Iterator[None]:
    """Mark what the handlers of Ctrl-C and SIGTERM raise, for `is_interrupt`.

    Python runs signal handlers in the main thread, and they can only be set there: in other threads
    this does nothing. The user's handlers are called as before and are in place again afterwards.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handlers = {number: signal.getsignal(number) for number in SIGNALS}
    # Others are not callable: the signal is ignored, ends the process, or is not Python's.
    marking = {n: _marking(handler) for n, handler in handlers.items() if callable(handler)}
    for number, handler in marking.items():
        signal.signal(number, handler)
    try:
        yield
    finally:
        for number, handler in marking.items():
            if signal.getsignal(number) is handler:  # else a callback has set its own
                signal.signal(number, handlers[number])


def _marking(handler: Callable[[int, Any], Any]) -> Callable[[int, Any], Any]:
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
