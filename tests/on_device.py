"""Runs the scripts that come by standard input, as JSON strings; see test_devices.py.

They find here what they share. The pretend device changes all of torch: it is there first.
"""

import importlib
import json
import pickle
import sys
import traceback
import warnings

DEVICE = sys.argv[1]
if DEVICE == "pretend":
    importlib.import_module("pretend_device")

import numpy as np  # noqa: E402
import torch  # noqa: E402
from sklearn.datasets import load_digits  # noqa: E402
from sklearn.exceptions import ConvergenceWarning  # noqa: E402
from skorch.callbacks import Callback  # noqa: E402

from sklearn_bigan import BiGANTransformer  # noqa: E402

# Only now: what skorch imports where it is installed may warn.
warnings.simplefilter("error")
warnings.simplefilter("ignore", ConvergenceWarning)  # two epochs

X = (load_digits().data / 16).astype(np.float32)[:100]
SETTINGS = {
    "n_components": 4,
    "hidden_layer_sizes": (16,),
    "batch_size": 25,
    "max_epochs": 2,
    "random_state": 0,
}
GAUSSIAN = SETTINGS | {"posterior": "gaussian"}


def results(est: BiGANTransformer) -> dict[str, np.ndarray]:
    """What every method gives."""
    Z = est.transform(X)
    return {
        "transform": Z,
        "inverse_transform": est.inverse_transform(Z),
        "reconstruct": est.reconstruct(X),
        "sample": est.sample(5, random_state=1),
        "score_samples": est.score_samples(X),
        "mean": est.posterior_moments(X)[0],
        "std": est.posterior_moments(X)[1],
    }


SHARED = {
    "np": np,
    "pickle": pickle,
    "torch": torch,
    "warnings": warnings,
    "BiGANTransformer": BiGANTransformer,
    "Callback": Callback,
    "DEVICE": DEVICE,
    "X": X,
    "SETTINGS": SETTINGS,
    "GAUSSIAN": GAUSSIAN,
    "results": results,
}

for line in sys.stdin:
    error = None
    try:
        exec(json.loads(line), dict(SHARED))
    except BaseException:
        error = traceback.format_exc()
    print(json.dumps(error), flush=True)
