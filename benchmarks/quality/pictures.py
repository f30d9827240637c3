"""Pictures of what a fitted method makes of images, as small PNG files.

Those named "reconstructions_alone" leave the originals out, for data sets whose license does not
let them be shown.
"""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from sklearn.neighbors import NearestNeighbors

from quality.methods import Model
from quality.metrics import Measured
from sklearn_bigan import ReconstructionDisplay, SampleDisplay

N_COLUMNS, N_STEPS = 12, 12


def draw(model: Model, measured: Measured, folder: Path) -> None:
    """Write all pictures into the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    X_train, _, X, _ = measured.rows
    shown = X[np.random.default_rng(0).permutation(len(X))[: 2 * N_COLUMNS]]

    def as_images(lines: Iterable[np.ndarray]) -> np.ndarray:
        rows = np.stack(list(lines))
        return rows.reshape(*rows.shape[:2], *measured.image_shape).clip(0, 1)

    upper, lower = np.split(shown, 2)
    made = [model.reconstruct(half) for half in (upper, lower)]
    both = ReconstructionDisplay(as_images([upper, made[0], lower, made[1]]))
    _save(folder / "reconstructions.png", both)
    _save(folder / "reconstructions_alone.png", SampleDisplay(as_images(made)), "Reconstructions")

    first, last = np.split(model.encode(shown[:12])["z"], 2)
    ways = np.linspace(first, last, N_STEPS, axis=1).astype(np.float32)
    between = SampleDisplay(as_images(map(model.decode, ways)))
    _save(folder / "interpolations.png", between, "G(z) for codes z from E(x) to E(x')")

    samples = np.split(model.sample(4 * N_COLUMNS), 4)
    _save(folder / "samples.png", SampleDisplay(as_images(samples)))
    search = NearestNeighbors(n_neighbors=1).fit(X_train)
    nearest = [X_train[search.kneighbors(line, return_distance=False).ravel()] for line in samples]
    pairs = SampleDisplay(as_images(samples), as_images(nearest))
    _save(folder / "samples_and_nearest.png", pairs)


def _save(path: Path, display: ReconstructionDisplay | SampleDisplay, title: str = "") -> None:
    import matplotlib.pyplot as plt

    display.title = title or display.title
    figure = display.plot().figure_
    figure.savefig(path)
    plt.close(figure)
