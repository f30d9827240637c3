"""What a terminal of 80 columns and 24 lines shows while `fit` runs.

    python -m pip install pyte rich && python docs/capture_terminals.py [NAME ...]

Each scenario runs in a pseudo-terminal, and pyte, a terminal emulator, renders what it writes. A
file in docs/terminals has the screen at a few moments, and the times between signs of life.
"""

import fcntl
import os
import pty
import select
import struct
import sys
import termios
import time
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import pyte

COLUMNS, LINES = 80, 24
DIRECTORY = Path(__file__).with_name("terminals")


class Scenario(NamedTuple):
    """A script, the seconds after it prints ">>>" at which the screen is kept, and Ctrl-C."""

    script: str
    moments: tuple[float, ...]
    ctrl_c: tuple[float, ...] = ()


DIGITS = """
from sklearn.datasets import load_digits
from sklearn_bigan import BiGANTransformer
X = load_digits().data / 16
"""

SCENARIOS = {
    "million_rows": Scenario(
        """
import numpy as np
from sklearn_bigan import BiGANTransformer
X = np.random.default_rng(0).normal(size=(1_000_000, 32)).astype("float32")
print(">>> BiGANTransformer(random_state=0, verbose=1).fit(X)", flush=True)
try:
    BiGANTransformer(random_state=0, verbose=1).fit(X)
except KeyboardInterrupt:
    print("KeyboardInterrupt")
""",
        (1, 5, 20, 59),
        (60,),
    ),
    **{
        f"search_{n_jobs}": Scenario(
            f"""{DIGITS}
import numpy as np
from sklearn.callback import ProgressBar
from sklearn.model_selection import GridSearchCV
bigan = BiGANTransformer(max_epochs=20, random_state=0)
search = GridSearchCV(bigan, {{"n_components": [4, 8]}}, cv=2, n_jobs={n_jobs})
search.set_callbacks(ProgressBar(max_propagation_depth=None))
print(">>> search.fit(X)  # n_jobs={n_jobs}", flush=True)
search.fit(X)
""",
            (1, 3, 6, 9),
        )
        for n_jobs in (1, 2)
    },
    "stopped_by_callback": Scenario(
        f"""{DIGITS}
class StopWhenGood:
    def setup(self, estimator, context): ...
    def teardown(self, estimator, context): ...
    def on_fit_task_begin(self, estimator, context): ...
    def on_fit_task_end(self, estimator, context, *, fitted_estimator=None):
        return context.task_name == "epoch" and fitted_estimator.score(X[1500:]) > 0.8

bigan = BiGANTransformer(16, random_state=0, verbose=1).set_callbacks(StopWhenGood())
print(">>> bigan.fit(X[:1500])", flush=True)
bigan.fit(X[:1500])
print(">>> bigan.n_iter_")
print(bigan.n_iter_)
""",
        (1, 4),
    ),
    "interrupted_and_resumed": Scenario(
        f"""{DIGITS}
import os, tempfile
path = os.path.join(tempfile.mkdtemp(), "digits.checkpoint")
bigan = BiGANTransformer(16, checkpoint=path, random_state=0, verbose=1)
for _ in range(2):
    print(">>> bigan.fit(X)", flush=True)
    try:
        bigan.fit(X)
    except KeyboardInterrupt:
        print("KeyboardInterrupt")
print(">>> bigan.n_iter_")
print(bigan.n_iter_)
""",
        (1, 4, 6),
        (5,),
    ),
}


def capture(scenario: Scenario) -> str:
    """Run a scenario; return its screens, and the times between what it wrote."""
    screen = pyte.Screen(COLUMNS, LINES)
    stream = pyte.ByteStream(screen)
    child, terminal = pty.fork()
    if child == 0:
        os.execv(sys.executable, [sys.executable, "-c", scenario.script])
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
    events = sorted(
        [(when, False) for when in scenario.moments] + [(when, True) for when in scenario.ctrl_c]
    )
    times: list[float] = []
    shown = []
    while True:
        if times and events and time.monotonic() - times[0] >= events[0][0]:
            seconds, press = events.pop(0)
            if press:
                os.write(terminal, b"\x03")
                shown.append(f"=== {seconds} s: Ctrl-C")
            else:
                shown += [f"=== {seconds} s", *text(screen)]
        if not select.select([terminal], [], [], 0.02)[0]:
            continue
        try:
            written = os.read(terminal, 2**16)
        except OSError:  # the script has ended
            break
        if times or b">>>" in written:
            times.append(time.monotonic())
        stream.feed(written)
    os.waitpid(child, 0)
    shown += [f"=== {times[-1] - times[0]:.0f} s: the end", *text(screen)]
    gaps = [later - earlier for earlier, later in pairwise(times)]
    first, longest = gaps[0], max(gaps[1:])
    shown.append(
        f"=== first sign of life after {first:.1f} s, then every {longest:.1f} s or more often"
    )
    return "\n".join(shown) + "\n"


def text(screen: pyte.Screen) -> list[str]:
    """Return the lines of a screen, without the empty ones below."""
    return "\n".join(line.rstrip() for line in screen.display).rstrip().split("\n")


if __name__ == "__main__":
    DIRECTORY.mkdir(exist_ok=True)
    for name in sys.argv[1:] or SCENARIOS:
        (DIRECTORY / f"{name}.txt").write_text(capture(SCENARIOS[name]))
        print((DIRECTORY / f"{name}.txt").read_text())
