import copy
import io
import pickle
import subprocess
import sys

import joblib
import numpy as np
import pytest
import torch
from small import bigan

from sklearn_bigan import BiGANTransformer


def reloaded(estimator: BiGANTransformer) -> BiGANTransformer:
    return pickle.loads(pickle.dumps(estimator))


@pytest.mark.parametrize("module", [pickle, joblib], ids=["pickle", "joblib"])
def test_a_fresh_process_computes_the_same_bits(small_digits, tmp_path, module):
    variants = (
        {},
        {"posterior": "gaussian", "prior": "uniform", "features": "all"},
        {"inference": "latent_regression", "output_activation": "tanh"},
    )
    models = [bigan(**parameters).fit(small_digits) for parameters in variants]
    with open(tmp_path / "models", "wb") as file:
        module.dump(models, file)
    np.save(tmp_path / "X.npy", small_digits)
    script = f"""
import {module.__name__} as module, numpy as np
X = np.load("X.npy")
with open("models", "rb") as file:
    models = module.load(file)
for i, model in enumerate(models):
    Z = model.transform(X)
    np.savez(f"{{i}}.npz", Z=Z, X=model.inverse_transform(Z))
"""
    subprocess.run([sys.executable, "-W", "error", "-c", script], cwd=tmp_path, check=True)
    for i, model in enumerate(models):
        codes = model.transform(small_digits)
        with np.load(tmp_path / f"{i}.npz") as there:
            np.testing.assert_array_equal(there["Z"], codes)
            np.testing.assert_array_equal(there["X"], model.inverse_transform(codes))


def test_parameters_set_after_fit_do_not_spoil_the_file(fitted, small_digits):
    codes = fitted.transform(small_digits)
    fitted.set_params(n_components=9, hidden_layer_sizes=(7,), prior="uniform")
    again = reloaded(fitted)
    np.testing.assert_array_equal(again.transform(small_digits), codes)
    assert again.n_components == 9


USER_SCRIPT = """
import joblib, numpy as np, warnings
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import cross_validate
from torch import nn
from sklearn_bigan import BiGANTransformer

warnings.simplefilter("ignore", ConvergenceWarning)  # one epoch

class Encoder(nn.Sequential):
    def __init__(self, n_features, latent_dim):
        super().__init__(nn.Linear(n_features, 12), nn.Tanh())

class Generator(nn.Sequential):
    def __init__(self, n_features, latent_dim):
        super().__init__(nn.Linear(latent_dim, 12), nn.Tanh(), nn.Linear(12, n_features))

class Discriminator(nn.Module):
    def __init__(self, n_features, latent_dim):
        super().__init__()
        self.map = nn.Bilinear(n_features, latent_dim, 12)
    def forward(self, x, z):
        return self.map(x, z)

X = load_digits().data[:300] / 16
network = {"encoder": Encoder, "generator": Generator, "discriminator": Discriminator}
est = BiGANTransformer(4, network=network, max_epochs=1, random_state=0)
found = cross_validate(est, X, cv=2, n_jobs=2, return_estimator=True, error_score="raise")
for one in found["estimator"]:
    assert one.transform(X).shape == (300, 4)

fitted = est.fit(X)
codes = joblib.Parallel(n_jobs=2)(joblib.delayed(fitted.transform)(X) for _ in range(2))
for there in codes:
    np.testing.assert_array_equal(there, fitted.transform(X))
print("done")
"""


def test_networks_defined_in_main_travel_to_workers_and_back(tmp_path):
    (tmp_path / "user.py").write_text(USER_SCRIPT)
    command = [sys.executable, "-W", "error", "user.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout == "done\n", done.stderr


def walk(value, path="state"):
    """Every leaf of nested dicts and lists, with its place."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from walk(inner, f"{path}[{key!r}]")
    elif isinstance(value, list | tuple):
        for i, inner in enumerate(value):
            yield from walk(inner, f"{path}[{i}]")
    else:
        yield path, value


def test_the_state_is_plain_values_and_arrays(fitted):
    for path, leaf in walk(fitted.__getstate__()):
        assert leaf is None or type(leaf) in (bool, int, float, str, np.ndarray), path


def test_the_state_shares_nothing_with_the_live_model(fitted, small_digits):
    codes = fitted.transform(small_digits)
    weights = fitted.__getstate__()["net_"]["weights"]
    assert weights
    for array in weights.values():
        array.fill(7)
    np.testing.assert_array_equal(fitted.transform(small_digits), codes)


def test_pickling_leaves_the_live_model_and_its_optimizers_alone(fitted, small_digits):
    twin = bigan().fit(small_digits)
    pickle.dumps(fitted)
    fitted.partial_fit(small_digits)
    twin.partial_fit(small_digits)
    np.testing.assert_array_equal(fitted.transform(small_digits), twin.transform(small_digits))


def test_a_file_holds_the_networks_and_nothing_else_of_size(digits):
    fitted = BiGANTransformer(max_epochs=1, random_state=0).fit(digits)
    n_bytes = sum(4 * weight.numel() for weight in fitted.net_.module_.parameters())
    assert len(pickle.dumps(fitted)) <= 1.1 * n_bytes + 100_000


def test_the_history_of_a_default_fit_is_small(small_digits):
    fitted = BiGANTransformer(hidden_layer_sizes=(2,), random_state=0).fit(small_digits)
    n_bytes = sum(4 * weight.numel() for weight in fitted.net_.module_.parameters())
    assert len(fitted.history_) == 180  # 900 updates
    assert len(pickle.dumps(fitted)) <= 1.1 * n_bytes + 100_000


def test_a_file_holds_no_row_of_the_training_data(small_digits):
    X = small_digits + np.random.RandomState(0).rand(300, 64).astype(np.float32)
    file = pickle.dumps(bigan().fit(X))
    for row in X:
        assert row.tobytes() not in file
        assert row.astype(np.float64).tobytes() not in file
        assert row[:4].tobytes() not in file


def test_a_deep_copy_computes_the_same(fitted, small_digits):
    twin = copy.deepcopy(fitted)
    np.testing.assert_array_equal(twin.transform(small_digits), fitted.transform(small_digits))
    assert twin.net_ is not fitted.net_


def test_a_memory_mapped_file_opens(fitted, small_digits, tmp_path):
    joblib.dump(fitted, tmp_path / "model.joblib")
    mapped = joblib.load(tmp_path / "model.joblib", mmap_mode="r")
    np.testing.assert_array_equal(mapped.transform(small_digits), fitted.transform(small_digits))
    mapped.partial_fit(small_digits)


def test_training_goes_on_after_loading(fitted, small_digits):
    again = reloaded(fitted).partial_fit(small_digits)
    assert again.n_iter_ == 3
    assert (again.transform(small_digits) != fitted.transform(small_digits)).any()
    assert again.set_params(warm_start=True).fit(small_digits).n_iter_ == 5


def test_history_scores_and_samples_survive(fitted, small_digits):
    again = reloaded(fitted)
    assert again.history_ == fitted.history_
    assert again.score(small_digits) == fitted.score(small_digits)
    np.testing.assert_array_equal(
        again.score_samples(small_digits), fitted.score_samples(small_digits)
    )
    np.testing.assert_array_equal(again.sample(3, random_state=0), fitted.sample(3, random_state=0))


def test_an_unfitted_estimator_can_be_pickled():
    again = reloaded(bigan(posterior="gaussian"))
    assert again.get_params() == bigan(posterior="gaussian").get_params()
    assert not hasattr(again, "net_")


def test_loading_leaves_the_callers_generator_alone(fitted):
    file, before = io.BytesIO(pickle.dumps(fitted)), torch.get_rng_state()
    pickle.load(file)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.skipif(torch.cuda.device_count() > 7, reason="cuda:7 must not exist here")
def test_a_device_that_is_not_here_falls_back_to_the_cpu_with_a_warning(fitted, small_digits):
    state = {**fitted.__getstate__(), "device_": "cuda:7"}
    again = BiGANTransformer()
    with pytest.warns(UserWarning, match="trained on 'cuda:7', which is not to be had here"):
        again.__setstate__(state)
    assert again.device_ == "cpu"
    np.testing.assert_array_equal(again.transform(small_digits), fitted.transform(small_digits))
