"""`save` and `load`: files that hold data only."""

import os
import pickle
import stat
import struct
import subprocess
import sys
import warnings
import zipfile
from contextlib import suppress
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import safetensors.numpy
import skops.io
import torch
from factories import METHODS, BodyWithBatchNorm, small, table
from forgery import KEY, MUTATIONS, header_of, parts, signed, text_of
from sklearn.exceptions import InconsistentVersionWarning, NotFittedError
from skorch.callbacks import EpochTimer
from torch import nn

from sklearn_bigan import BiGANTransformer, load
from sklearn_bigan._files import values
from sklearn_bigan._runtime import files
from sklearn_bigan._training.config import TrainingConfig
from sklearn_bigan.networks.bigan import ModelSpec
from sklearn_bigan.networks.dcgan import Upsampling


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "model.safetensors"


@pytest.fixture(scope="module")
def X() -> np.ndarray:
    return table()


@pytest.fixture(scope="module")
def model(X) -> BiGANTransformer:
    return small(hidden_layer_sizes=(8,), prior=3).fit(X)


@pytest.fixture(scope="module")
def data(model, tmp_path_factory) -> bytes:
    """A file as it is saved."""
    path = tmp_path_factory.mktemp("data") / "model"
    model.save(path)
    return path.read_bytes()


def saved_and_loaded(model, path, **arguments) -> BiGANTransformer:
    model.save(path)
    return load(path, **arguments)


def outputs(model, X) -> list:
    """What the model computes, by all of its methods."""
    found = [getattr(model, name)(X) for name in ("transform", "reconstruct", "score_samples")]
    found += [model.sample(5, random_state=0), model.score(X), model.mean_]
    for name in ("predict_cluster", "posterior_moments"):
        if hasattr(model, name):
            found.append(getattr(model, name)(X))
    return found


def check_equal(again, model, X) -> None:
    for after, before in zip(outputs(again, X), outputs(model, X), strict=True):
        np.testing.assert_array_equal(after, before)


# What comes back.


@pytest.mark.parametrize(
    "parameters",
    [
        *({"method": method} for method in METHODS),
        {"features": "all", "prior": 5, "posterior": "gaussian"},
        {"image_shape": (8, 8)},
        {"image_shape": [8, 8, 1], "network": "ali", "augmentations": ["crop"]},
        {"output_activation": "identity", "hidden_layer_sizes": [9, 7], "precision": "bfloat16"},
    ],
    ids=str,
)
def test_a_loaded_model_computes_the_same_bits_and_can_be_trained_on(
    small_digits, path, parameters
):
    X = small_digits[:80]
    model = small(max_epochs=1, **parameters).fit(X)
    again = saved_and_loaded(model, path)
    check_equal(again, model, X)
    assert type(again) is BiGANTransformer
    assert vars(again).keys() == vars(model).keys()
    assert vars(again.net_).keys() == vars(model.net_).keys()
    for name in ("spec", "config", "seed", "lr", "batch_size", "max_epochs", "n_updates_"):
        assert getattr(again.net_, name) == getattr(model.net_, name), name
    assert again.history_ == model.history_
    unpickled = pickle.loads(pickle.dumps(model))
    check_equal(again.partial_fit(X), unpickled.partial_fit(X), X)


def test_parameters_and_attributes_come_back(X, path):
    frame = pd.DataFrame(X, columns=[*"abcde", 'a "{[ é \\'])
    model = small(
        n_components=np.int64(3),
        cycle_weight=np.float32(0.1),
        warm_start=np.bool_(False),
        hidden_layer_sizes=np.array([8, 7]),
        n_jobs=-1,
    )
    model.set_output(transform="pandas").fit(frame)
    again = saved_and_loaded(model, path)
    expected = model.get_params() | {"hidden_layer_sizes": (8, 7)}
    assert again.get_params() == expected
    for name, value in again.get_params().items():
        assert type(value).__module__ == "builtins", name
    pd.testing.assert_frame_equal(again.transform(frame), model.transform(frame))
    np.testing.assert_array_equal(again.feature_names_in_, model.feature_names_in_)
    assert again.feature_names_in_.dtype == object
    for name in ("n_features_in_", "n_samples_seen_", "device_", "n_iter_", "output_activation_"):
        assert getattr(again, name) == getattr(model, name)
    assert again.mean_.dtype == np.float64


def test_arrays_have_the_types_that_they_had(model, path):
    again = saved_and_loaded(model, path)
    before, after = model.__getstate__(), again.__getstate__()
    for part in ("weights", "standardizer"):
        for name, value in before["net_"][part].items():
            found = after["net_"][part][name]
            assert type(found) is type(value), name
            if isinstance(value, np.ndarray):
                assert found.dtype == value.dtype, name
    dtypes = {value.dtype.name for value in before["net_"]["weights"].values()}
    assert dtypes == {"float32", "int64"}


def test_a_loaded_model_is_saved_to_the_same_bytes(model, data, path):
    saved_and_loaded(model, path).save(path)
    assert path.read_bytes() == data


def test_other_programs_can_read_the_arrays(model, data):
    arrays = safetensors.numpy.load(data)
    np.testing.assert_array_equal(arrays["mean"], model.mean_)
    head = model.net_.module_.averaged.encoder.head.weight.numpy()
    np.testing.assert_array_equal(arrays["weights.averaged.encoder.head.weight"], head)


def test_a_fresh_process_loads_a_file_without_a_warning(model, X, path):
    model.save(path)
    np.save(path.with_name("X.npy"), X)
    script = """
import numpy as np, sys
from sklearn_bigan import load
np.save("Z.npy", load("model.safetensors").transform(np.load("X.npy")))
assert "pickle" not in open("model.safetensors", "rb").read().decode("latin1")
"""
    subprocess.run([sys.executable, "-W", "error", "-c", script], cwd=path.parent, check=True)
    np.testing.assert_array_equal(np.load(path.with_name("Z.npy")), model.transform(X))


def test_loading_leaves_the_callers_generators_alone(model, path):
    before = torch.get_rng_state()
    saved_and_loaded(model, path)
    assert torch.equal(torch.get_rng_state(), before)


# What a file cannot hold.


def test_callbacks_are_left_out_with_a_warning(X, path):
    model = small(hidden_layer_sizes=(8,), callbacks=[EpochTimer()]).fit(X)
    with pytest.warns(UserWarning, match="callbacks are not stored"):
        model.save(path)
    again = load(path)
    assert again.callbacks is None
    check_equal(again, model, X)


class Body(nn.Sequential):
    def __init__(self, n_features, latent_dim):
        super().__init__(nn.Linear(n_features, 7), nn.Dropout(0.1), nn.Tanh())
        self.register_buffer("mask", torch.tensor([0.0, -torch.inf], dtype=torch.float64))


OWN = {"encoder": Body, "discriminator": BodyWithBatchNorm}


def test_networks_of_the_user_are_passed_to_load(X, path):
    model = small(network=OWN).fit(X)
    again = saved_and_loaded(model, path, network=OWN)
    check_equal(again, model, X)
    assert again.network == model.network
    check_equal(again.partial_fit(X), pickle.loads(pickle.dumps(model)).partial_fit(X), X)
    needed = r"load\(path, network={'encoder': ..., 'discriminator': ...}\)"
    for wrong in (None, {"encoder": Body}, {**OWN, "generator": Body}):
        with pytest.raises(ValueError, match=f"model.safetensors' .*{needed}"):
            load(path, network=wrong)
    with pytest.raises(ValueError, match=r"weights\.averaged\.encoder\.body"):
        load(path, network={**OWN, "encoder": BodyWithoutBuffers})
    with pytest.raises(ValueError, match="to a class or function that makes a torch"):
        load(path, network={**OWN, "encoder": None})


class BodyWithoutBuffers(nn.Sequential):
    def __init__(self, n_features, latent_dim):
        super().__init__(nn.Linear(n_features, 9))


def test_an_error_of_the_users_network_is_raised_as_it_is(X, path):
    small(network=OWN).fit(X).save(path)

    def fails(n_features, latent_dim):
        raise RuntimeError("no such luck")

    with pytest.raises(RuntimeError, match="no such luck"):
        load(path, network={**OWN, "encoder": fails})


def test_networks_are_refused_where_the_model_has_none_of_its_own(model, path):
    model.save(path)
    with pytest.raises(ValueError, match=r"no networks of your own; use load\(path\)"):
        load(path, network=OWN)


class Subclass(BiGANTransformer):
    pass


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"random_state": np.random.RandomState(0)}, TypeError, "'random_state' parameter.*Random"),
        ({"hidden_layer_sizes": [{3}]}, TypeError, "'hidden_layer_sizes' parameter .*set"),
        ({"method": "?"}, ValueError, "'method' parameter"),
        ({"note_": 3}, TypeError, "attribute 'note_'"),
        ({"device_": "meta"}, ValueError, "'device_' = 'meta'"),
        ({"mean_": np.full(6, np.nan)}, ValueError, "'mean' has values that are infinite or not"),
        ({"mean_": np.zeros(6, complex)}, TypeError, "'mean' .* complex128"),
        ({"__class__": Subclass}, TypeError, "subclass Subclass"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else None,
)
def test_what_a_file_cannot_hold_is_an_error_and_nothing_is_written(
    X, path, change, error, message
):
    model = small(hidden_layer_sizes=(8,)).fit(X)
    path.write_text("the file before")
    for name, value in change.items():
        setattr(model, name, value)
    with pytest.raises(error, match=message):
        model.save(path)
    assert path.read_text() == "the file before"
    assert os.listdir(path.parent) == [path.name]


def test_weights_that_are_not_finite_are_an_error(X, path):
    model = small(hidden_layer_sizes=(8,)).fit(X)
    model.net_.module_.averaged.encoder.head.bias[1] = torch.inf
    with pytest.raises(ValueError, match=r"'weights.averaged.encoder.head.bias' has values"):
        model.save(path)
    assert os.listdir(path.parent) == []


def test_an_unfitted_estimator_is_not_saved(path):
    with pytest.raises(NotFittedError):
        small().save(path)


# How files are written.


@pytest.mark.parametrize("kind", [str, Path])
def test_a_path_is_a_string_or_path_like(model, path, kind):
    saved_and_loaded(model, kind(path))
    assert os.listdir(path.parent) == [path.name]


def test_a_directory_that_is_missing_is_named(model, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"make '.*missing' first"):
        model.save(tmp_path / "missing" / "model")
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "missing")
    with pytest.raises(IsADirectoryError, match="add the name of a file"):
        model.save(tmp_path)
    with pytest.raises(IsADirectoryError):
        load(tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes")
def test_a_pipe_is_neither_waited_for_nor_replaced(model, path):
    os.mkfifo(path)
    with pytest.raises(ValueError, match="no regular file"):
        load(path)
    with pytest.raises(ValueError, match="no regular file"):
        model.save(path)
    assert stat.S_ISFIFO(path.stat().st_mode)


@pytest.mark.parametrize("step", ["fsync", "replace", "write"])
def test_a_failed_save_leaves_the_old_file_and_nothing_else(model, path, monkeypatch, step):
    path.write_text("the file before")

    def full(*args):
        raise OSError(28, "No space left on device")

    if step == "write":
        monkeypatch.setattr(files, "open", lambda *args: Full(*args), raising=False)
    else:
        monkeypatch.setattr(os, step, full)
    with pytest.raises(OSError, match="No space left"):
        model.save(path)
    monkeypatch.undo()
    assert path.read_text() == "the file before"
    assert os.listdir(path.parent) == [path.name]


class Full:
    """A file on a disk that is full after a few bytes."""

    def __init__(self, path, mode):
        self.file = open(path, mode)

    def __enter__(self):
        return self

    def __exit__(self, *args):
        self.file.close()

    def writelines(self, pieces):
        self.file.write(b"a few")
        raise OSError(28, "No space left on device")


def test_the_data_are_on_the_disk_before_the_name_changes(model, path, monkeypatch):
    path.write_text("the file before")
    done = []

    def fsync(descriptor):
        done.append("directory" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")

    replace = os.replace
    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", lambda *names: (done.append("replace"), replace(*names)))
    model.save(path)
    assert done == ["file", "replace", "directory"]


@pytest.mark.skipif(os.name != "posix", reason="permissions are POSIX's")
def test_a_new_file_has_the_usual_permissions_and_an_old_one_keeps_its_own(model, path):
    plain = path.with_name("plain")
    plain.touch()
    model.save(path)
    assert path.stat().st_mode == plain.stat().st_mode
    path.chmod(0o600)
    model.save(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_the_file_behind_a_link_is_replaced(model, path):
    real = path.with_name("real")
    real.write_text("the file before")
    path.symlink_to(real)
    saved_and_loaded(model, path)
    assert path.is_symlink()
    assert real.stat().st_size > 1000


# Devices and versions.


@pytest.mark.skipif(torch.cuda.device_count() > 7, reason="cuda:7 must not exist here")
def test_a_device_that_is_not_here_gives_one_warning_unless_another_is_asked_for(
    data, X, model, path
):
    path.write_bytes(forged(data, inner=("attributes", "device_", "cuda:7")))
    with pytest.warns(UserWarning, match="trained on 'cuda:7', which is not available") as warned:
        again = load(path)
    assert len(warned) == 1
    assert warned[0].filename == __file__
    assert again.device_ == "cpu"
    check_equal(again, model, X)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert load(path, device="cpu").device_ == "cpu"
    assert load(path, device="auto").device_ != "auto"
    with pytest.raises(ValueError, match="The 'device' parameter must be"):
        load(path, device="cuda:7")


@pytest.mark.parametrize("package", ["torch", "numpy", "scikit-learn", "sklearn_bigan"])
def test_a_file_of_another_version_opens_with_a_warning(data, X, model, path, package):
    path.write_bytes(forged(data, inner=("versions", package, "0.0.7")))
    with pytest.warns(InconsistentVersionWarning, match=f"{package} 0.0.7") as warned:
        again = load(path)
    assert len(warned) == 1
    assert warned[0].filename == __file__
    check_equal(again, model, X)


@pytest.mark.parametrize("place", [("format",), ("net", "format")])
def test_a_file_in_another_format_is_refused_by_both_numbers(data, path, place):
    path.write_bytes(forged(data, inner=(*place, 77)))
    with pytest.raises(ValueError, match=r"77.* reads 1 with 2\. .* saved it, '0\.1"):
        load(path)


def test_a_parameter_that_the_file_lacks_has_its_default(data, path):
    def change(outer, inner):
        del inner["parameters"]["n_neighbors"]

    path.write_bytes(forged(data, change))
    assert load(path).n_neighbors == "auto"


# Damaged and forged files.


def forged(data, change=None, *, inner=None) -> bytes:
    """A file that `change` has been applied to, or with a value of the JSON replaced."""
    outer, found, payload = parts(data)
    if change is not None:
        change(outer, found)
    if inner is not None:
        *keys, last, value = inner
        place = found
        for key in keys:
            place = place[key]
        place[last] = value
    return signed(header_of(outer, found), payload)


def check_refused(path, content, match=None) -> str:
    path.write_bytes(content)
    with pytest.raises(ValueError, match=match) as refused:
        load(path)
    assert str(path) in str(refused.value)
    return str(refused.value)


def test_a_file_that_is_signed_again_is_accepted(data, model, X, path):
    outer, inner, payload = parts(data)
    path.write_bytes(signed(header_of(outer, inner), payload))
    check_equal(load(path), model, X)


@pytest.mark.parametrize(
    ("place", "value", "match"),
    [
        (("net", "spec", "latent_dim"), 10**9, "smaller than one row or one code"),
        (("net", "spec", "latent_dim"), 10**30, "'latent_dim' = 1000"),
        (("net", "spec", "latent_dim"), 5, "has type 'F32' and shape"),
        (("net", "spec", "latent_dim"), True, "'latent_dim' = True"),
        (("net", "spec", "latent_dim"), 4.0, "'latent_dim' = 4.0"),
        (("net", "spec", "n_features"), 10**9, "numbers of features differ"),
        (("net", "spec", "n_clusters"), 10**12, "and shape"),
        (("net", "spec", "n_clusters"), 2**63 - 1, "."),
        (("net", "spec", "hidden_layer_sizes"), [10**9] * 2, "."),
        (("net", "spec", "hidden_layer_sizes"), [2**62] * 1000, "networks cannot be made"),
        (("net", "spec", "hidden_layer_sizes"), [1] * 1001, "'hidden_layer_sizes'"),
        (("net", "spec", "hidden_layer_sizes"), [], "'hidden_layer_sizes'"),
        (("net", "spec", "image_shape"), [3, 3, 1], "images"),
        (("net", "spec", "network"), "dcgan", "networks cannot be made"),
        (("net", "spec", "network"), "os.system", "'network' = 'os.system'"),
        (("net", "spec", "network"), {"factories": ["encoder"]}, "networks of your own"),
        (("net", "spec", "network"), {"factories": ["__class__"]}, "'network'"),
        (("net", "spec", "method"), "?", "'method'"),
        (("net", "spec", "more"), 1, "unknown 'more'"),
        (("net", "config", "cycle_weight"), float("nan"), "'cycle_weight' = nan"),
        (("net", "config", "ema_decay"), 1.5, "'ema_decay'"),
        (("net", "settings", "lr"), -1, "'lr' = -1"),
        (("net", "variance"), 0, "'variance'"),
        (("net", "seed"), -1, "'seed'"),
        (("net", "n_updates"), "many", "'n_updates'"),
        (("net", "history"), [[]], "'history'"),
        (("net",), [], "formats?"),
        (("attributes", "n_features_in_"), 7, "numbers of features differ"),
        (("attributes", "n_samples_seen_"), 0, "'n_samples_seen_'"),
        (("attributes", "feature_names_in_"), ["a"], "numbers of features differ"),
        (("attributes", "device_"), "meta", "'device_'"),
        (("attributes", "device_"), 3, "'device_'"),
        (("attributes", "_sklearn_output_config"), {"transform": "os"}, "'_sklearn_output_config'"),
        (("attributes", "__class__"), "x", "unknown '__class__'"),
        (("parameters", "n_components"), 0, "'n_components' parameter"),
        (("parameters", "callbacks"), [], "parameter 'callbacks'"),
        (("parameters", "other"), 1, "parameter 'other'"),
        (("parameters", "verbose"), {"a": 1}, "parameter 'verbose'"),
        (("versions",), {"torch": 1}, "versions"),
        (("checksum_",), "", "unknown 'checksum_'"),
    ],
    ids=lambda argument: str(argument)[:40],
)
def test_values_that_no_model_has_are_refused(data, path, place, value, match):
    check_refused(path, forged(data, inner=(*place, value)), match)


def replaced(name, key, value):
    def change(outer, inner):
        outer[name][key] = value

    return change


@pytest.mark.parametrize(
    "change",
    [
        replaced("mean", "dtype", "F32"),
        replaced("mean", "dtype", "BF16"),
        replaced("mean", "dtype", ["F64"]),
        replaced("mean", "shape", [-6]),
        replaced("mean", "shape", [6.0]),
        replaced("mean", "shape", [2, 3]),
        replaced("mean", "shape", "6"),
        replaced("mean", "data_offsets", [0, 10**18]),
        replaced("mean", "data_offsets", [-48, 0]),
        replaced("mean", "data_offsets", [0, 48, 96]),
        replaced("mean", "data_offsets", [10**30, 10**30 + 48]),
        replaced("mean", "more", 1),
        lambda outer, inner: outer.update(mean=None),
        lambda outer, inner: outer.update(more=outer["mean"]),
        lambda outer, inner: outer.pop("mean"),
        lambda outer, inner: outer.pop("standardizer.bound"),
        lambda outer, inner: outer.update(mean=outer["x_mean"]),
    ],
)
def test_tables_that_do_not_fit_the_networks_are_refused(data, path, change):
    check_refused(path, forged(data, change))


def with_array(data, name, change) -> bytes:
    """A file with changed values of one array."""
    outer, inner, payload = parts(data)
    begin, end = outer[name]["data_offsets"]
    dtype = {"F64": np.float64, "F32": np.float32}[outer[name]["dtype"]]
    array = np.frombuffer(payload[begin:end], dtype).copy()
    change(array)
    return signed(header_of(outer, inner), payload[:begin] + array.tobytes() + payload[end:])


@pytest.mark.parametrize(
    ("name", "value", "match"),
    [
        ("weights.averaged.encoder.head.weight", np.nan, "infinite or not a number"),
        ("weights.discriminator.head.bias", -np.inf, "infinite or not a number"),
        ("mean", np.inf, "infinite or not a number"),
        ("standardizer.scale", 0, "scale that is not above 0"),
        ("standardizer.bound", -1, "bound that is not above 0"),
        ("x_mean", 1e300, "mean row"),
        ("weights.averaged.encoder.prior.cumulative_weights", 0.5, "does not rise from 0 to 1"),
        ("weights.encoder.prior.cumulative_weights", 2, "does not rise from 0 to 1"),
    ],
)
def test_arrays_that_no_training_leaves_are_refused(data, path, name, value, match):
    check_refused(path, with_array(data, name, lambda array: array.fill(value)), match)


def test_a_changed_weight_is_found_by_the_checksum(data, path):
    changed = bytearray(data)
    changed[-1] ^= 1
    check_refused(path, bytes(changed), "checksum is wrong")


def test_headers_that_are_no_plain_json_are_refused(data, path):
    outer, inner, payload = parts(data)
    text, header = text_of(inner), header_of(outer, inner)

    def with_text(text):
        return signed(header_of(outer, text), payload)

    deep = '"history": [{"a":' + "[" * 50_000 + "]" * 50_000 + "},"
    check_refused(path, with_text(text.replace('"history": [', deep)), "nested more than")
    many = '"history": [' + "{}," * 10**6
    check_refused(path, with_text(text.replace('"history": [', many)), "more values than a file")
    long = '"seed": ' + "9" * 10_000
    check_refused(path, with_text(text.replace('"seed": ', long)), "no JSON")
    twice = '"seed": 1,"seed": '
    check_refused(path, with_text(text.replace('"seed": ', twice)), "repeats a key")
    check_refused(path, with_text(text[:-1]), "no JSON")
    check_refused(path, with_text("3"), "no JSON object")
    check_refused(path, signed(header.replace(KEY, "other"), payload), "save has not written")
    twice = header.replace('"mean":', '"mean":{},"mean":')
    check_refused(path, signed(twice, payload), "repeats a key")
    check_refused(path, signed(header[:-1], payload), "no JSON")
    check_refused(path, b"\4" + bytes(7) + b'{\xff"}', "no text")


def test_the_length_of_the_header_is_not_believed(data, path):
    for n_bytes in (0, 1, len(data), 2**31, 2**63, 2**64 - 1):
        check_refused(path, struct.pack("<Q", n_bytes) + data[8:])


def test_every_truncation_and_extension_is_refused(data, path):
    for n_bytes in [*range(12), *range(12, len(data), 97), len(data) - 1]:
        check_refused(path, data[:n_bytes])
    check_refused(path, data + b"\0", "bytes")


def test_other_files_are_refused_at_once_with_a_hint(model, path, tmp_path):
    pickle_of_model = pickle.dumps(model)
    check_refused(path, pickle_of_model, "joblib.load opens it")
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros", bytes(10**7))
    check_refused(path, (tmp_path / "bomb.zip").read_bytes(), "like a zip archive")
    for content in (b"", b"{", b"[1, 2, 3]", bytes(100), b"a text of more than eight letters"):
        check_refused(path, content)
    check_refused(path, safetensors.numpy.save({"mean": np.zeros(3)}), "save has not written")


class Touch:
    """Makes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_a_pickle_in_place_of_a_file_is_not_run(path, tmp_path):
    check_refused(path, pickle.dumps(Touch(tmp_path / "touched")))
    assert not (tmp_path / "touched").exists()


def test_a_sparse_file_of_a_terabyte_costs_no_memory(path):
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", 2**30) + b"{")
        file.truncate(2**40)
    with pytest.raises(ValueError, match="header claims 1073741824 bytes"):
        load(path)


def test_a_sparse_file_may_not_have_more_values_than_a_small_one(path):
    header = b'{"a":[' + b"0," * 2**21 + b"0]}"
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(header)) + header)
        file.truncate(2**40)
    with pytest.raises(ValueError, match="more values than"):
        load(path)


def test_lists_count_as_much_memory_as_they_take(path):
    header = b'{"a":[' + b"[]," * 100_000 + b"0]}"
    check_refused(path, struct.pack("<Q", len(header)) + header, "more values than")


@pytest.mark.parametrize("kind", MUTATIONS)
def test_a_mutation_is_an_error_and_a_signed_one_an_error_or_a_whole_model(data, X, path, kind):
    """Whoever can compute the checksum gets no further than to another model."""
    random = np.random.default_rng(0)
    for _ in range(300 if kind == "bytes" else 80):
        changed = MUTATIONS[kind](data, random)
        if kind == "bytes" and changed != data:
            check_refused(path, changed)
            continue
        path.write_bytes(changed)
        with warnings.catch_warnings(), suppress(ValueError):
            warnings.simplefilter("ignore")
            assert load(path).n_features_in_ == X.shape[1]


def test_every_field_has_a_rule():
    assert values.SPEC.keys() == ModelSpec.__dataclass_fields__.keys()
    assert values.CONFIG.keys() == TrainingConfig.__dataclass_fields__.keys()


# Files of earlier versions, and skops.


DATA = Path(__file__).parent / "data"
VERSIONS = "ignore::sklearn.exceptions.InconsistentVersionWarning"


@pytest.mark.filterwarnings(VERSIONS)
@pytest.mark.parametrize("name", ["pickle_2", "file_1"])
def test_files_of_earlier_versions_load_and_compute_the_same(name):
    """How the files were made: tests/data/make.py."""
    path = DATA / f"{name}.safetensors"
    if path.exists():
        model = load(path)
    else:
        model = pickle.loads((DATA / f"{name}.pickle").read_bytes())
    with np.load(DATA / f"{name}.npz") as stored:
        X = stored["X"]
        for method in ("transform", "reconstruct", "score_samples", "predict_cluster"):
            np.testing.assert_allclose(
                getattr(model, method)(X), stored[method], rtol=1e-5, atol=1e-5
            )
        np.testing.assert_allclose(
            model.sample(4, random_state=0), stored["sample"], rtol=1e-5, atol=1e-5
        )
    assert model.partial_fit(X).n_iter_ == 3


def test_large_images_of_earlier_versions_keep_their_channels(tmp_path, monkeypatch):
    X = np.random.default_rng(0).random((20, 48 * 48), dtype=np.float32)
    with monkeypatch.context() as context:
        context.setattr("sklearn_bigan._parameters.first_channels", lambda image_shape: 32)
        model = small(max_epochs=1, image_shape=(48, 48)).fit(X)
    model.save(tmp_path / "new.safetensors")
    outer, inner, arrays = parts((tmp_path / "new.safetensors").read_bytes())
    del inner["net"]["spec"]["first_channels"]
    (tmp_path / "old.safetensors").write_bytes(signed(header_of(outer, inner), arrays))
    state = model.__getstate__()
    del state["net_"]["spec"]["first_channels"]
    pickled = BiGANTransformer()
    pickled.__setstate__(state)
    for old in (load(tmp_path / "old.safetensors"), pickled):
        check_equal(old, model, X)
        assert old.partial_fit(X).n_iter_ == 2


def test_free_kernels_of_earlier_versions_are_saved_and_loaded(small_digits, tmp_path):
    X = small_digits[:80]
    model = small(max_epochs=1, image_shape=(8, 8)).fit(X)
    for layer in model.net_.module_.modules():
        if isinstance(layer, Upsampling):
            free = layer.kernel().detach()
            layer.weight = torch.nn.Parameter(free + 0.1 * torch.rand_like(free))
    model = pickle.loads(pickle.dumps(model))  # G and its average are one afterwards
    model.save(tmp_path / "model.safetensors")
    loaded = load(tmp_path / "model.safetensors")
    check_equal(loaded, model, X)
    assert loaded.partial_fit(X).n_iter_ == 2


@pytest.mark.parametrize(
    "parameters",
    [{}, {"image_shape": (8, 8)}, {"method": "ali"}, {"output_activation": "sigmoid"}],
    ids=str,
)
def test_skops_has_only_the_estimator_to_trust(small_digits, parameters):
    X = small_digits[:80]
    model = small(max_epochs=1, **parameters).fit(X)
    file = skops.io.dumps(model)
    name = "sklearn_bigan._transformer.BiGANTransformer"
    assert skops.io.get_untrusted_types(data=file) == [name]
    check_equal(skops.io.loads(file, trusted=[name]), model, X)
