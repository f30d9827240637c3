"""Pictures of what a trained method makes of images, as small PNG files.

Held-out images above their reconstructions; ways between held-out images; samples; and samples
above the training images that are nearest to them. Where a data set's licence does not let its
images be shown, the same without originals is for showing.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from sklearn.neighbors import NearestNeighbors
from trained import Trained

from sklearn_bigan import InterpolationDisplay, ReconstructionDisplay, SampleDisplay

COLUMNS, STEPS, DOTS_PER_INCH = 12, 12, 80


def draw(
    trained: Trained,
    X_train: np.ndarray,
    X_test: np.ndarray,
    image_shape: tuple[int, int, int],
    folder: Path,
) -> None:
    """Write all pictures into the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    shown = X_test[np.random.default_rng(0).permutation(len(X_test))[: 2 * COLUMNS]]

    def save(name: str, kind: type, *lines: np.ndarray) -> None:
        images = np.stack(lines).reshape(len(lines), -1, *image_shape)
        display = kind(images.clip(0, 1)).plot()
        display.figure_.savefig(folder / f"{name}.png", dpi=DOTS_PER_INCH, bbox_inches="tight")
        plt.close(display.figure_)

    halves = np.split(shown, 2)
    made = [trained.reconstruct(half) for half in halves]
    save("reconstructions", ReconstructionDisplay, halves[0], made[0], halves[1], made[1])
    save("reconstructions_alone", ReconstructionDisplay, *made)

    first, last = np.split(trained.encode(shown[:12])["z"], 2)
    codes = np.linspace(first, last, STEPS, axis=1)
    ways = [trained.decode(way.astype(np.float32)) for way in codes]
    save("interpolations", InterpolationDisplay, *ways)

    samples = trained.sample(4 * COLUMNS)
    save("samples", SampleDisplay, *np.split(samples, 4))
    near = NearestNeighbors(n_neighbors=1).fit(X_train).kneighbors(samples, return_distance=False)
    nearest = X_train[near.ravel()]
    lines = [
        part
        for pair in zip(np.split(samples, 4), np.split(nearest, 4), strict=True)
        for part in pair
    ]
    save("samples_and_nearest", SampleDisplay, *lines)
