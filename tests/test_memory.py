import subprocess
import sys

import pytest

SCRIPT = """
import resource, sys
import numpy as np
from sklearn_bigan import BiGANTransformer

X = np.random.default_rng(0).random((1_000_000, 64), dtype=np.float32).astype(sys.argv[1])
est = BiGANTransformer(max_epochs=0, random_state=0).fit(X[:100])
est.transform(X[:10_000])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
Z = est.transform(X)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024, Z.nbytes)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in kilobytes on Linux only")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_million_rows_are_encoded_within_bounded_memory(dtype):
    command = [sys.executable, "-c", SCRIPT, dtype]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    rise, output = map(int, printed.split())
    assert output == 1_000_000 * 16 * 4
    assert rise < 1.5 * output + 200e6
