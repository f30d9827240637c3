"""Data shared by the tests."""

import importlib
import os
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from factories import small
from sklearn.datasets import load_digits

from sklearn_bigan import BiGANTransformer

# Several workers of pytest share the cores: threads of one would wait for those of another.
if "PYTEST_XDIST_WORKER" in os.environ:
    torch.set_num_threads(1)
    os.environ["OMP_NUM_THREADS"] = "1"  # for the processes that tests start

# For the processes that tests start: the one changes all of torch, the other waits for input.
collect_ignore = ["pretend_device.py", "on_device.py"]


# Of networks, draws and steps. They depend on torch, whose version is the same in both jobs of
# CI, and hardly on other packages.
TORCH_ALONE = {
    *("test_adversarial", "test_augmentation", "test_averaging", "test_batches"),
    *("test_checkpoint", "test_compiling", "test_cuda_graphs", "test_determinism"),
    *("test_devices", "test_diagnostics", "test_distributed", "test_image_networks"),
    *("test_images", "test_isolation", "test_memory", "test_networks", "test_numerics"),
    *("test_out_of_memory", "test_own_networks", "test_process_settings"),
    *("test_precision", "test_priors", "test_reference", "test_reproducibility", "test_terms"),
}


def pytest_collection_modifyitems(items):
    for item in items:
        if item.path.stem in TORCH_ALONE:
            item.add_marker("torch_alone")
        if "module" in getattr(item, "fixturenames", ()):
            item.add_marker("benchmark")


@pytest.fixture(scope="session")
def digits() -> np.ndarray:
    return (load_digits().data / 16).astype(np.float32)


@pytest.fixture
def small_digits(digits: np.ndarray) -> np.ndarray:
    return digits[:300].copy()


@pytest.fixture
def fitted(small_digits: np.ndarray) -> BiGANTransformer:
    return small().fit(small_digits)


@pytest.fixture
def no_figures():
    """Start without figures, which doctests in the same process leave open, and leave none."""
    matplotlib.use("agg")
    plt.close("all")
    yield
    plt.close("all")


@pytest.fixture
def module(monkeypatch):
    """Import a module of the benchmarks by its name."""
    monkeypatch.syspath_prepend(Path(__file__).parents[1] / "benchmarks")
    return importlib.import_module
