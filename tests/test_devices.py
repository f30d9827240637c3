"""The whole estimator on an accelerator: a pretend one, and the real one where there is one.

The pretend device changes all of torch, so the scripts run in a process of their own, one for
each device: what takes longest is to start it.
"""

import json
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest
import torch
from packaging.version import Version

pretend = pytest.mark.skipif(
    Version(torch.__version__) < Version("2.9"),
    reason="torch has had backends written in Python since 2.9",
)
DEVICES = [pytest.param("pretend", marks=pretend)]
if torch.accelerator.is_available():  # CUDA, MPS or XPU
    DEVICES.append(pytest.param(torch.accelerator.current_accelerator().type))
on_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
on_each_device = pytest.mark.parametrize("device", DEVICES)


@pytest.fixture(scope="module")
def run():
    """Run a script in the device's process; what it raises there fails the test here."""
    processes = {}
    with ExitStack() as stack:

        def run_there(device: str, script: str) -> None:
            if device not in processes:
                processes[device] = stack.enter_context(
                    subprocess.Popen(
                        [sys.executable, "on_device.py", device],
                        cwd=Path(__file__).parent,
                        stdin=subprocess.PIPE,
                        stdout=subprocess.PIPE,
                        text=True,
                    )
                )
            process = processes[device]
            process.stdin.write(json.dumps(script) + "\n")
            process.stdin.flush()
            reply = process.stdout.readline()
            assert reply, f"the process died, with status {process.wait()}"
            error = json.loads(reply)
            assert error is None, error

        yield run_there


@pretend
def test_the_pretend_device_refuses_tensors_of_the_cpu(run):
    run(
        "pretend",
        """
try:
    torch.ones(3, device="pretend") + torch.ones(3)
except RuntimeError as error:
    assert "same device" in str(error)
else:
    raise AssertionError("it added them")
""",
    )


@on_each_device
def test_auto_finds_the_accelerator_and_device_says_so(run, device):
    run(
        device,
        """
est = BiGANTransformer(device="auto", **SETTINGS).fit(X)
assert est.device_.startswith(DEVICE), est.device_
""",
    )


@on_each_device
def test_networks_batches_and_losses_are_there_while_training(run, device):
    run(
        device,
        """
class Watch(Callback):
    seen = set()
    def on_batch_end(self, net, batch, figures, **kwargs):
        tensors = [batch, *figures.values(), *net.module_.state_dict().values()]
        self.seen |= {tensor.device.type for tensor in tensors}
BiGANTransformer(callbacks=[Watch()], **SETTINGS).fit(X)
assert Watch.seen == {DEVICE}, Watch.seen
""",
    )


@on_each_device
@pytest.mark.parametrize(
    "parameters",
    [
        {"posterior": "gaussian", "prior": "uniform", "features": "all"},
        {"loss": "hinge", "discriminator_steps": 2, "features": "hidden"},
        {"inference": "joint_latent_regression"},
        {"image_shape": (8, 8), "augmentations": ("crop", "flip", "color"), "features": "all"},
        {"image_shape": (8, 8), "network": "ali"},
    ],
    ids=lambda parameters: "-".join(map(str, parameters.values())),
)
def test_every_kind_of_model_trains_there(run, device, parameters):
    run(
        device,
        f"""
codes = BiGANTransformer(**SETTINGS, **{parameters!r}).fit(X).transform(X[:5])
assert type(codes) is np.ndarray and codes.dtype == np.float32 and np.isfinite(codes).all()
""",
    )


@on_each_device
def test_every_method_gives_numpy_in_float32(run, device):
    run(
        device,
        """
est = BiGANTransformer(**GAUSSIAN).fit(X)
for name, result in results(est).items():
    assert type(result) is np.ndarray and result.dtype == np.float32, name
assert type(est.score(X)) is float
""",
    )


@on_each_device
def test_every_method_computes_what_it_computes_on_the_cpu(run, device):
    run(
        device,
        """
there = BiGANTransformer(**GAUSSIAN).fit(X)
here = BiGANTransformer()
here.__setstate__({**there.__getstate__(), "device_": "cpu"})
found, expected = results(there), results(here)
for name in expected:
    # float32: another device may multiply matrices in another order
    np.testing.assert_allclose(found[name], expected[name], rtol=1e-4, atol=1e-4, err_msg=name)
np.testing.assert_allclose(there.score(X), here.score(X), rtol=1e-4, atol=1e-4)
""",
    )


@on_each_device
def test_networks_start_with_the_weights_they_have_on_the_cpu(run, device):
    run(
        device,
        """
there, here = (
    BiGANTransformer(device=device, **{**GAUSSIAN, "max_epochs": 0}).fit(X)
    for device in ("auto", "cpu")
)
weights = [est.net_.module_.state_dict() for est in (there, here)]
assert all(torch.equal(weight.cpu(), weights[1][name]) for name, weight in weights[0].items())
""",
    )


@pretend
def test_a_fit_there_has_the_bits_of_a_fit_on_the_cpu(run):
    # The pretend device draws and computes as the CPU does; a real one draws other numbers.
    run(
        "pretend",
        """
there, here = (BiGANTransformer(device=device, **GAUSSIAN).fit(X) for device in ("auto", "cpu"))
found, expected = results(there), results(here)
for name in expected:
    np.testing.assert_array_equal(found[name], expected[name], err_msg=name)
assert there.score(X) == here.score(X)
""",
    )


@pytest.mark.parametrize(
    ("device", "precision"),
    [
        # torch has no mixed precision for devices written in Python
        *(pytest.param(*device.values, "float32", marks=device.marks) for device in DEVICES),
        pytest.param("cuda", "bfloat16", marks=on_cuda),
    ],
)
@pytest.mark.parametrize("network", [None, "dcgan", "ali"])
def test_two_fits_there_have_the_same_bits(run, device, network, precision):
    run(
        device,
        f"""
parameters = {{"precision": {precision!r}}}
if {network!r}:
    parameters |= {{"network": {network!r}, "image_shape": (8, 8)}}
first, second = (BiGANTransformer(**SETTINGS, **parameters).fit(X).transform(X) for _ in range(2))
np.testing.assert_array_equal(first, second)
""",
    )


@on_cuda
@pytest.mark.parametrize("network", [None, "dcgan", "ali"])
def test_recorded_steps_have_the_bits_of_steps_taken_one_by_one(run, network):
    run(
        "cuda",
        f"""
from unittest.mock import patch
parameters = {{"network": {network!r}, "image_shape": (8, 8)}} if {network!r} else {{}}
def codes():
    return BiGANTransformer(**{{**SETTINGS, "max_epochs": 4}}, **parameters).fit(X).transform(X)
with patch("sklearn_bigan._replay.graphs_on", return_value=None):
    expected = codes()
np.testing.assert_array_equal(codes(), expected)
""",
    )


@on_cuda
@pytest.mark.parametrize("network", [None, "dcgan"])
def test_steps_are_compiled_and_recorded(run, network):
    run(
        "cuda",
        f"""
import warnings
warnings.simplefilter("error", RuntimeWarning)
parameters = {{"network": {network!r}, "image_shape": (8, 8)}} if {network!r} else {{}}
def trained(**more):
    return BiGANTransformer(**{{**SETTINGS, "max_epochs": 4}}, **parameters, **more).fit(X)
plain, compiled, again = trained(), trained(compile=True), trained(compile=True)
np.testing.assert_array_equal(compiled.transform(X), again.transform(X))
losses = [[epoch["discriminator_loss"] for epoch in e.history_] for e in (plain, compiled)]
np.testing.assert_allclose(*losses, rtol=0.05)
assert (plain.transform(X) != compiled.transform(X)).any()
""",
    )


@on_cuda
def test_a_step_that_waits_for_the_device_is_taken_all_the_same(run):
    run(
        "cuda",
        """
from unittest.mock import patch
from sklearn_bigan._net import BiGANNet
step = BiGANNet.gradients
def waiting(net, noise, batch, *settings):
    batch.sum().item()
    return step(net, noise, batch, *settings)
expected = BiGANTransformer(**SETTINGS).fit(X).transform(X)
with patch.object(BiGANNet, "gradients", waiting), warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always", RuntimeWarning)
    found = BiGANTransformer(**SETTINGS).fit(X).transform(X)
assert any("could not be recorded" in str(warning.message) for warning in caught), caught
np.testing.assert_array_equal(found, expected)
torch.rand(3, device="cuda")  # the default generator is as usable as before
""",
    )


@on_each_device
def test_blocks_that_come_and_go_have_the_bits_of_blocks_that_stay(run, device):
    run(
        device,
        """
from unittest.mock import patch
from sklearn_bigan import _blocks
def codes(n_bytes):
    with (
        patch.multiple(_blocks, BLOCK_ROWS=20, SPANS=2),
        patch.object(_blocks, "free_bytes", return_value=n_bytes),
    ):
        return BiGANTransformer(**SETTINGS).fit(X).transform(X)
np.testing.assert_array_equal(codes(0), codes(2**30))
""",
    )


@on_each_device
def test_partial_fit_and_warm_start_go_on_there(run, device):
    run(
        device,
        """
est = BiGANTransformer(**SETTINGS).fit(X)
assert est.partial_fit(X).n_iter_ == 3
assert est.set_params(warm_start=True).fit(X).n_iter_ == 5
assert {weight.device.type for weight in est.net_.module_.parameters()} == {DEVICE}
""",
    )


@pretend
@pytest.mark.parametrize(
    ("parameters", "n_steps", "before"),
    # 12 rows and their partners each, 25 and theirs; covariances of columns, for neighbours
    [({}, 18, 1), ({"image_shape": (8, 8)}, 8, 0)],
    ids=["table", "images"],
)
def test_no_step_crosses_to_the_host_and_an_epoch_once(run, parameters, n_steps, before):
    run(
        "pretend",
        f"""
parameters, n_steps, n_before = {parameters!r}, {n_steps}, {before}
"""
        """
from pretend_device import counts
steps, epochs = [], []
class Watch(Callback):
    def on_batch_begin(self, net, **kwargs):
        self.before_step = counts.copy()
    def on_batch_end(self, net, **kwargs):
        steps.append(dict(counts - self.before_step))
    def on_epoch_begin(self, net, **kwargs):
        self.before_epoch = counts.copy()
    def on_epoch_end(self, net, **kwargs):
        epochs.append(dict(counts - self.before_epoch))
before = counts.copy()
BiGANTransformer(callbacks=[Watch()], **SETTINGS, **parameters).fit(X)
assert steps == [{}] * n_steps, steps
assert epochs == [{"out": 1}] * 2, epochs  # all figures, read together
# and twice at the end, to see that the weights are finite and the model is sound
spent = counts - before
assert (spent["out"], spent["sync"]) == (n_before + 4, 0), spent
""",
    )


@on_each_device
def test_networks_with_dropout_train_alike_each_time_and_leave_the_callers_generators_alone(
    run, device
):
    run(
        device,
        """
class Body(torch.nn.Sequential):
    def __init__(self, n_features, latent_dim):
        super().__init__(torch.nn.Linear(n_features, 8), torch.nn.Dropout(0.5))
module = torch.get_device_module(DEVICE)
def states():
    return torch.get_rng_state(), module.get_rng_state()
torch.rand(7), torch.rand(7, device=DEVICE)  # the second fit begins at other states
codes = []
for _ in range(2):
    before = states()
    est = BiGANTransformer(network={"encoder": Body}, **SETTINGS).fit(X)
    assert all(map(torch.equal, before, states()))
    codes.append(est.transform(X))
    torch.rand(7), torch.rand(7, device=DEVICE)
assert (codes[0] == codes[1]).all()
""",
    )


@on_each_device
def test_a_pickle_made_there_opens_where_the_device_does_not_exist(run, device, tmp_path):
    file = str(tmp_path / "model.pickle")
    run(
        device,
        f"""
est = BiGANTransformer(**GAUSSIAN).fit(X)
with open({file!r}, "wb") as f:
    pickle.dump((est, est.device_, results(est)), f)
assert {{weight.device.type for weight in est.net_.module_.parameters()}} == {{DEVICE}}
""",
    )
    opened = f"""
with open({file!r}, "rb") as f, warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    est, trained_on, expected = pickle.load(f)
assert est.device_ == "cpu"
(warning,) = caught
assert warning.category is UserWarning
assert f"was trained on {{trained_on!r}}" in str(warning.message), warning.message
found = results(est)
# the pretend device computes with the CPU's kernels; a real one rounds differently
tolerance = 0 if {device!r} == "pretend" else 1e-4
for name in expected:
    np.testing.assert_allclose(
        found[name], expected[name], rtol=tolerance, atol=tolerance, err_msg=name
    )
assert est.partial_fit(X).n_iter_ == 3
"""
    if device != "pretend":  # hide the real device from the process that opens the file
        opened = (
            "from unittest.mock import patch\n"
            "patch('sklearn_bigan._learning.resolve_device', side_effect=ValueError).start()\n"
            + opened
        )
    run("cpu", opened)
