"""What `fit` shows while it runs: a progress bar, and a table of the epochs."""

import multiprocessing
import shutil
import sys
import time
from functools import partial
from threading import Event, Thread
from typing import Any, NamedTuple, Self

from skorch.callbacks import Callback

from sklearn_bigan._data.batches import Batch
from sklearn_bigan._runtime import distributed

# A bar is refreshed at least this often, so that phases without training steps move, too. Where
# lines cannot be overwritten, as in a log file, one is written this often.
REFRESH_SECONDS, LINE_SECONDS = 1.0, 5.0

# Two of a terminal's 80 columns are for the ^C that it writes after the bar.
WIDTH = 77
PHASE = "{desc}: {elapsed}"
TRAINING = "{desc} {percentage:3.0f}%|{bar}| {remaining} left, {rate_noinv_fmt}{postfix}"
ENDED = "{desc} in {elapsed}{postfix}"


class Column(NamedTuple):
    """A column of the table: its title, the metric of `history_`, and the number's format."""

    title: str
    metric: str
    format: str


COLUMNS = (
    Column("D loss", "discriminator_loss", ".3f"),
    Column("EG loss", "encoder_generator_loss", ".3f"),
    Column("cycle", "cycle_loss", ".3f"),
    Column("ratio", "reconstruction_ratio", ".3f"),
    Column("codes", "code_spread", ".2f"),
    Column("samples", "sample_spread", ".2f"),
    Column("coverage", "coverage", ".2f"),
    Column("seconds", "dur", ".1f"),
)
HEADING = "epoch " + " ".join(f"{column.title:>8}" for column in COLUMNS)


class Progress(Callback):
    """Shows the progress of one call of `fit` or `partial_fit`, as a context manager.

    With `verbose` 0 it shows nothing; with 1 a progress bar on stderr, or a line every few seconds
    where stderr is no terminal; with 2 also a row for each epoch on stdout.
    """

    def __init__(self, verbose: int = 0) -> None:
        self.verbose = verbose
        self.bar: Any = None
        self.n_before = self.n_epochs = 0

    def __enter__(self) -> Self:
        if self.verbose and sys.stderr is not None and distributed.rank_and_size()[0] == 0:
            self._overwrites, self.bar = _bar()
            self._ended = Event()
            self._thread = Thread(target=self._refresh, daemon=True)
            self._thread.start()
        return self

    def __exit__(self, error: object, *_: object) -> None:
        if self.bar is None:
            return
        self._ended.set()
        self._thread.join()
        if error is None:
            self.bar.bar_format = ENDED
        if not self._overwrites:
            self.write(str(self.bar))
        self.bar.close()
        self.bar = None

    def _refresh(self) -> None:
        """Refresh the bar or write a line until the end; the work of a thread."""
        last = time.monotonic()
        while not self._ended.wait(REFRESH_SECONDS):
            if self._overwrites:
                self.bar.refresh()
            elif time.monotonic() - last >= LINE_SECONDS:
                self.write(str(self.bar))
                last = time.monotonic()

    def write(self, line: str) -> None:
        """Write a line above the bar."""
        if self.bar is not None:
            self.bar.write(line, file=sys.stderr)

    def doing(self, phase: str) -> None:
        """Name what is being done."""
        if self.bar is not None:
            self.bar.set_description_str(phase, refresh=self._overwrites)

    def start(self, n_rows: int, n_before: int, n_epochs: int) -> None:
        """Begin to count rows: `n_rows` in all epochs, `n_before` of them before a checkpoint."""
        self.n_epochs = n_epochs
        if self.bar is not None:
            self.bar.reset(n_rows)
            # Rows before a checkpoint count as done, not towards the rows a second.
            self.bar.initial = self.bar.n = self.bar.last_print_n = n_before
            self.bar.bar_format = TRAINING
            if n_before:
                self.write(f"resumed at {n_before / n_rows:.0%} of the training")
            if self.verbose > 1:
                self.write_row(HEADING)

    def write_row(self, row: str) -> None:
        """Write a row of the table."""
        self.bar.write(row, file=sys.stdout)

    # Events of the training, which skorch names.

    def on_train_begin(self, net: Any, X: Any = None, **_: Any) -> None:
        """Say what will be trained, on what, and for how long."""
        self.n_before = len(net.history)
        if self.bar is None:
            return
        spec = net.spec
        network = spec.network if isinstance(spec.network, str) else "own networks"
        widths = f" {spec.hidden_layer_sizes}" if network == "mlp" else ""
        self.write(f"{X.shape[0]:,} rows of {spec.n_features:,} columns, on {net.device}")
        self.write(f"{network}{widths}, {spec.latent_dim} components")
        n_updates = net.max_epochs * -(-X.shape[0] // net.batch_size)
        n_epochs = _epochs(net.max_epochs)
        self.write(f"{n_epochs}, {n_updates:,} updates of {net.batch_size:,} rows each")

    def on_epoch_begin(self, net: Any, **_: Any) -> None:
        """Show the epoch's number."""
        self.doing(f"epoch {len(net.history) - self.n_before}/{self.n_epochs}")

    def on_batch_end(self, net: Any, batch: Batch | None = None, **_: Any) -> None:
        """Count the batch's rows."""
        if self.bar is not None and batch is not None:
            self.bar.update(len(batch.x) * distributed.rank_and_size()[1])

    def on_epoch_end(self, net: Any, **_: Any) -> None:
        """Show how well E and G invert each other and cover the data, and the epoch's row."""
        if self.bar is None:
            return
        epoch = net.history[-1]
        self.bar.set_postfix_str(
            f"ratio {epoch['reconstruction_ratio']:.2f}, coverage {epoch['coverage']:.2f}",
            refresh=False,
        )
        if self.verbose > 1:
            self.write_row(f"{len(net.history):5} " + " ".join(map(partial(_cell, epoch), COLUMNS)))

    def on_train_end(self, net: Any, **_: Any) -> None:
        """Say how many epochs there were; what follows takes a moment."""
        self.doing(f"trained {_epochs(len(net.history) - self.n_before)}")


def _epochs(number: int) -> str:
    return f"{number:,} epoch" if number == 1 else f"{number:,} epochs"


def _cell(epoch: dict[str, Any], column: Column) -> str:
    """Return a number of the table, or blanks for a loss that the method does not have."""
    value = epoch.get(column.metric)
    return " " * 8 if value is None else f"{value:8{column.format}}"


def _bar() -> tuple[bool, Any]:
    """Return whether lines can be overwritten, and a progress bar."""
    from tqdm.asyncio import tqdm_asyncio
    from tqdm.auto import tqdm

    settings = {"desc": "reading X", "bar_format": PHASE, "unit": " rows", "unit_scale": True}
    if tqdm is not tqdm_asyncio:
        return True, tqdm(**settings)
    # Several workers would overwrite each other's bars.
    in_worker = multiprocessing.current_process().name != "MainProcess"
    if in_worker or not sys.stderr.isatty():
        return False, tqdm(**settings, ncols=WIDTH, file=_Nowhere())
    width = min(WIDTH, shutil.get_terminal_size().columns - 3)
    return True, tqdm(**settings, ncols=width, file=sys.stderr)


class _Nowhere:
    """A stream that keeps nothing; lines are written from the bar's text instead."""

    def write(self, text: str) -> None:
        """Do nothing."""

    def flush(self) -> None:
        """Do nothing."""
