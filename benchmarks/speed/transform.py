"""`transform` over a bare forward pass of the encoder, of many rows in chunks and of one row."""

from functools import partial

import numpy as np
import torch

from sklearn_bigan import BiGANTransformer
from speed.clock import Figures, beside, seconds
from speed.steps import noise

ENCODERS = [(64, 256), (784, 512)]  # columns, width
N_ROWS, CHUNK, CALLS = 100_000, 8192, 500


@torch.inference_mode()
def chunked(encoder: torch.nn.Module, X: np.ndarray, device: str) -> torch.Tensor:
    """Encode without `transform`."""
    chunks = torch.from_numpy(X).split(CHUNK)
    return torch.cat([encoder(chunk.to(device)).cpu() for chunk in chunks])


def encoders(*, device: str, rounds: int = 15) -> Figures:
    """Time both in turns: median, least and greatest of the ratio, medians of the seconds."""
    figures: Figures = {}
    for n_columns, width in ENCODERS:
        X = noise(N_ROWS, n_columns)
        model = BiGANTransformer(
            16 if n_columns < 100 else 50,
            hidden_layer_sizes=(width, width),
            **{"max_epochs": 0, "random_state": 0, "device": device},
        ).fit(X[:100])
        encoder = model.net_.module_.averaged.encoder
        for rows, times in ((X, 1), (X[:1], CALLS)):
            ways = partial(model.transform, rows), partial(chunked, encoder, rows, device)
            took = [[seconds(way, times, device) for way in ways] for _ in range(rounds + 1)][1:]
            name = f"{n_columns} columns, width {width}, rows {len(rows)}"
            figures[name] = beside(*zip(*took, strict=True))
    return figures


PARTS = {"encoders": encoders}
