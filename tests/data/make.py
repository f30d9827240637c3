"""Make the files that later versions have to read: `python tests/data/make.py DIRECTORY`.

Run it with the version whose formats are new, and commit what it writes.
"""

import pickle
import sys
import warnings
from pathlib import Path

import numpy as np

from sklearn_bigan import BiGANTransformer
from sklearn_bigan._files.content import FILE_FORMAT
from sklearn_bigan._persistence import FORMAT

METHODS = ("transform", "reconstruct", "score_samples", "predict_cluster")

if __name__ == "__main__":
    warnings.simplefilter("ignore")  # two epochs are too few
    random = np.random.default_rng(0)
    X = random.normal(size=(60, 5)) + 3 * random.integers(2, size=(60, 1))
    model = BiGANTransformer(
        3, prior=2, hidden_layer_sizes=(6,), max_epochs=2, random_state=0, device="cpu"
    ).fit(X)
    outputs = {name: getattr(model, name)(X) for name in METHODS}
    outputs |= {"X": X, "sample": model.sample(4, random_state=0)}
    directory = Path(sys.argv[1])
    names = f"pickle_{FORMAT}", f"file_{FILE_FORMAT}"
    (directory / f"{names[0]}.pickle").write_bytes(pickle.dumps(model, protocol=4))
    model.save(directory / f"{names[1]}.safetensors")
    for name in names:
        np.savez_compressed(directory / f"{name}.npz", **outputs)
