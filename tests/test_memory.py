import subprocess
import sys

import pytest

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
