"""The README's snippets do what it says they do."""

import re
import subprocess
import sys
from functools import partial
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import onnxruntime
import pytest
from sklearn.pipeline import make_pipeline

from sklearn_bigan import BiGANTransformer

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
SNIPPETS = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
CALLS = re.findall(r"^(?:- `)?(BiGANTransformer\([^`\n]*\))", README, flags=re.MULTILINE)


def snippet_with(text: str) -> str:
    (snippet,) = (snippet for snippet in SNIPPETS if text in snippet)
    return snippet


@pytest.mark.slow
def test_the_first_snippet_prints_what_the_readme_shows():
    shown = re.search(r"```\n(.*?)```", README.split(SNIPPETS[0])[1].split("```", 1)[1], re.DOTALL)
    run = subprocess.run(
        [sys.executable, "-c", SNIPPETS[0]], capture_output=True, text=True, check=True
    )
    assert run.stdout == shown[1]


@pytest.mark.parametrize("call", CALLS)
def test_estimators_that_are_called_by_their_parameters_can_be_fitted(call, small_digits):
    estimator = eval(call, {"BiGANTransformer": BiGANTransformer})
    assert estimator.set_params(max_epochs=1).fit(small_digits).n_iter_ == 1


def test_parameters_that_are_named_exist():
    named = set(re.findall(r"`([a-z_]+)=", README))
    assert {"network", "max_epochs"} <= named <= set(BiGANTransformer().get_params())


def test_the_images_snippet_draws_what_it_says(digits, no_figures):
    photographs = np.tile(digits[:40], (1, 48))  # 32 x 32 x 3
    names = {
        "BiGANTransformer": partial(BiGANTransformer, max_epochs=1),
        "X": photographs,
        "X_test": photographs,
    }
    exec(snippet_with("ReconstructionDisplay"), names)
    assert len(plt.get_fignums()) == 4


def test_the_snippet_with_early_stopping_stops(small_digits):
    names = {
        "BiGANTransformer": partial(BiGANTransformer, hidden_layer_sizes=(8,), learning_rate=1e-9),
        "X": small_digits[:50],
    }
    exec(snippet_with("EarlyStopping"), names)
    assert names["bigan"].n_iter_ < 200


def test_the_snippets_of_files_write_and_read_them(small_digits, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    small = partial(BiGANTransformer, hidden_layer_sizes=(8,), max_epochs=1)
    names = {"BiGANTransformer": small, "X": small_digits}
    exec(snippet_with("photographs.checkpoint"), names)
    exec(snippet_with("digits.safetensors"), names)
    assert {path.name for path in tmp_path.iterdir()} == {
        "photographs.checkpoint",
        "digits.safetensors",
    }
    expected = names["bigan"].transform(small_digits)
    np.testing.assert_array_equal(names["again"].transform(small_digits), expected)


def test_the_snippets_of_onnx_give_the_codes_of_the_estimator(small_digits, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    bigan = BiGANTransformer(hidden_layer_sizes=(8,), max_epochs=1, random_state=0)
    names = {"X": small_digits, "bigan": bigan.fit(small_digits), "pipe": make_pipeline(bigan)}
    exec(snippet_with("register_converter()"), names)
    exec(snippet_with("import onnxruntime"), names)
    np.testing.assert_allclose(names["Z"], bigan.transform(small_digits), atol=1e-5)
    for name in ("generator", "pipe"):
        onnxruntime.InferenceSession(f"{name}.onnx")


def test_the_search_without_labels_finds_what_it_tried(small_digits):
    quick = partial(BiGANTransformer, hidden_layer_sizes=(8,), max_epochs=1, random_state=0)
    names = {"BiGANTransformer": quick, "X": small_digits}
    exec(snippet_with("trustworthiness_score"), names)
    assert names["search"].best_params_["n_components"] in names["grid"]["n_components"]
