"""The benchmarks of accelerators and of blocks, on the CPU and on few rows."""

from functools import partial

import numpy as np
import pytest
import torch

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def test_steps_are_timed(module, monkeypatch):
    gpu = module("gpu")
    monkeypatch.setattr(gpu, "BATCHES", 2)
    monkeypatch.setattr(gpu, "BLOCK", 200)
    monkeypatch.setattr(gpu, "TABLE", {"hidden_layer_sizes": (8,)})
    kept = {name: (32, {"hidden_layer_sizes": (8,)}) for name in list(gpu.STEPS)[1:6:4]}
    monkeypatch.setattr(gpu, "STEPS", kept)
    monkeypatch.setattr(torch._inductor, "compile", lambda graph, inputs: graph)
    figures = gpu.steps()
    assert set(figures["default, 784 columns"]) == set(gpu.WAYS)
    assert all(value > 0 for value in figures["default, 784 columns"].values())
    assert figures["default, 784 columns, rows a second in transform"] > 0


def test_what_was_learned_is_probed(module, monkeypatch, two_digits, tmp_path):
    gpu = module("gpu")
    monkeypatch.setattr(gpu, "images", lambda name, folder: two_digits)
    monkeypatch.setattr(gpu, "BiGANTransformer", partial(gpu.BiGANTransformer, max_epochs=2))
    setting = {"data": "mnist", "precision": "bfloat16", "seed": 0}
    figures = gpu.quality(setting, tmp_path)
    assert figures["linear_100"] > 0.8
    assert figures["linear_1000"] is None
    assert figures["device"] == "cpu"


def test_blocks_of_sorted_rows_are_trained_on(module, monkeypatch, two_digits, tmp_path):
    blocks = module("blocks")
    monkeypatch.setattr(blocks, "load", lambda name, folder: two_digits)
    seen = []
    fit = blocks.BiGANTransformer.fit

    def short_fit(model, X):
        seen.append(X)
        return fit(model.set_params(max_epochs=2), X)

    monkeypatch.setattr(blocks.BiGANTransformer, "fit", short_fit)
    setting = {"data": "digits", "blocks": 3, "seed": 0, "device": "cpu"}
    figures = blocks.run(setting, tmp_path)
    assert figures["linear_100"] > 0.8
    X, y = two_digits[:2]
    np.testing.assert_array_equal(seen[0], np.concatenate([X[y == 0], X[y == 1]]))
