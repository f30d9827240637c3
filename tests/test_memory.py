import subprocess
import sys

import numpy as np
import pytest

pytestmark = pytest.mark.slow

SCRIPT = """
import re, sys
import numpy as np
from sklearn_bigan import BiGANTransformer

def peak():
    # getrusage's ru_maxrss survives exec on Linux: it would start at the peak of the test process.
    return 1024 * int(re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())[1])

# Made in its own dtype: a temporary would raise the peak beforehand, and hide another in transform.
X = np.random.default_rng(0).random((1_000_000, 64), dtype=sys.argv[1])
est = BiGANTransformer(hidden_layer_sizes=(32,), max_epochs=0, random_state=0).fit(X[:100])
est.transform(X[:10_000])
before = peak()
Z = est.transform(X)
print(peak() - before, Z.nbytes)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from Linux's /proc")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_million_rows_are_encoded_within_bounded_memory(dtype):
    command = [sys.executable, "-c", SCRIPT, dtype]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    rise, output = map(int, printed.split())
    assert output == 1_000_000 * 16 * 4
    # a float32 copy of X alone is 256 MB, which this does not leave room for beside the output
    assert rise < 1.5 * output + 200e6


LIMITED = """
import re, resource, sys
import numpy as np
from sklearn_bigan import BiGANTransformer

path, way, room = sys.argv[1], sys.argv[2], 64 * 2**20

def now(what):
    return 1024 * int(re.search(rf"{what}:\\s+(\\d+) kB", open("/proc/self/status").read())[1])

def pieces():
    with open(path, "rb") as file:
        np.lib.format.read_magic(file)
        np.lib.format.read_array_header_1_0(file)
        while len(piece := np.fromfile(file, np.float32, 2**14 * 64)):
            yield piece.reshape(-1, 64)

est = BiGANTransformer(
    hidden_layer_sizes=(8,), n_neighbors=0, batch_size=4096, max_epochs=1, random_state=0
)
est.fit(np.random.default_rng(0).random((5000, 64), dtype=np.float32))
X = np.load(path, mmap_mode="r")
assert X.nbytes >= 4 * room
resident = now("VmRSS")
# What the process has for itself. Pages of a file that is only read are not counted: the kernel
# has these back whenever it likes.
resource.setrlimit(resource.RLIMIT_DATA, 2 * (now("VmData") + room,))
try:
    np.array(X)
except MemoryError:
    print("limited")
if way == "fit":
    est.fit(X)
else:
    for piece in pieces():
        est.partial_fit(piece)
print(est.n_samples_seen_, now("VmHWM") - resident)
"""


@pytest.fixture(scope="module")
def large_file(tmp_path_factory):
    """256 MB of rows."""
    path = tmp_path_factory.mktemp("large") / "rows.npy"
    rows = np.lib.format.open_memmap(path, mode="w+", dtype="float32", shape=(2**20, 64))
    rows.reshape(64, -1, 64)[:] = np.random.default_rng(0).random((2**14, 64), dtype="float32")
    rows.flush()
    del rows
    yield path
    path.unlink()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits what a process allocates")
@pytest.mark.parametrize("way", ["fit", "partial_fit"])
def test_four_times_the_memory_there_is_are_trained_on(large_file, way):
    command = [sys.executable, "-W", "ignore", "-c", LIMITED, str(large_file), way]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    limited, seen, rise = printed.split()
    assert limited == "limited"
    assert int(seen) == 2**20 + (5000 if way == "partial_fit" else 0)
    assert int(rise) < 64 * 2**20  # with all pages of the file that were there at once
