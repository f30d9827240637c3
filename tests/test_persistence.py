import copy
import pickle
import subprocess
import sys

import joblib
import numpy as np
import pytest
import torch
from factories import METHODS, small
from sklearn.exceptions import InconsistentVersionWarning
from torch import nn

from sklearn_bigan import BiGANTransformer


def reloaded(estimator: BiGANTransformer) -> BiGANTransformer:
    return pickle.loads(pickle.dumps(estimator))


@pytest.mark.parametrize("module", [pickle, joblib], ids=["pickle", "joblib"])
def test_a_fresh_process_computes_the_same_bits(small_digits, tmp_path, module):
    variants = (
        {},
        {"posterior": "gaussian", "prior": "uniform", "features": "all"},
        {"method": "latent_regression", "output_activation": "tanh"},
    )
    models = [small(**parameters).fit(small_digits) for parameters in variants]
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


@pytest.mark.parametrize("parameters", [{"method": method} for method in METHODS], ids=METHODS)
def test_a_loaded_model_is_complete(small_digits, parameters):
    X = 3 * small_digits - 1
    fitted = small(**parameters).fit(X)
    again = reloaded(fitted)
    for name in ("center", "scale", "bound", "minimum", "maximum", "variance"):
        before, after = (getattr(model.net_.standardizer, name) for model in (fitted, again))
        np.testing.assert_array_equal(after, before)
    for method in ("transform", "reconstruct", "score_samples", "score"):
        after, before = (getattr(model, method)(X) for model in (again, fitted))
        np.testing.assert_array_equal(after, before)
    np.testing.assert_array_equal(again.sample(3, random_state=0), fitted.sample(3, random_state=0))
    assert again.history_ == fitted.history_
    assert again.output_activation_ == fitted.output_activation_
    assert vars(again.net_).keys() == vars(fitted.net_).keys()
    for part in ("averaged", "discriminator", "encoder.prior"):
        before, after = (m.net_.module_.get_submodule(part).state_dict() for m in (fitted, again))
        for name, value in before.items():
            assert torch.equal(after[name], value), (part, name)
    for name in ("spec", "config", "seed", "lr", "batch_size", "max_epochs", "n_updates_"):
        assert getattr(again.net_, name) == getattr(fitted.net_, name), name


@pytest.mark.parametrize("prepare", [lambda model: model, reloaded], ids=["fitted", "loaded"])
def test_the_net_predicts_what_transform_returns_and_can_be_trained_on(
    fitted, small_digits, prepare
):
    model = prepare(fitted)
    before = model.transform(small_digits)
    np.testing.assert_array_equal(model.net_.predict(small_digits), before)
    model.net_.partial_fit(small_digits)
    after = model.transform(small_digits)
    assert (after != before).any()
    np.testing.assert_array_equal(model.net_.predict(small_digits), after)
    assert model.n_iter_ == len(model.net_.history) == 4  # `max_epochs` more, as in skorch


def test_a_net_has_the_same_attributes_before_and_after_training(fitted, small_digits):
    untrained = small(max_epochs=0).fit(small_digits)
    assert vars(untrained.net_).keys() == vars(fitted.net_).keys()


def test_parameters_set_after_fit_do_not_spoil_the_file(fitted, small_digits):
    codes = fitted.transform(small_digits)
    later = {"n_components": 9, "hidden_layer_sizes": (7,), "method": "?", "cycle_weight": "none"}
    again = reloaded(fitted.set_params(**later))
    np.testing.assert_array_equal(again.transform(small_digits), codes)
    assert again.get_params() == fitted.get_params()


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
    twin = small().fit(small_digits)
    pickle.dumps(fitted)
    fitted.partial_fit(small_digits)
    twin.partial_fit(small_digits)
    np.testing.assert_array_equal(fitted.transform(small_digits), twin.transform(small_digits))


def test_a_file_holds_the_networks_and_nothing_else_of_size(digits):
    fitted = BiGANTransformer(max_epochs=1, random_state=0).fit(digits)
    n_bytes = sum(4 * weight.numel() for weight in fitted.net_.module_.parameters())
    assert len(pickle.dumps(fitted)) <= 1.1 * n_bytes + 100_000


def test_a_file_holds_no_row_of_the_training_data(small_digits):
    X = small_digits + np.random.RandomState(0).rand(300, 64).astype(np.float32)
    file = pickle.dumps(small().fit(X))
    for row in X:
        assert row.tobytes() not in file
        assert row.astype(np.float64).tobytes() not in file
        assert row[:4].tobytes() not in file


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy])
def test_a_copy_computes_the_same_and_is_trained_alone(fitted, small_digits, duplicate):
    codes = fitted.transform(small_digits)
    twin = duplicate(fitted)
    np.testing.assert_array_equal(twin.transform(small_digits), codes)
    twin.partial_fit(small_digits)
    np.testing.assert_array_equal(fitted.transform(small_digits), codes)


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


def test_an_unfitted_estimator_can_be_pickled():
    again = reloaded(small(posterior="gaussian"))
    assert again.get_params() == small(posterior="gaussian").get_params()
    assert not hasattr(again, "net_")


class Drawing(nn.Sequential):
    """The encoder of a user, which draws its weights wherever it is made."""

    def __init__(self, n_features, latent_dim):
        super().__init__(nn.Linear(n_features, 8), nn.Dropout(0.1))


@pytest.mark.parametrize("network", ["mlp", {"encoder": Drawing}], ids=str)
@pytest.mark.parametrize("load", [reloaded, copy.copy, copy.deepcopy])
def test_loading_leaves_the_callers_generators_alone(small_digits, network, load):
    fitted = small(network=network).fit(small_digits)
    np.random.seed(3)  # noqa: NPY002 (the global generator is what is tested)
    before = torch.get_rng_state(), repr(np.random.get_state())  # noqa: NPY002
    load(fitted)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert repr(np.random.get_state()) == before[1]  # noqa: NPY002


@pytest.mark.parametrize("image_shape", [None, (8, 8)], ids=["mlp", "dcgan"])
def test_loading_draws_no_weights(small_digits, image_shape, monkeypatch):
    """Loaded files are many, and drawing a large network's weights takes longer than reading it."""
    fitted = small(image_shape=image_shape, max_epochs=1).fit(small_digits)
    file, codes = pickle.dumps(fitted), fitted.transform(small_digits)
    drawn = []

    def watch(owner, name):
        draw = getattr(owner, name)

        def watched(tensor, *args, **kwargs):
            if not tensor.is_meta:  # without memory nothing is drawn
                drawn.append(name)
            return draw(tensor, *args, **kwargs)

        monkeypatch.setattr(owner, name, watched)

    for name in ("kaiming_uniform_", "uniform_", "normal_", "trunc_normal_", "orthogonal_"):
        watch(nn.init, name)
    for name in ("uniform_", "normal_"):
        watch(torch.Tensor, name)
    for name in ("randn", "rand", "manual_seed", "set_rng_state"):
        monkeypatch.setattr(torch, name, lambda *args, **kwargs: drawn.append("a draw or a seed"))
    again = pickle.loads(file)
    assert drawn == []
    monkeypatch.undo()
    np.testing.assert_array_equal(again.transform(small_digits), codes)


def test_a_file_in_another_format_is_refused_by_both_numbers(fitted):
    state = fitted.__getstate__()
    current = state["net_"]["format"]
    for other in (current + 1, None):
        state["net_"]["format"] = other
        with pytest.raises(
            ValueError, match=f"in format {other}, and .* reads format {current}. .*"
        ):
            BiGANTransformer().__setstate__(state)
    del state["net_"]["format"], state["net_"]["versions"]
    with pytest.raises(
        ValueError, match=f"in format None, .* reads format {current}. .*fit it again"
    ):
        BiGANTransformer().__setstate__(state)


@pytest.mark.parametrize("part", ["spec", "config", "standardizer"])
@pytest.mark.parametrize("change", [{"n_blueprints": 1}, None], ids=["more", "none"])
def test_a_state_of_another_layout_is_refused_by_versions(fitted, part, change):
    state = fitted.__getstate__()
    state["net_"]["versions"]["sklearn_bigan"] = "0.0.7"
    state["net_"][part] = change and state["net_"][part] | change
    message = f"another layout of '{part}', .* reads format 2. .* saved it, '0.0.7'"
    with pytest.raises(ValueError, match=message):
        BiGANTransformer().__setstate__(state)


def test_a_state_that_lacks_a_part_is_refused(fitted):
    state = fitted.__getstate__()
    del state["net_"]["seed"]
    with pytest.raises(ValueError, match="with another layout of 'seed'"):
        BiGANTransformer().__setstate__(state)
    with pytest.raises(ValueError, match="in format None"):
        BiGANTransformer().__setstate__(state | {"net_": object()})


@pytest.mark.parametrize("package", ["torch", "numpy", "scikit-learn", "sklearn_bigan"])
def test_a_file_of_another_version_opens_with_a_warning(fitted, small_digits, package):
    state = fitted.__getstate__()
    current = state["net_"]["versions"][package]
    state["net_"]["versions"][package] = "0.0.7"
    again = BiGANTransformer()
    with pytest.warns(InconsistentVersionWarning) as warned:
        again.__setstate__(state)
    (warning,) = warned
    assert f"{package} 0.0.7" in str(warning.message)
    assert f"{package} {current}" in str(warning.message)
    np.testing.assert_array_equal(again.transform(small_digits), fitted.transform(small_digits))


def test_the_build_of_torch_is_no_other_version(fitted, monkeypatch):
    version = fitted.__getstate__()["net_"]["versions"]["torch"]
    assert version == torch.__version__.partition("+")[0]
    assert "+" not in version


@pytest.mark.skipif(torch.cuda.device_count() > 7, reason="cuda:7 must not exist here")
def test_a_device_that_is_not_here_falls_back_to_the_cpu_with_a_warning(fitted, small_digits):
    state = {**fitted.__getstate__(), "device_": "cuda:7"}
    again = BiGANTransformer()
    with pytest.warns(UserWarning, match="trained on 'cuda:7', which is not available on this"):
        again.__setstate__(state)
    assert again.device_ == "cpu"
    np.testing.assert_array_equal(again.transform(small_digits), fitted.transform(small_digits))
