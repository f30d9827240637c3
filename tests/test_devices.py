"""The whole estimator on an accelerator: a pretend one, and the real one where there is one.

The pretend device changes all of torch, so that the checks run in a process of their own: one for
each device, since starting it takes longest.
"""

import json
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import on_device
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

IMAGES = {"image_shape": (8, 8)}
NETWORKS = [{}, IMAGES | {"network": "dcgan"}, IMAGES | {"network": "ali"}]


def named(value):
    """Return an identifier for a check or for parameters."""
    return "-".join(map(str, value.values())) if isinstance(value, dict) else value.__name__


@pytest.fixture(scope="module")
def run():
    """Run a check in the device's process; what it raises there fails the test here."""
    processes = {}
    with ExitStack() as stack:

        def run_there(device, check, **parameters):
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
            process.stdin.write(json.dumps([check.__name__, parameters]) + "\n")
            process.stdin.flush()
            reply = process.stdout.readline()
            assert reply, f"the process died, with status {process.wait()}"
            error = json.loads(reply)
            assert error is None, error

        yield run_there


@on_each_device
@pytest.mark.parametrize(
    "check",
    [
        on_device.auto_takes_the_accelerator_and_device_names_it,
        on_device.networks_batches_and_metrics_are_on_the_device_while_training,
        on_device.every_method_computes_what_it_computes_on_the_cpu,
        on_device.networks_start_with_the_weights_they_have_on_the_cpu,
        on_device.streamed_blocks_give_the_bits_of_blocks_kept_on_the_device,
        on_device.partial_fit_and_warm_start_train_on,
        on_device.dropout_is_the_same_each_time_and_leaves_the_callers_generators_alone,
    ],
    ids=named,
)
def test_on_each_device(run, device, check):
    run(device, check)


@on_each_device
@pytest.mark.parametrize(
    "parameters",
    [
        {"posterior": "gaussian", "prior": "uniform", "features": "all"},
        {"method": "joint_latent_regression", "features": "hidden"},
        {"image_shape": (8, 8), "augmentations": ("crop", "flip", "color"), "features": "all"},
        {"image_shape": (8, 8), "network": "ali"},
    ],
    ids=named,
)
def test_every_kind_of_model_trains(run, device, parameters):
    run(device, on_device.every_kind_of_model_trains, **parameters)


@pytest.mark.parametrize(
    ("device", "precision"),
    [
        # torch has no mixed precision for devices written in Python
        *(pytest.param(*device.values, "float32", marks=device.marks) for device in DEVICES),
        pytest.param("cuda", "bfloat16", marks=on_cuda),
    ],
)
@pytest.mark.parametrize("parameters", NETWORKS, ids=named)
def test_two_fits_have_the_same_bits(run, device, parameters, precision):
    run(device, on_device.two_fits_have_the_same_bits, precision=precision, **parameters)


@on_each_device
def test_a_pickle_opens_where_the_device_does_not_exist(run, device, tmp_path):
    file = str(tmp_path / "model.pickle")
    run(device, on_device.save, file=file)
    # the pretend device computes with the CPU's kernels; a real one rounds differently
    tolerance = 0 if device == "pretend" else 1e-4
    load = on_device.load_where_the_device_does_not_exist
    run("cpu", load, file=file, tolerance=tolerance)


@pretend
@pytest.mark.parametrize(
    ("check", "parameters"),
    [
        (on_device.tensors_of_the_cpu_are_refused, {}),
        (on_device.a_fit_has_the_bits_of_a_fit_on_the_cpu, {}),
        # covariances of columns, for nearest neighbours
        (on_device.no_step_crosses_to_the_host_and_an_epoch_once, {"n_before": 1}),
        (on_device.no_step_crosses_to_the_host_and_an_epoch_once, {"n_before": 0} | IMAGES),
    ],
    ids=named,
)
def test_on_the_pretend_device(run, check, parameters):
    run("pretend", check, **parameters)


@on_cuda
@pytest.mark.parametrize(
    ("check", "parameters"),
    [
        *((on_device.recorded_steps_have_the_bits_of_steps_taken_one_by_one, p) for p in NETWORKS),
        *((on_device.steps_are_compiled_and_recorded, p) for p in NETWORKS[:2]),
        (on_device.a_step_that_cannot_be_recorded_is_taken_without_a_graph, {}),
    ],
    ids=named,
)
def test_on_cuda(run, check, parameters):
    run("cuda", check, **parameters)
