"""Data shared by the tests."""

import numpy as np
import pytest
from sklearn.datasets import load_digits

# Importing it changes all of torch: only the processes that tests start may.
collect_ignore = ["pretend_device.py"]


@pytest.fixture(scope="session")
def digits() -> np.ndarray:
    return (load_digits().data / 16).astype(np.float32)


@pytest.fixture
def small_digits(digits: np.ndarray) -> np.ndarray:
    return digits[:300].copy()
