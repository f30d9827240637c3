"""A model in forked and spawned processes, and in many threads at once."""

import os
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from factories import small

SECONDS = 120  # a process that waits for a thread that does not exist would wait for ever
# Ways to start a process that imports everything again.
FRESH = ("spawn", "forkserver")

PROGRAM = """
import copy, multiprocessing, pickle, threading, warnings
import numpy as np, torch
warnings.simplefilter("ignore")
from sklearn_bigan import BiGANTransformer

def work(model, X, results):
    found = {{}}
    def in_thread():
        found["thread"] = model.transform(X[:100])
    thread = threading.Thread(target=in_thread)
    thread.start()
    thread.join()
    found["rows"] = model.transform(X)
    found["copy"] = copy.deepcopy(model).transform(X)
    found["fit"] = BiGANTransformer(2, max_epochs=1, random_state=0).fit(X[:300]).transform(X)
    results.send(found)

if __name__ == "__main__":
    X = np.random.default_rng(0).normal(size=(20_000, 20))
    model = BiGANTransformer(2, max_epochs=1, random_state=0).fit(X[:300])
    model = pickle.loads(pickle.dumps(model))
    expected = model.transform(X)
    torch.rand(600, 600) @ torch.rand(600, 600)  # starts torch's threads
    context = multiprocessing.get_context({method!r})
    here, there = context.Pipe(duplex=False)
    child = context.Process(target=work, args=(model, X, there))
    child.start()
    assert here.poll({seconds}), "the child hangs"
    found = here.recv()
    child.join()
    assert np.array_equal(found["thread"], expected[:100])
    for name in ("rows", "copy", "fit"):
        assert np.array_equal(found[name], expected), name
    print("done")
"""


@pytest.mark.parametrize(
    "method", ["fork", *(pytest.param(way, marks=pytest.mark.slow) for way in FRESH)]
)
def test_a_model_works_in_another_process(tmp_path, method):
    if method != "spawn" and not hasattr(os, "fork"):
        pytest.skip("needs os.fork")
    program = tmp_path / "program.py"
    program.write_text(textwrap.dedent(PROGRAM.format(method=method, seconds=SECONDS)))
    # More than one thread, on which forked processes would wait.
    environment = {**os.environ, "OMP_NUM_THREADS": "2"}
    done = subprocess.run(
        [sys.executable, program], capture_output=True, text=True, timeout=180, env=environment
    )
    assert done.stdout == "done\n", done.stderr


def test_threads_transform_at_once_with_the_same_bits(small_digits):
    model = small().fit(small_digits)
    expected = model.transform(small_digits)

    def transform(i):
        rows = slice(i % 300, i % 300 + 1 + i % 40)
        return np.array_equal(model.transform(small_digits[rows]), expected[rows])

    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(transform, range(2000)))


def test_fits_at_once_have_the_bits_of_fits_one_by_one(small_digits):
    def codes(seed):
        return small(random_state=seed, max_epochs=5).fit(small_digits).transform(small_digits)

    expected = [codes(seed) for seed in range(3)]
    with ThreadPoolExecutor(3) as pool:
        for found, alone in zip(pool.map(codes, range(3)), expected, strict=True):
            np.testing.assert_array_equal(found, alone)
