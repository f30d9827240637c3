"""What two processes under torchrun gain over one, with the same batches, on the CPU by gloo.

In each round one process and two processes of one thread each take turns, and the median counts.
`all_reduce_seconds` is what sending a step's gradients takes by itself, without waiting for the
other process. Beside it: what `fit` does before its first step, with and without neighbors.
"""

import statistics
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import distributed as dist

from sklearn_bigan import BiGANTransformer
from speed.clock import Clock, Figures, in_fresh_process, seconds, seconds_before_first_step

TABLE = {"hidden_layer_sizes": (512, 512), "n_neighbors": 10}
CASES: dict[str, dict[str, Any]] = {
    "table 32": {"n_columns": 32, "n_steps": 200, "batch_size": 64, **TABLE},
    "mlp 784": {"n_columns": 784, "n_steps": 100, "batch_size": 64, **TABLE},
    "mlp 784, batch 1024": {"n_columns": 784, "n_steps": 20, "batch_size": 512, **TABLE},
    "dcgan 32x32x3": {
        **{"n_columns": 3072, "n_steps": 6, "batch_size": 128},
        "image_shape": (32, 32, 3),
    },
}
WARM_STEPS = 2
TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2")
BLOCK_ROWS = 65_536


def steps(n_columns: int, n_steps: int, batch_size: int, parameters: dict[str, Any]) -> Figures:
    """Train on noise in this process, or with its peers, and return the figures of a step."""
    shape = parameters.pop("image_shape", None)
    n_rows = (n_steps + WARM_STEPS) * batch_size
    X = np.random.default_rng(0).random((n_rows, n_columns), dtype=np.float32)
    clock = Clock(skip=WARM_STEPS)
    model = BiGANTransformer(
        50 if n_columns > 50 else 16,
        image_shape=shape and tuple(shape),
        **{"batch_size": batch_size, "max_epochs": 1, "callbacks": [clock]},
        **{"device": "cpu", "random_state": 0},
        **parameters,
    ).fit(X)
    module = model.net_.module_
    trained = module.encoder, module.generator, module.discriminator
    size = sum(weight.numel() for part in trained for weight in part.parameters())
    figures = {"step_seconds": clock.steps[0], "parameters": size, "all_reduce_seconds": 0.0}
    if dist.is_initialized():
        gradients = torch.zeros(size)
        dist.barrier()
        figures["all_reduce_seconds"] = seconds(lambda: dist.all_reduce(gradients), times=20)
    return figures


def compared(case: str, *, device: str, rounds: int = 3) -> Figures:
    """Compare one process and two."""
    parameters = dict(CASES[case])
    given = [parameters.pop(name) for name in ("n_columns", "n_steps", "batch_size")]
    turns = [
        [
            in_fresh_process(steps, *given, parameters, launcher=launcher)["result"]
            for launcher in ((), TORCHRUN)
        ]
        for _ in range(rounds)
    ]
    one, two = (
        {name: statistics.median(turn[n][name] for turn in turns) for name in turns[0][n]}
        for n in range(2)
    )
    gains = [alone["step_seconds"] / both["step_seconds"] for alone, both in turns]
    return {
        "parameters": int(one["parameters"]),
        "rows_a_step": given[2],
        "megabytes_a_step": round(4 * one["parameters"] / 1e6, 2),
        "one_step_seconds": round(one["step_seconds"], 5),
        "two_step_seconds": round(two["step_seconds"], 5),
        "one_rows_a_second": round(given[2] / one["step_seconds"]),
        "two_rows_a_second": round(given[2] / two["step_seconds"]),
        "throughput_ratio": round(statistics.median(gains), 3),
        "all_reduce_seconds": round(two["all_reduce_seconds"], 5),
        "rounds": rounds,
    }


def before_first_step(n_columns: int, *, device: str, rounds: int = 1) -> Figures:
    """Return what precedes the first step on a block of rows, with and without neighbors."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.npy"
        np.save(path, np.random.default_rng(0).random((BLOCK_ROWS, n_columns), dtype=np.float32))
        X = np.load(path, mmap_mode="r")
        model = BiGANTransformer(16, random_state=0, device=device)
        without, within = (
            seconds_before_first_step(model.set_params(n_neighbors=k), X) for k in (0, 10)
        )
    return {
        "rows": BLOCK_ROWS,
        "seconds_without_neighbors": round(without, 3),
        "graph_seconds": round(within - without, 2),
    }


PARTS = {case: partial(compared, case) for case in CASES} | {
    f"block of {n} columns": partial(before_first_step, n) for n in (32, 784)
}
