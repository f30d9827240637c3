"""No network, and no file but those that the user names."""

import os
import subprocess
import sys

from factories import not_with_torch_2_6

PROGRAM = """
import os, socket, sys

given = sys.argv[1]  # the directory of the files that the user names
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
# Events of sys.addaudithook after which a file, directory or process may be new or another.
CHANGES = {
    "os.mkdir", "os.rename", "os.link", "os.symlink", "os.truncate", "os.remove", "os.rmdir",
    "tempfile.mkstemp", "tempfile.mkdtemp",
    "subprocess.Popen", "os.system", "os.exec", "os.fork", "os.posix_spawn",
}
found = []

def watch(event, arguments):
    if event.startswith("socket.") and event not in ("socket.__new__", "socket.gethostname"):
        found.append((event, arguments))
    elif event == "open" and arguments[2] & WRITING:
        path = arguments[0]
        inside = os.path.realpath(path).startswith(given) if isinstance(path, str) else False
        if not inside and path != os.devnull:
            found.append((event, arguments))
    elif event == "os.mkdir" and arguments[0] == os.environ["TORCHINDUCTOR_CACHE_DIR"]:
        pass
    elif event == "subprocess.Popen" and arguments[0] == "lscpu":
        pass  # joblib counts the cores
    elif event in CHANGES and not os.path.realpath(str(arguments[0])).startswith(given):
        found.append((event, arguments))

def refuse(*arguments, **keywords):
    raise AssertionError(f"the network is asked for: {arguments}")

socket.socket.connect = socket.socket.connect_ex = socket.getaddrinfo = refuse
socket.create_connection = refuse
sys.addaudithook(watch)

import pickle, warnings
import numpy as np
from sklearn_bigan import BiGANTransformer, load

warnings.simplefilter("ignore")
X = np.random.default_rng(0).random((300, 64), dtype=np.float32)
path = os.path.join(given, "checkpoint")
for settings in ({}, {"image_shape": (8, 8)}, {"checkpoint": (path, 0.001)}):
    model = BiGANTransformer(2, hidden_layer_sizes=(8,), max_epochs=1, random_state=0, **settings)
    Z = model.fit(X).transform(X)
    model.inverse_transform(Z), model.sample(3), model.score(X), model.score_samples(X)
model.partial_fit(X)
Z = model.transform(X)
with open(os.path.join(given, "pickle"), "wb") as file:
    pickle.dump(model, file)
with open(os.path.join(given, "pickle"), "rb") as file:
    assert np.array_equal(pickle.load(file).transform(X), Z)
model.save(os.path.join(given, "saved"))
assert np.array_equal(load(os.path.join(given, "saved")).transform(X), Z)
print(found)

# The hook would have noticed.
before = len(found)
open(os.path.join(given, "..", "outside"), "w").close()
try:
    socket.socket().bind(("127.0.0.1", 0))
except OSError:
    pass
print(len(found) - before)
"""


@not_with_torch_2_6("Python tries the folder of temporary files, which torch asks for")
def test_no_network_is_asked_and_no_file_is_written_that_was_not_named(tmp_path):
    # Native code does not tell the hook: these are empty afterwards.
    # torch imports its compiler with the first optimizer, which makes a directory for its cache.
    places = {}
    for name in (
        "TORCHINDUCTOR_CACHE_DIR",
        "HOME",
        "USERPROFILE",
        "XDG_CACHE_HOME",
        "XDG_CONFIG_HOME",
        "TMPDIR",
        "TEMP",
    ):
        (tmp_path / name).mkdir()
        places[name] = str(tmp_path / name)
    (tmp_path / "given").mkdir()
    (tmp_path / "working").mkdir()
    done = subprocess.run(
        [sys.executable, "-B", "-c", PROGRAM, os.path.realpath(tmp_path / "given")],
        cwd=tmp_path / "working",
        env={**os.environ, **places},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.stdout.splitlines() == ["[]", "2"], done.stdout + done.stderr
    assert sorted(os.listdir(tmp_path / "given")) == ["checkpoint", "pickle", "saved"]
    empty = [*places, "working"]
    assert {name: os.listdir(tmp_path / name) for name in empty} == {name: [] for name in empty}
