"""How long `fit` takes by default, by the numbers of rows and columns.

One epoch on at most a block of rows gives the seconds of a nearest-neighbour graph and of an
update; the default's numbers of blocks and updates give the rest. A whole `fit` of a million rows
would take most of an hour.
"""

import math
from typing import Any

from sklearn_bigan import BiGANTransformer
from sklearn_bigan import _parameters as parameters
from sklearn_bigan._data.batches import count_batches
from sklearn_bigan._data.neighbors import MAX_GRAPHS
from sklearn_bigan._data.source import BLOCK_ROWS
from speed.clock import Figures, seconds
from speed.steps import noise

ROWS, COLUMNS = (1_000, 10_000, 100_000, 1_000_000), (10, 100, 1_000)
IMAGES = {"28 x 28": (28, 28), "32 x 32 x 3": (32, 32, 3)}


def tables(*, device: str, rounds: int = 1) -> Figures:
    """Return minutes by rows and columns."""
    return {
        f"{n_rows:,}": {
            f"{n_columns:,} columns": minutes(n_rows, n_columns, device) for n_columns in COLUMNS
        }
        for n_rows in ROWS
    }


def images(*, device: str, rounds: int = 1) -> Figures:
    """Return minutes of 10,000 images."""
    return {
        name: {"minutes": minutes(10_000, math.prod(shape), device, image_shape=shape)}
        for name, shape in IMAGES.items()
    }


def minutes(n_rows: int, n_columns: int, device: str, **given: Any) -> float:
    """Return the estimated minutes of the default's `fit` on rows of noise."""
    whole = BiGANTransformer(16, device=device, random_state=0, **given)
    n_epochs, batch_size = parameters.n_epochs(whole, n_rows), parameters.batch_size(whole, n_rows)
    wide = n_rows >= parameters.MANY_ROWS
    width = parameters.LARGE_WIDTH if wide else parameters.WIDTH
    whole.set_params(batch_size=batch_size, hidden_layer_sizes=(width, width), max_epochs=1)
    X = noise(min(n_rows, 2_000 if "image_shape" in given else BLOCK_ROWS), n_columns)
    whole.fit(X[: 2 * batch_size])  # what a process does once
    took = seconds(lambda: whole.fit(X))
    epoch = whole.history_[-1]["dur"]
    n_blocks = math.ceil(n_rows / BLOCK_ROWS)
    n_graphs = min(n_blocks, MAX_GRAPHS) + n_epochs * max(0, n_blocks - MAX_GRAPHS)
    n_updates = n_epochs * count_batches(n_rows, batch_size)
    update = epoch / count_batches(len(X), batch_size)
    return round((n_graphs * (took - epoch) + n_updates * update) / 60, 1)


PARTS = {"tables": tables, "images": images}
