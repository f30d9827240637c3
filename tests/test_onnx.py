"""ONNX models compute what the estimator computes, without the package and without torch."""

import doctest
import inspect
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pandas as pd
import pytest
import skl2onnx
import torch
from factories import not_with_torch_2_6, small, table
from sklearn.datasets import load_digits
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from sklearn_bigan import BiGANTransformer
from sklearn_bigan.onnx import register_converter

LABELS = load_digits().target[:300]
IMAGE = {"image_shape": (8, 8), "max_epochs": 1}
CASES = {
    "identity": {},
    "sigmoid": {"output_activation": "sigmoid", "features": "all"},
    "tanh, uniform prior": {"output_activation": "tanh", "method": "bigan"},
    "gaussian posterior": {"posterior": "gaussian", "prior": "normal", "features": "hidden"},
    "dcgan": {**IMAGE, "features": "all"},
    "dcgan, odd size": {"image_shape": (9, 14, 3), "max_epochs": 1, "features": "hidden"},
    "ali": {**IMAGE, "network": "ali", "features": "all"},
}
NOT_IN_2_6 = not_with_torch_2_6("it takes the number of rows of ALI's generator for a constant")


def run(path: Path, given: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(path)
    (entry,) = session.get_inputs()
    (out,) = session.run(None, {entry.name: given})
    return out


def assert_close(actual: np.ndarray, expected: np.ndarray) -> None:
    assert actual.shape == expected.shape
    assert actual.dtype == expected.dtype
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def rows_for(parameters: dict, digits: np.ndarray) -> np.ndarray:
    if parameters.get("image_shape") == (9, 14, 3):
        return np.tile(digits[:100], (1, 6))[:, : 9 * 14 * 3]
    if "output_activation" in parameters or "image_shape" in parameters:
        return digits[:100]
    X = table().astype(np.float32)
    X[:3] *= 1000  # outliers, which are squashed
    return X


@pytest.fixture(
    params=[
        *(
            pytest.param(parameters, id=name, marks=NOT_IN_2_6 if name == "ali" else ())
            for name, parameters in CASES.items()
        ),
        pytest.param(  # whose means are sums of 64 terms, each with nodes of its own
            {"posterior": "gaussian", "prior": "uniform"},
            id="gaussian posterior, uniform prior",
            marks=pytest.mark.slow,
        ),
    ]
)
def model_and_rows(request, digits):
    X = rows_for(request.param, digits)
    return small(**request.param).fit(X), X


def test_both_parts_compute_what_the_estimator_does_for_any_number_of_rows(
    model_and_rows, tmp_path
):
    model, X = model_and_rows
    model.to_onnx(tmp_path / "encoder.onnx")
    model.to_onnx(tmp_path / "generator.onnx", "generator")
    expected = model.transform(X)
    for n_rows in (1, 2, len(X)):
        assert_close(run(tmp_path / "encoder.onnx", X[:n_rows]), expected[:n_rows])
    Z = model.set_params(features="latent").transform(X)
    for n_rows in (1, len(X)):
        generated = run(tmp_path / "generator.onnx", Z[:n_rows])
        assert_close(generated, model.inverse_transform(Z[:n_rows]))


def test_columns_far_from_the_origin_are_float64(tmp_path):
    X = table() + 1e8
    model = small().fit(X)
    model.to_onnx(tmp_path / "encoder.onnx")
    model.to_onnx(tmp_path / "generator.onnx", "generator")
    Z = run(tmp_path / "encoder.onnx", X)
    assert_close(Z, model.transform(X))
    deviation = run(tmp_path / "generator.onnx", Z) - 1e8
    assert_close(deviation, model.inverse_transform(Z) - 1e8)


def test_a_model_runs_without_this_package_and_torch(tmp_path):
    X = table().astype(np.float32)
    model = small().fit(X)
    model.to_onnx(tmp_path / "model.onnx")
    np.save(tmp_path / "X.npy", X)
    program = (
        "import sys, numpy, onnxruntime\n"
        "session = onnxruntime.InferenceSession('model.onnx')\n"
        "numpy.save('Z.npy', session.run(None, {'X': numpy.load('X.npy')})[0])\n"
        "assert not {'torch', 'sklearn', 'sklearn_bigan'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=True)
    assert_close(np.load(tmp_path / "Z.npy"), model.transform(X))


def test_a_file_tells_nothing_of_the_machine_that_wrote_it(tmp_path):
    path = tmp_path / "model.onnx"
    small(max_epochs=0).fit(table()).to_onnx(path)
    content = path.read_bytes()
    assert b".py" not in content
    assert b"pkg.torch" not in content


def test_nothing_is_written_where_an_export_fails(tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(b"older")
    with pytest.raises(NotFittedError):
        small().to_onnx(path)
    fitted = small(max_epochs=0).fit(table())
    with pytest.raises(ValueError, match=r"'part' parameter must be .*Got 'discriminator'"):
        fitted.to_onnx(path, "discriminator")
    with pytest.raises(FileNotFoundError, match="does not exist"):
        fitted.to_onnx(tmp_path / "missing" / "model.onnx")
    assert path.read_bytes() == b"older"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("package", ["onnx", "onnxscript", "skl2onnx"])
def test_a_missing_extra_is_named(package, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, package, None)
    fitted = small(max_epochs=0).fit(table())
    message = rf'needs {package}.* pip install "sklearn_bigan\[onnx\]"'
    with pytest.raises(ImportError, match=message):
        register_converter()
    if package != "skl2onnx":
        with pytest.raises(ImportError, match=message):
            fitted.to_onnx(tmp_path / "model.onnx")


class Body(nn.Module):
    """An encoder of a user's own; `work` is what it does besides."""

    def __init__(self, n_features: int, latent_dim: int) -> None:
        super().__init__()
        self.linear = nn.Linear(n_features, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.work(self.linear(x).relu_())

    def work(self, hidden: torch.Tensor) -> torch.Tensor:
        return hidden


class BodyThatCountsRows(Body):
    def work(self, hidden: torch.Tensor) -> torch.Tensor:
        return hidden.reshape(len(hidden), 2, 4)


class BodyWithoutTranslation(Body):
    def work(self, hidden: torch.Tensor) -> torch.Tensor:
        return torch.special.bessel_j0(hidden)


def test_own_networks_are_exported(tmp_path):
    X = table().astype(np.float32)
    model = small(network={"encoder": Body}).fit(X)
    model.to_onnx(tmp_path / "model.onnx")
    assert_close(run(tmp_path / "model.onnx", X), model.transform(X))


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (BodyThatCountsRows, r"encoder cannot be exported .*x\.shape\[0\]"),
        (BodyWithoutTranslation, "torch.onnx cannot export the network's encoder"),
    ],
)
def test_own_networks_that_cannot_be_exported_are_refused(body, message, tmp_path):
    fitted = small(network={"encoder": body}, max_epochs=0).fit(table())
    with pytest.raises(ValueError, match=message):
        fitted.to_onnx(tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def pipeline(digits) -> Pipeline:
    model = make_pipeline(StandardScaler(), small(features="all"), LogisticRegression(max_iter=500))
    return model.fit(digits[:300], LABELS)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
def test_a_pipeline_predicts_the_same(pipeline, digits, dtype):
    X = (16 * digits[:300]).astype(dtype)
    model = make_pipeline(*(step for _, step in pipeline.steps)).fit(X, LABELS)
    register_converter()
    options = {"zipmap": False}  # probabilities as an array
    converted = skl2onnx.to_onnx(model, X[:1], options=options)
    session = onnxruntime.InferenceSession(converted.SerializeToString())
    expected = model.predict_proba(X)
    for n_rows in (1, 300):
        labels, probabilities = session.run(None, {"X": X[:n_rows]})
        np.testing.assert_array_equal(labels, model.predict(X[:n_rows]))
        np.testing.assert_allclose(probabilities, expected[:n_rows], rtol=0, atol=1e-5)


def test_a_data_frame_of_single_columns_is_refused(pipeline, small_digits):
    frame = pd.DataFrame(small_digits).rename(columns=str)
    register_converter()
    with pytest.raises(ValueError, match=r"Got 64, .* X\.to_numpy"):
        skl2onnx.to_onnx(small(max_epochs=0).fit(frame), frame[:1])


@pytest.mark.parametrize("documented", [BiGANTransformer.to_onnx, register_converter])
def test_the_examples_run_where_the_extra_is_installed(documented, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = inspect.getdoc(documented).replace("  # doctest: +SKIP", "")
    example = doctest.DocTestParser().get_doctest(text, {}, documented.__name__, None, None)
    assert example.examples
    assert doctest.DocTestRunner().run(example).failed == 0
