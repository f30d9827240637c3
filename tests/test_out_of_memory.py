"""Memory that is short: one error, nothing kept, the estimator as it was."""

import copy
import subprocess
import sys
import weakref

import numpy as np
import pytest
import torch
from factories import raises_in_step, small
from skorch.callbacks import Callback

from sklearn_bigan._runtime import inference
from sklearn_bigan._runtime.device import resolve_device
from sklearn_bigan._training.net import BiGANNet

ERRORS = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
    RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to"),
    RuntimeError("[enforce fail] DefaultCPUAllocator: not enough memory: you tried to"),
    RuntimeError("MPS backend out of memory (MPS allocated: 18.0 GB)"),
    np._core._exceptions._ArrayMemoryError((2**40,), np.dtype("float32")),
    MemoryError(),
]
TRAININGS = {
    "fit": lambda model, X: model.fit(X),
    "warm fit": lambda model, X: model.set_params(warm_start=True).fit(X),
    "partial_fit": lambda model, X: model.partial_fit(X),
}
USES = {
    "transform": lambda model, X: model.transform(X),
    "inverse_transform": lambda model, X: model.inverse_transform(X[:, :4]),
    "sample": lambda model, X: model.sample(3),
    "reconstruct": lambda model, X: model.reconstruct(X),
    "score": lambda model, X: model.score(X),
    "score_samples": lambda model, X: model.score_samples(X),
    "predict_cluster": lambda model, X: model.predict_cluster(X),
}


# Every way with one error, and every error in one way.
@pytest.mark.parametrize(
    ("way", "error"),
    [*((way, MemoryError()) for way in TRAININGS), *(("fit", error) for error in ERRORS[:-1])],
)
def test_a_training_says_what_to_lower_and_changes_nothing(fitted, small_digits, way, error):
    before = fitted.transform(small_digits)
    fitted.set_params(callbacks=[raises_in_step(2, error)])
    attributes = {n: v for n, v in vars(fitted).items() if n.endswith("_")}
    with pytest.raises(
        MemoryError, match=r"batch_size or hidden_layer_sizes.*np\.memmap"
    ) as raised:
        TRAININGS[way](fitted, small_digits)
    assert raised.value.__cause__ is error
    assert {n: v for n, v in vars(fitted).items() if n.endswith("_")} == attributes
    np.testing.assert_array_equal(fitted.transform(small_digits), before)


@pytest.mark.parametrize(
    ("way", "error"),
    [*((way, MemoryError()) for way in USES), *(("transform", error) for error in ERRORS[:-1])],
)
def test_a_use_says_what_to_lower(fitted, small_digits, monkeypatch, way, error):
    def fails(*_):
        raise error

    monkeypatch.setattr(inference, "_check_finite", fails)
    with pytest.raises(MemoryError, match=r"fewer rows at a time.*device='cpu'") as raised:
        USES[way](fitted, small_digits)
    assert raised.value.__cause__ is error


def test_moments_of_a_gaussian_posterior_say_it_too(small_digits, monkeypatch):
    model = small(posterior="gaussian").fit(small_digits)

    def fails(*_):
        raise MemoryError

    monkeypatch.setattr(inference, "_check_finite", fails)
    with pytest.raises(MemoryError, match="fewer rows at a time"):
        model.posterior_moments(small_digits)


def test_other_errors_pass_as_they_are(fitted, small_digits):
    fitted.set_params(callbacks=[raises_in_step(1, RuntimeError("mat1 and mat2 do not fit"))])
    with pytest.raises(RuntimeError, match="do not fit") as raised:
        fitted.fit(small_digits)
    assert raised.value.__cause__ is None


class Net(Callback):
    """Knows the networks that are trained, and the batch, without keeping them."""

    def on_grad_computed(self, net, batch, **_):
        self.seen = [weakref.ref(kept) for kept in (net, net.module_, net.optimizer_, batch.x)]


@pytest.mark.parametrize("way", TRAININGS)
def test_the_error_keeps_no_networks_and_rows(fitted, small_digits, way):
    net = Net()
    fitted.set_params(callbacks=[net, raises_in_step(1, MemoryError)])
    with pytest.raises(MemoryError) as raised:
        TRAININGS[way](fitted, small_digits)
    assert raised.value.__traceback__ is not None
    assert all(seen() is None for seen in net.seen)


def test_caches_of_cuda_are_emptied(fitted, small_digits, monkeypatch):
    emptied = []
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: emptied.append(True))
    fitted.set_params(callbacks=[raises_in_step(1, MemoryError)])
    with pytest.raises(MemoryError):
        fitted.fit(small_digits)
    assert emptied == [True]


def test_a_full_device_is_not_called_a_missing_one(monkeypatch):
    def zeros(*_, **__):
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(torch, "zeros", zeros)
    with pytest.raises(torch.OutOfMemoryError):
        resolve_device("cpu")


def test_a_twin_that_does_not_fit_leaves_the_estimator(fitted, small_digits, monkeypatch):
    before = copy.deepcopy(fitted).transform(small_digits)

    def twin(*_, **__):
        raise MemoryError

    monkeypatch.setattr(BiGANNet, "twin", twin)
    with pytest.raises(MemoryError, match="batch_size"):
        fitted.partial_fit(small_digits)
    np.testing.assert_array_equal(fitted.transform(small_digits), before)


LIMITED = """
import re, resource, warnings
import numpy as np
from sklearn_bigan import BiGANTransformer

warnings.simplefilter("ignore")
X = np.random.default_rng(0).random((300, 20), dtype=np.float32)
small = dict(hidden_layer_sizes=(16,), max_epochs=1, random_state=0, device="cpu")
model = BiGANTransformer(4, **small).fit(X)
before = model.transform(X)

size = 1024 * int(re.search(r"VmSize:\\s+(\\d+) kB", open("/proc/self/status").read())[1])
resource.setrlimit(resource.RLIMIT_AS, (size + 2**29,) * 2)

errors = []
def fails(call):
    try:
        call()
    except MemoryError as error:
        errors.append(error)  # kept, as an interactive session keeps the last one
        print(type(error.__cause__).__name__, "|", error)
wide = {**small, "hidden_layer_sizes": (4000, 4000)}
for _ in range(3):
    fails(lambda: model.set_params(**wide).fit(X))
fails(lambda: model.sample(2**28))
rows = np.lib.stride_tricks.as_strided(X, (2**24, 20), (0, 4))
fails(lambda: model.set_params(features="all").transform(rows))
model.set_params(features="latent")
assert np.array_equal(model.transform(X), before)
again = model.set_params(**small).fit(X)
assert np.array_equal(again.transform(X), before)
print("done")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits what a process allocates")
@pytest.mark.slow
def test_a_process_goes_on_after_a_fit_that_was_too_large():
    command = [sys.executable, "-c", LIMITED]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    lines = done.stdout.splitlines()
    assert lines[-1:] == ["done"], done.stderr
    assert len(lines) == 6
    assert all("batch_size" in line for line in lines[:3])
    assert all("fewer rows" in line for line in lines[3:5])
