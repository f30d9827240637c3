"""Checks that run on a device, in a process of their own; see test_devices.py.

Started with the device's name, it reads names of checks and their arguments from standard input,
each as a line of JSON, and answers with null or what was raised. The pretend device changes all of
torch: it is imported first.
"""

import importlib
import json
import pickle
import sys
import traceback
import warnings
from functools import partial

DEVICE = sys.argv[1] if __name__ == "__main__" else "cpu"
if DEVICE == "pretend":
    importlib.import_module("pretend_device")

from unittest.mock import patch  # noqa: E402

import numpy as np  # noqa: E402
import pytest  # noqa: E402
import torch  # noqa: E402
from factories import small  # noqa: E402
from sklearn.datasets import load_digits  # noqa: E402
from sklearn.exceptions import ConvergenceWarning  # noqa: E402
from skorch.callbacks import Callback  # noqa: E402

from sklearn_bigan._data import source  # noqa: E402
from sklearn_bigan._objectives.bigan import BiGANObjective  # noqa: E402
from sklearn_bigan._training import net as net_module  # noqa: E402

X = (load_digits().data / 16).astype(np.float32)[:100]
model = partial(small, hidden_layer_sizes=(16,), batch_size=25, device="auto")


def results(est):
    """Return the output of every method."""
    Z = est.transform(X)
    mean, std = est.posterior_moments(X)
    return {
        "transform": Z,
        "inverse_transform": est.inverse_transform(Z),
        "reconstruct": est.reconstruct(X),
        "sample": est.sample(5, random_state=1),
        "score_samples": est.score_samples(X),
        "mean": mean,
        "std": std,
    }


def devices_of(module):
    return {tensor.device.type for tensor in module.state_dict().values()}


# On every device.


def auto_takes_the_accelerator_and_device_names_it():
    assert model().fit(X).device_.startswith(DEVICE)


def networks_batches_and_metrics_are_on_the_device_while_training():
    seen = set()

    class Watch(Callback):
        def on_batch_end(self, net, batch, metrics, **kwargs):
            tensors = [batch.x, batch.neighbor, batch.draws.z, *metrics.values()]
            seen.update(devices_of(net.module_), (tensor.device.type for tensor in tensors))

    model(callbacks=[Watch()]).fit(X)
    assert seen == {DEVICE}, seen


def every_kind_of_model_trains(**parameters):
    codes = model(**parameters).fit(X).transform(X[:5])
    assert np.isfinite(codes).all()


def every_method_computes_what_it_computes_on_the_cpu():
    there, here = model(posterior="gaussian").fit(X), model()
    here.__setstate__({**there.__getstate__(), "device_": "cpu"})
    found, expected = results(there), results(here)
    for name, result in found.items():
        assert type(result) is np.ndarray, name
        assert result.dtype == np.float32, name
        # float32: another device may multiply matrices in another order
        np.testing.assert_allclose(result, expected[name], rtol=1e-4, atol=1e-4, err_msg=name)
    np.testing.assert_allclose(there.score(X), here.score(X), rtol=1e-4, atol=1e-4)


def networks_start_with_the_weights_they_have_on_the_cpu():
    there, here = (
        model(device=device, max_epochs=0).fit(X).net_.module_.state_dict()
        for device in ("auto", "cpu")
    )
    for name, weight in there.items():
        if name.startswith("averaged.") and ".running_" in name:
            # batch statistics of the averaged networks are computed on the device
            torch.testing.assert_close(weight.cpu(), here[name], rtol=1e-4, atol=1e-5)
        else:
            assert torch.equal(weight.cpu(), here[name]), name


def streamed_blocks_give_the_bits_of_blocks_kept_on_the_device():
    codes = []
    for n_bytes in (0, 2**30):
        with (
            patch.multiple(source, BLOCK_ROWS=20, SPANS_PER_BLOCK=2),
            patch.object(source, "free_bytes", return_value=n_bytes),
        ):
            codes.append(model().fit(X).transform(X))
    np.testing.assert_array_equal(*codes)


def partial_fit_and_warm_start_train_on():
    est = model().fit(X)
    assert est.partial_fit(X).n_iter_ == 3
    assert est.set_params(warm_start=True).fit(X).n_iter_ == 5
    assert devices_of(est.net_.module_) == {DEVICE}


class DropoutBody(torch.nn.Sequential):
    def __init__(self, n_features, latent_dim):
        super().__init__(torch.nn.Linear(n_features, 8), torch.nn.Dropout(0.5))


def dropout_is_the_same_each_time_and_leaves_the_callers_generators_alone():
    module = torch.get_device_module(DEVICE)
    codes = []
    for _ in range(2):
        torch.rand(7), torch.rand(7, device=DEVICE)  # each fit begins at other states
        before = torch.get_rng_state(), module.get_rng_state()
        codes.append(model(network={"encoder": DropoutBody}).fit(X).transform(X))
        assert all(map(torch.equal, before, (torch.get_rng_state(), module.get_rng_state())))
    np.testing.assert_array_equal(*codes)


def two_fits_have_the_same_bits(**parameters):
    first, second = (model(**parameters).fit(X).transform(X) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def save(file):
    est = model(posterior="gaussian").fit(X)
    with open(file, "wb") as f:
        pickle.dump((est, est.device_, results(est)), f)
    assert devices_of(est.net_.module_) == {DEVICE}


def load_where_the_device_does_not_exist(file, tolerance):
    with (
        open(file, "rb") as f,
        warnings.catch_warnings(record=True) as caught,
        # a real device exists in this process, too
        patch("sklearn_bigan._transformer.resolve_device", side_effect=ValueError),
    ):
        warnings.simplefilter("always")
        est, trained_on, expected = pickle.load(f)
    assert est.device_ == "cpu"
    (warning,) = caught
    assert warning.category is UserWarning
    assert f"was trained on {trained_on!r}" in str(warning.message), warning.message
    for name, result in results(est).items():
        np.testing.assert_allclose(result, expected[name], rtol=tolerance, atol=tolerance)
    assert est.partial_fit(X).n_iter_ == 3


# On the pretend device, which draws and computes as the CPU does.


def tensors_of_the_cpu_are_refused():
    with pytest.raises(RuntimeError, match="same device"):
        torch.ones(3, device="pretend") + torch.ones(3)


def a_fit_has_the_bits_of_a_fit_on_the_cpu():
    there, here = (model(device=device, posterior="gaussian").fit(X) for device in ("auto", "cpu"))
    found, expected = results(there), results(here)
    for name in expected:
        np.testing.assert_array_equal(found[name], expected[name], err_msg=name)
    assert there.score(X) == here.score(X)


def no_step_crosses_to_the_host_and_an_epoch_once(n_before, **parameters):
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
    model(callbacks=[Watch()], **parameters).fit(X)
    assert steps == [{}] * 8, steps
    assert epochs == [{"out": 1}] * 2, epochs  # all metrics, read together
    # and at the end twice, to check that the weights are finite and the model is sound, and five
    # times to fit the prior to the codes on the host
    spent = counts - before
    assert (spent["out"], spent["sync"]) == (n_before + 9, 0), spent


# On CUDA. Four epochs are 16 steps, of which ten are warm-up.


def recorded_steps_have_the_bits_of_steps_taken_one_by_one(**parameters):
    make, steps, codes = net_module.CUDAGraphStep, [], []

    def recorded(*arguments):
        steps.append(make(*arguments))
        return steps[-1]

    for replaced in (recorded, lambda backward, weights, device: backward):
        with patch.object(net_module, "CUDAGraphStep", replaced):
            codes.append(model(max_epochs=4, **parameters).fit(X).transform(X))
    assert [step.graph is None for step in steps] == [False]
    np.testing.assert_array_equal(*codes)


def a_step_that_cannot_be_recorded_is_taken_without_a_graph():
    backward = BiGANObjective.backward

    def waiting(objective, bigan, batch):
        batch.x.sum().item()
        return backward(objective, bigan, batch)

    expected = model(max_epochs=4).fit(X).transform(X)
    with (
        patch.object(BiGANObjective, "backward", waiting),
        warnings.catch_warnings(record=True) as caught,
    ):
        warnings.simplefilter("always", RuntimeWarning)
        found = model(max_epochs=4).fit(X).transform(X)
    assert any("could not be recorded" in str(warning.message) for warning in caught), caught
    np.testing.assert_array_equal(found, expected)
    torch.rand(3, device="cuda")  # the default generator is as usable as before


def steps_are_compiled_and_recorded(**parameters):
    plain, compiled, again = (
        model(max_epochs=4, compile=compile, **parameters).fit(X) for compile in (False, True, True)
    )
    np.testing.assert_array_equal(compiled.transform(X), again.transform(X))
    losses = [[epoch["discriminator_loss"] for epoch in e.history_] for e in (plain, compiled)]
    np.testing.assert_allclose(*losses, rtol=0.05)
    assert (plain.transform(X) != compiled.transform(X)).any()


if __name__ == "__main__":
    # Only now: what skorch imports where it is installed may warn.
    warnings.simplefilter("error")
    warnings.simplefilter("ignore", ConvergenceWarning)  # two epochs
    for line in sys.stdin:
        name, parameters = json.loads(line)
        error = None
        try:
            globals()[name](**parameters)
        except BaseException:
            error = traceback.format_exc()
        print(json.dumps(error), flush=True)
