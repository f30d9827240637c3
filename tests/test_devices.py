"""The whole estimator on an accelerator: a pretend one, and the real one where there is one.

Each test runs in a process of its own, because the pretend device changes all of torch.
"""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from packaging.version import Version

real = torch.accelerator.is_available()
DEVICES = [
    pytest.param(
        "pretend",
        marks=pytest.mark.skipif(
            Version(torch.__version__) < Version("2.9"),
            reason="torch has had backends written in Python since 2.9",
        ),
    )
]
if real:  # CUDA, MPS or XPU
    DEVICES.append(torch.accelerator.current_accelerator().type)

SETUP = """
import pickle, sys, warnings
warnings.simplefilter("error")
DEVICE, FILE = sys.argv[1:]
if DEVICE == "pretend":
    import pretend_device
import numpy as np, torch
from skorch.callbacks import Callback
from sklearn.datasets import load_digits
from sklearn_bigan import BiGANTransformer
X = (load_digits().data / 16).astype(np.float32)[:300]
SETTINGS = dict(n_components=4, hidden_layer_sizes=(16,), max_epochs=2, random_state=0)
"""


def run(device: str, script: str, file: Path | str = "") -> str:
    here = Path(__file__).parent
    done = subprocess.run(
        [sys.executable, "-c", SETUP + script, device, str(file)],
        cwd=here,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("device", DEVICES)
def test_auto_finds_the_accelerator_and_training_happens_there(device):
    run(
        device,
        """
class Watch(Callback):
    seen = set()
    def on_batch_end(self, net, batch, losses, **kwargs):
        tensors = [batch, *losses.values(), *net.module_.state_dict().values()]
        self.seen |= {tensor.device.type for tensor in tensors}
est = BiGANTransformer(callbacks=[Watch()], **SETTINGS).fit(X)
assert est.device_.startswith(DEVICE), est.device_
assert Watch.seen == {DEVICE}, Watch.seen
""",
    )


@pytest.mark.parametrize("device", DEVICES)
def test_every_method_works_there_and_gives_numpy(device):
    run(
        device,
        """
for parameters in (
    dict(),
    dict(posterior="gaussian"),
    dict(prior="uniform", posterior="gaussian"),
    dict(loss="hinge", discriminator_steps=2),
    dict(inference="joint_latent_regression"),
):
    est = BiGANTransformer(**SETTINGS, **parameters).fit(X)
    results = [est.transform(X), est.reconstruct(X), est.sample(5), est.score_samples(X)]
    results.append(est.inverse_transform(results[0]))
    results += est.posterior_moments(X) if est.posterior == "gaussian" else []
    results.append(est.set_params(features="all").transform(X))
    assert all(type(r) is np.ndarray and r.dtype == np.float32 for r in results)
    assert all(np.isfinite(r).all() for r in results)
    assert type(est.score(X)) is float
    assert est.partial_fit(X).n_iter_ == 3
    assert est.set_params(warm_start=True).fit(X).n_iter_ == 5
""",
    )


@pytest.mark.parametrize("device", DEVICES)
def test_networks_moved_to_the_cpu_compute_the_same(device):
    run(
        device,
        """
there = BiGANTransformer(**SETTINGS).fit(X)
state = there.__getstate__()
here = BiGANTransformer()
here.__setstate__({**state, "device_": "cpu"})
# float32: another device may multiply matrices in another order
np.testing.assert_allclose(there.transform(X), here.transform(X), rtol=1e-4, atol=1e-4)
""",
    )


@pytest.mark.skipif(
    Version(torch.__version__) < Version("2.9"),
    reason="torch has had backends written in Python since 2.9",
)
def test_no_step_waits_for_the_device_and_an_epoch_once():
    run(
        "pretend",
        """
from pretend_device import counts
steps, epochs = [], []
class Watch(Callback):
    def on_batch_begin(self, net, **kwargs):
        self.before = counts.copy()
    def on_batch_end(self, net, **kwargs):
        steps.append(counts - self.before)
    def on_epoch_begin(self, net, **kwargs):
        self.epoch = counts.copy()
    def on_epoch_end(self, net, **kwargs):
        epochs.append(counts - self.epoch)
BiGANTransformer(batch_size=50, callbacks=[Watch()], **SETTINGS).fit(X)
assert len(steps) == 12 and not any(steps), steps
# the losses, read together
assert all(epoch["out"] + epoch["sync"] <= 2 for epoch in epochs), epochs
""",
    )


@pytest.mark.parametrize("device", DEVICES)
def test_the_callers_generators_are_left_alone_even_with_dropout(device):
    run(
        device,
        """
class Body(torch.nn.Sequential):
    def __init__(self, n_features, latent_dim):
        super().__init__(torch.nn.Linear(n_features, 8), torch.nn.Dropout(0.5))
module = torch.get_device_module(DEVICE)
def states():
    return torch.get_rng_state(), module.get_rng_state()
before = states()
codes = [
    BiGANTransformer(network={"encoder": Body}, **SETTINGS).fit(X).transform(X) for _ in range(2)
]
assert all(map(torch.equal, before, states()))
assert (codes[0] == codes[1]).all()
""",
    )


@pytest.mark.parametrize("device", DEVICES)
def test_a_pickle_made_there_opens_where_the_device_does_not_exist(device, tmp_path):
    file = tmp_path / "model.pickle"
    run(
        device,
        """
est = BiGANTransformer(posterior="gaussian", **SETTINGS).fit(X)
with open(FILE, "wb") as f:
    pickle.dump((est, est.transform(X), est.inverse_transform(est.transform(X))), f)
parameters = list(est.net_.module_.parameters())
assert all(p.device.type == DEVICE for p in parameters), "pickling moved the live model"
""",
        file,
    )
    opened = """
with open(FILE, "rb") as f, warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    est, codes, back = pickle.load(f)
assert est.device_ == "cpu"
assert len(caught) == 1 and issubclass(caught[0].category, UserWarning)
assert "was trained on '" in str(caught[0].message), caught[0].message
np.testing.assert_allclose(est.transform(X), codes, rtol=1e-4, atol=1e-4)
np.testing.assert_allclose(est.inverse_transform(codes), back, rtol=1e-4, atol=1e-4)
assert est.partial_fit(X).n_iter_ == 3
"""
    if device != "pretend":  # hide the real device from the process that opens the file
        opened = "torch.accelerator.is_available = lambda: False\n" + (
            "import sklearn_bigan._transformer as t\n"
            "def absent(device): raise ValueError\n"
            "t.resolve_device = absent\n" + opened
        )
    run("cpu", opened, file)
