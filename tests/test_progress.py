"""What fit shows while it runs, and scikit-learn's callbacks."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import threading
import time

import numpy as np
import pytest
from factories import small
from skorch.callbacks import Callback

from sklearn_bigan import BiGANTransformer
from sklearn_bigan._training.progress import COLUMNS, HEADING, Progress


def test_nothing_is_shown_by_default(small_digits, capsys):
    small().fit(small_digits).partial_fit(small_digits)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("way", ["fit", "partial_fit"])
def test_without_a_terminal_lines_on_stderr_say_what_is_done(small_digits, capsys, way):
    getattr(small(verbose=1), way)(small_digits)
    out, err = capsys.readouterr()
    lines = err.splitlines()
    assert out == ""
    assert "\r" not in err
    n_epochs = {"fit": "2 epochs", "partial_fit": "1 epoch"}[way]
    assert lines[:2] == ["300 rows of 64 columns, on cpu", "mlp (32,), 4 components"]
    assert lines[2] == f"{n_epochs}, {5 * int(n_epochs[0])} updates of 64 rows each"
    assert re.match(rf"trained {n_epochs} in 00:\d\d, ratio \d\.\d\d, coverage", lines[-1])


def test_the_table_has_the_numbers_of_the_history_in_80_columns(small_digits, capsys):
    fitted = small(verbose=2).fit(small_digits)
    table = capsys.readouterr().out.splitlines()
    assert table[0] == HEADING
    assert max(map(len, table)) < 80
    assert len(table) == 3
    for row, epoch in zip(table[1:], fitted.history_, strict=True):
        for cell, column in zip(row.split()[1:], COLUMNS, strict=True):
            assert cell == f"{epoch[column.metric]:{column.format}}"


def test_the_table_leaves_blank_what_a_method_does_not_have(small_digits, capsys):
    small(verbose=2, method="bigan").fit(small_digits)
    row = capsys.readouterr().out.splitlines()[1]
    assert row[HEADING.index("cycle") - 3 : HEADING.index("cycle") + 5].strip() == ""


def test_progress_does_not_change_what_is_learned(small_digits):
    silent, shown = (small(verbose=verbose).fit(small_digits) for verbose in (0, 2))
    np.testing.assert_array_equal(silent.transform(small_digits), shown.transform(small_digits))


class Fails(Callback):
    def on_epoch_end(self, net, **kwargs):
        raise ValueError("mine")


def test_no_thread_is_left_even_after_an_error(small_digits):
    before = threading.active_count()
    small(verbose=1).fit(small_digits)
    assert threading.active_count() == before
    with pytest.raises(ValueError, match="mine"):
        small(verbose=1, callbacks=[Fails()]).fit(small_digits)
    assert threading.active_count() == before


def test_what_shows_progress_is_not_kept(small_digits):
    fitted = small(verbose=1).fit(small_digits)
    assert [name for name, _ in fitted.net_.callbacks_] == ["epoch_timer"]


def test_a_resumed_training_says_so(small_digits, capsys, tmp_path):
    settings = {"verbose": 1, "checkpoint": (tmp_path / "checkpoint", 1e-9)}
    with pytest.raises(ValueError, match="mine"):
        small(callbacks=[Fails()], **settings).fit(small_digits)
    assert "resumed" not in capsys.readouterr().err
    small(**settings).fit(small_digits)
    assert "resumed at 50% of the training\n" in capsys.readouterr().err


def test_rows_before_a_checkpoint_do_not_count_towards_the_rows_a_second():
    with Progress(verbose=1) as progress:
        progress.start(n_rows=10_000, n_before=9000, n_epochs=10)
        time.sleep(0.2)
        progress.bar.update(10)
        assert progress.bar.format_dict["rate"] < 100


def test_the_net_shows_its_own_training(small_digits, capsys):
    fitted = small().fit(small_digits)
    fitted.net_.verbose = 1
    fitted.net_.partial_fit(small_digits)  # for max_epochs, as skorch does
    assert "trained 2 epochs" in capsys.readouterr().err


SCRIPT = """
import sys, time
import numpy as np
import sklearn_bigan._data.neighbors as neighbors
from sklearn_bigan import BiGANTransformer

find = neighbors.nearest

def find_slowly(*args):
    time.sleep(3.5)  # as long as blocks of many rows take
    return find(*args)

X = np.random.default_rng(0).normal(size=(6000, 8))
# What the first call imports.
BiGANTransformer(4, hidden_layer_sizes=(32,), max_epochs=1).fit(X[:100])
neighbors.nearest = find_slowly
print("start", flush=True)
BiGANTransformer(4, hidden_layer_sizes=(32,), max_epochs=200, verbose=1).fit(X)
"""


def in_terminal(script: str, seconds: float) -> list[tuple[float, str]]:
    """Run Python in a terminal of 80 columns; return what it writes, with the times."""
    ours, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    env = os.environ | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", script]
    process = subprocess.Popen(command, stdin=its, stdout=its, stderr=its, env=env)
    os.close(its)
    os.set_blocking(ours, False)
    written, started = [], None
    try:
        while process.poll() is None and (started is None or time.monotonic() < started + seconds):
            try:
                text = os.read(ours, 2**16).decode()
            except BlockingIOError:
                time.sleep(0.02)
                continue
            except OSError:  # the other end is closed
                break
            written.append((time.monotonic(), text))
            if started is None and "start" in text:
                started = time.monotonic()
    finally:
        process.kill()
        process.wait()
        os.close(ours)
    return written


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a pseudo-terminal")
def test_a_terminal_shows_a_line_that_moves_every_two_seconds():
    written = in_terminal(SCRIPT, 8)
    first = next(i for i, (_, text) in enumerate(written) if "start" in text)
    times = [when for when, _ in written[first:]]
    # A second in a process of its own; twice as long where the cores are busy.
    assert max(np.diff(times)) < 2
    text = "".join(part for _, part in written[first:]).partition("start")[2]
    assert "neighbours of block 1/1: 00:03" in text
    assert re.search(r"epoch \d+/200 +\d+%\|.*\d\d:\d\d left, .* rows/s, ratio \d", text)
    assert max(len(line) for line in re.split(r"[\r\n]+", text)) < 80


# scikit-learn's callbacks.


class Recorder:
    """Records the tasks it is told of; stops after the epoch `last`."""

    def __init__(self, last=None):
        self.last, self.begun, self.ended, self.calls = last, [], [], []

    def setup(self, estimator, context):
        self.calls.append("setup")

    def teardown(self, estimator, context):
        self.calls.append("teardown")

    def on_fit_task_begin(self, estimator, context):
        self.begun.append((context.task_name, context.task_id))

    def on_fit_task_end(self, estimator, context, *, X=None, y=None, fitted_estimator=None):
        codes = fitted_estimator.transform(X)
        self.ended.append((context.task_name, context.task_id, context.max_subtasks, codes, y))
        return context.task_name == "epoch" and context.task_id == self.last


@pytest.fixture
def recorder():
    pytest.importorskip("sklearn.callback", reason="scikit-learn has callbacks from 1.9 on")
    return Recorder()


def test_every_epoch_is_a_task_with_the_estimator_as_if_fit_had_stopped(small_digits, recorder):
    y = np.arange(len(small_digits))
    fitted = small(max_epochs=3).set_callbacks(recorder).fit(small_digits, y)
    epochs = [("epoch", number) for number in range(3)]
    assert recorder.begun == [("fit", 0), *epochs]
    assert [task[:2] for task in recorder.ended] == [*epochs, ("fit", 0)]
    assert [task[2] for task in recorder.ended] == [0, 0, 0, 3]
    assert all(task[4] is y for task in recorder.ended)
    codes = [task[3] for task in recorder.ended]
    np.testing.assert_array_equal(codes[2], fitted.transform(small_digits))
    np.testing.assert_array_equal(codes[3], fitted.transform(small_digits))
    assert not np.array_equal(codes[0], codes[1])
    assert recorder.calls == ["setup", "teardown"]


def test_callbacks_do_not_change_what_is_learned(small_digits, recorder):
    watched = small().set_callbacks(recorder).fit(small_digits)
    np.testing.assert_array_equal(
        watched.transform(small_digits), small().fit(small_digits).transform(small_digits)
    )


def test_a_callback_stops_the_training_with_a_fitted_estimator(small_digits, recorder):
    recorder.last = 1
    fitted = small(max_epochs=30).set_callbacks(recorder).fit(small_digits)
    assert fitted.n_iter_ == 2
    np.testing.assert_array_equal(recorder.ended[1][3], fitted.transform(small_digits))
    assert recorder.calls == ["setup", "teardown"]


class Broken(Recorder):
    def on_fit_task_end(self, estimator, context):
        raise ZeroDivisionError


def test_a_callback_that_fails_is_torn_down_and_leaves_the_estimator_unfitted(
    small_digits, recorder
):
    callback = Broken()
    estimator = small().set_callbacks(callback)
    with pytest.raises(ZeroDivisionError):
        estimator.fit(small_digits)
    assert callback.calls == ["setup", "teardown"]
    assert not hasattr(estimator, "net_")


class Lazy(Recorder):
    def on_fit_task_end(self, estimator, context):
        self.ended.append(context.task_name)


def test_a_fitted_estimator_is_made_only_if_asked_for(small_digits, recorder, monkeypatch):
    def never(*args):
        raise AssertionError

    monkeypatch.setattr("sklearn_bigan._training.net.BiGANNet.as_if_ended", never)
    callback = Lazy()
    small().set_callbacks(callback).fit(small_digits)
    assert callback.ended == ["epoch", "epoch", "fit"]


class Draws(Recorder):
    def on_fit_task_end(self, estimator, context, *, fitted_estimator=None):
        self.ended.append(fitted_estimator.sample(5, random_state=0))


def test_an_epochs_estimator_draws_from_the_prior_fitted_to_its_codes(small_digits, recorder):
    callback = Draws()
    small().set_callbacks(callback).fit(small_digits)
    np.testing.assert_array_equal(callback.ended[1], callback.ended[2])


def test_a_saved_file_leaves_the_callbacks_out(small_digits, recorder, tmp_path):
    from sklearn_bigan import load

    fitted = small().set_callbacks(recorder).fit(small_digits)
    with pytest.warns(UserWarning, match="callbacks are not stored"):
        fitted.save(tmp_path / "model")
    assert not hasattr(load(tmp_path / "model"), "_skl_callbacks")


def test_a_search_shows_epochs_nested_in_fits(small_digits, recorder):
    from sklearn.model_selection import GridSearchCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    class Nested(Lazy):
        max_propagation_depth = None

        def on_fit_task_begin(self, estimator, context):
            if context.task_name == "epoch":
                names, at = [], context
                while at is not None:
                    names.insert(0, at.estimator_name)
                    at = at.parent
                self.begun.append(list(dict.fromkeys(names)))

    callback = Nested()
    pipeline = make_pipeline(StandardScaler(), small())
    search = GridSearchCV(pipeline, {"bigantransformer__n_components": [2, 3]}, cv=2)
    search.set_callbacks(callback).fit(small_digits)
    assert len(callback.begun) == 2 * (2 * 2 + 1)
    assert all(
        names == ["GridSearchCV", "Pipeline", "BiGANTransformer"] for names in callback.begun
    )
    assert isinstance(search.best_estimator_[-1], BiGANTransformer)
