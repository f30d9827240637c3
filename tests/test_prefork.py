"""A model in a web server that loads it once and forks its workers."""

import os
import signal
import socket
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from importlib import import_module

import numpy as np
import pytest
from factories import small

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="gunicorn needs os.fork"),
]

N_WORKERS, N_REQUESTS, SECONDS = 4, 1000, 60
APP = """
import os
import signal
import numpy as np
from sklearn_bigan import load

model = load(os.environ["MODEL"])
model.transform(np.zeros((20_000, model.n_features_in_)))  # before the fork: threads have started

def app(environ, start_response):
    body = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
    codes = model.transform(np.frombuffer(body, np.float32).reshape(-1, model.n_features_in_))
    headers = [("Content-Length", str(codes.nbytes)), ("Worker", str(os.getpid()))]
    start_response("200 OK", headers)
    return [codes.tobytes()]
"""


@pytest.fixture
def server(tmp_path, small_digits):
    """Start the server on a port of its own; yield the port and the model."""
    import_module("gunicorn")  # if it is missing: the error of the import, not a timeout
    model = small().fit(small_digits)
    model.save(tmp_path / "model")
    (tmp_path / "served.py").write_text(textwrap.dedent(APP))
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listening:
        os.set_inheritable(listening.fileno(), True)
        command = [sys.executable, "-m", "gunicorn", "served:app", "--preload"]
        command += ["--workers", str(N_WORKERS), "--bind", f"fd://{listening.fileno()}"]
        process = subprocess.Popen(
            command,
            cwd=tmp_path,
            env={**os.environ, "MODEL": str(tmp_path / "model"), "OMP_NUM_THREADS": "2"},
            pass_fds=[listening.fileno()],
            start_new_session=True,
        )
        # Connections wait in the socket until a worker takes them.
        yield listening.getsockname()[1], model
        os.killpg(process.pid, signal.SIGKILL)  # workers take seconds to end by themselves
        process.wait()


def test_forked_workers_answer_with_the_codes_of_the_model(server, small_digits):
    port, model = server
    expected = model.transform(small_digits)

    def ask(number):
        rows = slice(number % 290, number % 290 + 1 + number % 10)
        connection = HTTPConnection("127.0.0.1", port, timeout=SECONDS)
        connection.request("POST", "/", small_digits[rows].tobytes())
        answer = connection.getresponse()
        codes = np.frombuffer(answer.read(), np.float32).reshape(-1, model.n_components)
        connection.close()
        return answer.getheader("Worker"), np.array_equal(codes, expected[rows])

    with ThreadPoolExecutor(8) as pool:
        workers, equal = zip(*pool.map(ask, range(N_REQUESTS)), strict=True)
    assert all(equal)
    assert 1 < len(set(workers)) <= N_WORKERS
