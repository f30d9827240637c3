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
from speed.clock import Clock, Figures, before_first_step, in_fresh_process, seconds
from speed.steps import noise

TABLE = {"hidden_layer_sizes": (512, 512), "n_neighbors": 10}
IMAGE = {"image_shape": (32, 32, 3)}
CASES: dict[str, dict[str, Any]] = {
    "table 32": {"n_columns": 32, "n_steps": 200, "batch_size": 64, **TABLE},
    "mlp 784": {"n_columns": 784, "n_steps": 100, "batch_size": 64, **TABLE},
    "mlp 784, batch 1024": {"n_columns": 784, "n_steps": 20, "batch_size": 512, **TABLE},
    "dcgan 32x32x3": {"n_columns": 3072, "n_steps": 6, "batch_size": 128, **IMAGE},
}
WARM_STEPS = 2
TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2")
BLOCK_ROWS = 65_536


def steps(case: str) -> Figures:
    """Train on noise in this process, or with its peers, and return the figures of a step."""
    parameters, clock = dict(CASES[case]), Clock(skip=WARM_STEPS)
    n_columns, n_steps = parameters.pop("n_columns"), parameters.pop("n_steps")
    X = noise((n_steps + WARM_STEPS) * parameters["batch_size"], n_columns)
    parameters |= {"max_epochs": 1, "callbacks": [clock], "device": "cpu", "random_state": 0}
    model = BiGANTransformer(50 if n_columns > 50 else 16, **parameters).fit(X)
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
    batch, run = CASES[case]["batch_size"], partial(in_fresh_process, steps, case)
    turns = [[run(launcher=how)["result"] for how in ((), TORCHRUN)] for _ in range(rounds)]
    one, two = (
        {name: statistics.median(turn[n][name] for turn in turns) for name in turns[0][n]}
        for n in range(2)
    )
    gains = [alone["step_seconds"] / both["step_seconds"] for alone, both in turns]
    figures: Figures = {"parameters": int(one["parameters"]), "rows_a_step": batch}
    figures["megabytes_a_step"] = round(4 * one["parameters"] / 1e6, 2)
    for name, own in (("one", one), ("two", two)):
        figures[f"{name}_step_seconds"] = round(own["step_seconds"], 5)
        figures[f"{name}_rows_a_second"] = round(batch / own["step_seconds"])
    figures["throughput_ratio"] = round(statistics.median(gains), 3)
    figures["all_reduce_seconds"] = round(two["all_reduce_seconds"], 5)
    return figures | {"rounds": rounds}


def block(n_columns: int, *, device: str, rounds: int = 1) -> Figures:
    """Return what precedes the first step on a block of rows, with and without neighbors."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.npy"
        np.save(path, noise(BLOCK_ROWS, n_columns))
        without, within = before_first_step(np.load(path, mmap_mode="r"), device)
    figures = {"seconds_without_neighbors": round(without, 3)}
    return figures | {"rows": BLOCK_ROWS, "graph_seconds": round(within - without, 2)}


PARTS = {case: partial(compared, case) for case in CASES} | {
    f"block of {n} columns": partial(block, n) for n in (32, 784)
}
