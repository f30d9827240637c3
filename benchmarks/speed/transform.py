"""`transform` over a bare pass of the encoder; its ONNX model and a detector over `transform`.

All of many rows and of one row. The part "guards" measures what one row's checks and the fixing of
the process's settings cost.
"""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from statistics import median
from unittest import mock

import numpy as np
import torch
from sklearn.base import clone

from sklearn_bigan import BiGANOutlierDetector, BiGANTransformer
from speed.clock import Figures, beside, seconds
from speed.steps import noise

ENCODERS = [(64, 256), (784, 512)]  # columns, width
N_ROWS, CHUNK, CALLS, SHORT_TURN = 100_000, 8192, 500, 20


@torch.inference_mode()
def chunked(encoder: torch.nn.Module, X: np.ndarray, device: str) -> torch.Tensor:
    """Encode without `transform`."""
    chunks = torch.from_numpy(X).split(CHUNK)
    return torch.cat([encoder(chunk.to(device)).cpu() for chunk in chunks])


def models(device: str) -> Iterator[tuple[str, BiGANTransformer, np.ndarray]]:
    """Yield untrained estimators with their names and rows."""
    for n_columns, width in ENCODERS:
        X = noise(N_ROWS, n_columns)
        model = BiGANTransformer(
            16 if n_columns < 100 else 50,
            hidden_layer_sizes=(width, width),
            **{"max_epochs": 0, "random_state": 0, "device": device},
        ).fit(X[:100])
        yield f"{n_columns} columns, width {width}", model, X


def in_turns(
    way: Callable[[np.ndarray], object],
    floor: Callable[[np.ndarray], object],
    X: np.ndarray,
    device: str,
    rounds: int,
) -> Figures:
    """Time both in turns, of all rows and of one; return figures by the number of rows."""
    figures: Figures = {}
    for rows, times in ((X, 1), (X[:1], CALLS)):
        ways = partial(way, rows), partial(floor, rows)
        took = [[seconds(one, times, device) for one in ways] for _ in range(rounds + 1)][1:]
        figures[f"rows {len(rows)}"] = beside(*zip(*took, strict=True))
    return figures


def encoders(*, device: str, rounds: int = 15) -> Figures:
    """Measure `transform` over the bare encoder: median, least and greatest ratio, seconds."""
    figures: Figures = {}
    for name, model, X in models(device):
        encoder = model.net_.module_.averaged.encoder
        floor = partial(chunked, encoder, device=device)
        found = in_turns(model.transform, floor, X, device, rounds)
        figures |= {f"{name}, {rows}": own for rows, own in found.items()}
    return figures


def onnx(*, device: str, rounds: int = 15) -> Figures:
    """Measure onnxruntime, on one thread of the CPU, over `transform` in the same way."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    figures: Figures = {}
    for name, model, X in models(device):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "encoder.onnx"
            model.to_onnx(path)
            session = onnxruntime.InferenceSession(path, options)
        found = in_turns(
            lambda rows, run=session.run: run(None, {"X": rows}),
            model.transform,
            *(X, device, rounds),
        )
        figures |= {f"{name}, {rows}": own for rows, own in found.items()}
    return figures


def detectors(*, device: str, rounds: int = 5) -> Figures:
    """Measure the detector's `predict` over `transform` of its networks in the same way."""
    figures: Figures = {}
    for name, model, X in models(device):
        detector = BiGANOutlierDetector(clone(model), random_state=0).fit(X[:1000])
        found = in_turns(detector.predict, detector.transformer_.transform, X, device, rounds)
        figures |= {f"{name}, {rows}": own for rows, own in found.items()}
    return figures


# What guards `transform`, by module, and what stands for it where there are no guards.
GUARDS = {
    "_runtime.inference.InferenceSettings": torch.inference_mode,
    "_runtime.inference._check_finite": lambda out, start: None,
    "_data.standardizer._all_finite": lambda x: True,
    "_transformer.parameters.features": lambda estimator: estimator.features,
}


@contextmanager
def without_guards() -> Iterator[None]:
    """Do not fix settings, and check neither parameters nor units nor outputs."""
    with ExitStack() as stack:
        for name, stand_in in GUARDS.items():
            stack.enter_context(mock.patch(f"sklearn_bigan.{name}", stand_in))
        yield


def guards(*, device: str, rounds: int = 400) -> Figures:
    """Measure `transform` of one row with and without its guards, in short turns."""
    figures: Figures = {}
    for name, model, X in models(device):
        one_row = partial(model.transform, X[:1])
        guarded, bare = [], []
        for _ in range(rounds):
            guarded.append(seconds(one_row, SHORT_TURN, device))
            with without_guards():
                bare.append(seconds(one_row, SHORT_TURN, device))
        figures[name] = beside(guarded, bare) | {
            "microseconds": round(
                1e6 * median(x - y for x, y in zip(guarded, bare, strict=True)), 1
            )
        }
    return figures


PARTS = {"encoders": encoders, "guards": guards, "onnx": onnx, "detectors": detectors}
