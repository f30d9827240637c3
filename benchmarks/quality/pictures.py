"""Pictures of what a fitted method makes of images, as small PNG files.

Those named "reconstructions_alone" leave the originals out, for data sets whose license does not
let them be shown.
"""

from pathlib import Path

import numpy as np
from sklearn.neighbors import NearestNeighbors

from quality.methods import Model
from quality.metrics import Measured
from sklearn_bigan import InterpolationDisplay, ReconstructionDisplay, SampleDisplay

N_COLUMNS, N_STEPS, DOTS_PER_INCH = 12, 12, 80


def draw(model: Model, measured: Measured, folder: Path) -> None:
    """Write all pictures into the folder."""
    import matplotlib.pyplot as plt

    folder.mkdir(parents=True, exist_ok=True)
    X_train, _, X, _ = measured.rows
    shown = X[np.random.default_rng(0).permutation(len(X))[: 2 * N_COLUMNS]]

    def save(name: str, display: type, *lines: np.ndarray) -> None:
        images = np.stack(lines).reshape(len(lines), -1, *measured.image_shape)
        figure = display(images.clip(0, 1)).plot().figure_
        figure.savefig(folder / f"{name}.png", dpi=DOTS_PER_INCH, bbox_inches="tight")
        plt.close(figure)

    upper, lower = np.split(shown, 2)
    made = [model.reconstruct(half) for half in (upper, lower)]
    save("reconstructions", ReconstructionDisplay, upper, made[0], lower, made[1])
    save("reconstructions_alone", ReconstructionDisplay, *made)

    first, last = np.split(model.encode(shown[:12])["z"], 2)
    ways = np.linspace(first, last, N_STEPS, axis=1).astype(np.float32)
    save("interpolations", InterpolationDisplay, *map(model.decode, ways))

    samples = np.split(model.sample(4 * N_COLUMNS), 4)
    save("samples", SampleDisplay, *samples)
    search = NearestNeighbors(n_neighbors=1).fit(X_train)
    nearest = [X_train[search.kneighbors(line, return_distance=False).ravel()] for line in samples]
    pairs = [part for pair in zip(samples, nearest, strict=True) for part in pair]
    save("samples_and_nearest", SampleDisplay, *pairs)
