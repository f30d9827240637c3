"""What two processes under torchrun gain over one, with the same batches; on the CPU, by gloo.

A fit takes a few steps in one process, and in two of one thread each that share every batch; in
each round both take turns, and the median counts. In `all_reduce` a process also waits for the
other one. Beside it, what else an epoch over many blocks of rows is made of: neighbours of a block,
which every process seeks for itself, and reading it.

    python benchmarks/processes.py [--rounds 3]
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from runs import RESULTS, provenance
from sklearn.exceptions import ConvergenceWarning
from skorch.callbacks import Callback
from torch import distributed as dist

from sklearn_bigan import BiGANTransformer
from sklearn_bigan._blocks import BLOCK_ROWS, Blocks
from sklearn_bigan._neighbors import neighbor_graph
from sklearn_bigan._randomness import repeatable

CASES: dict[str, dict[str, Any]] = {
    "table 32": {"n_columns": 32, "steps": 200},
    "mlp 784": {"n_columns": 784, "steps": 100},
    "mlp 784, batch 1024": {"n_columns": 784, "steps": 20, "batch_size": 1024},
    "dcgan 32x32x3": {"n_columns": 3072, "steps": 6, "image_shape": (32, 32, 3)},
}
WARM_STEPS = 2
N_NEIGHBORS = 10


class Clock(Callback):
    """Seconds of the steps after the first few, and of all_reduce in these."""

    def __init__(self) -> None:
        self.communication = self.elements = 0.0
        self.plain = dist.all_reduce

    def __deepcopy__(self, memo: Any) -> "Clock":
        return self  # the net's is the one that is asked afterwards

    def all_reduce(self, tensor: torch.Tensor) -> None:
        """Time and count what travels."""
        start = time.perf_counter()
        self.plain(tensor)
        self.communication += time.perf_counter() - start
        self.elements += tensor.numel()

    def on_train_begin(self, net: Any, **kwargs: Any) -> None:
        """Take the place of torch's."""
        self.n_steps = 0
        dist.all_reduce = self.all_reduce

    def on_train_end(self, net: Any, **kwargs: Any) -> None:
        """Give it back."""
        dist.all_reduce = self.plain

    def on_batch_begin(self, net: Any, **kwargs: Any) -> None:
        """Start when warm."""
        if self.n_steps == WARM_STEPS:
            self.start, self.communication, self.elements = time.perf_counter(), 0.0, 0
        self.n_steps += 1

    def on_batch_end(self, net: Any, **kwargs: Any) -> None:
        """Stop, so far."""
        if self.n_steps > WARM_STEPS:
            steps = self.n_steps - WARM_STEPS
            self.figures = {
                "step_seconds": (time.perf_counter() - self.start) / steps,
                "all_reduce_seconds": self.communication / steps,
                "all_reduce_megabytes": 4 * self.elements / steps / 1e6,
            }


def steps(case: str) -> dict[str, float]:
    """Train on noise and return the figures of a step."""
    parameters = dict(CASES[case])
    n_columns, n_steps = parameters.pop("n_columns"), parameters.pop("steps")
    batch_size = parameters.setdefault("batch_size", 128)
    if "image_shape" not in parameters:
        # Those of the default from 10,000 rows on; a batch is half rows, half partners.
        parameters |= {"hidden_layer_sizes": (512, 512), "n_neighbors": N_NEIGHBORS}
        batch_size //= 2
    rows = np.random.default_rng(0).random(((n_steps + WARM_STEPS) * batch_size, n_columns))
    clock = Clock()
    model = BiGANTransformer(
        50 if n_columns > 50 else 16,
        max_epochs=1,
        callbacks=[clock],
        device="cpu",
        random_state=0,
        **parameters,
    ).fit(rows.astype(np.float32))
    module = model.net_.module_
    return {
        **clock.figures,
        "rows_a_step": batch_size,
        "parameters": sum(weight.numel() for weight in module.parameters()),
    }


def started(case: str, n_processes: int) -> dict[str, float]:
    """Return the figures of a fit in so many new processes."""
    launcher = ["-m", "torch.distributed.run", "--standalone"]
    together = [*launcher, "--nproc_per_node", str(n_processes)] if n_processes > 1 else []
    command = [sys.executable, *together, __file__, "--case", case]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    run = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    return json.loads(run.stdout.splitlines()[-1])  # gloo says before whom it has found


def compared(case: str, rounds: int) -> dict[str, Any]:
    """Medians of one process and of two in turns, and of their ratio."""
    turns = [[started(case, n) for n in (1, 2)] for _ in range(rounds)]
    one, two = (
        {name: statistics.median(turn[n][name] for turn in turns) for name in turns[0][n]}
        for n in range(2)
    )
    gains = [alone["step_seconds"] / both["step_seconds"] for alone, both in turns]
    shares = [both["all_reduce_seconds"] / both["step_seconds"] for _, both in turns]
    return {
        "parameters": int(one["parameters"]),
        "rows_a_step": int(one["rows_a_step"]),
        "megabytes_a_step": round(two["all_reduce_megabytes"], 2),
        "one_step_seconds": round(one["step_seconds"], 5),
        "two_step_seconds": round(two["step_seconds"], 5),
        "one_rows_a_second": round(one["rows_a_step"] / one["step_seconds"]),
        "two_rows_a_second": round(two["rows_a_step"] / two["step_seconds"]),
        "throughput_ratio": round(statistics.median(gains), 3),
        "all_reduce_share": round(statistics.median(shares), 3),
    }


def block(n_columns: int) -> dict[str, float]:
    """Seconds to read a block from a file that the system holds in memory, and for its graph."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.npy"
        rows = np.random.default_rng(0).random((2 * BLOCK_ROWS, n_columns), dtype=np.float32)
        np.save(path, rows)
        del rows
        blocks = Blocks(np.load(path, mmap_mode="r"), torch.device("cpu"), seed=0)
        start = time.perf_counter()
        read = [blocks.read(number) for number in range(2)]
        reading = (time.perf_counter() - start) / 2
        start = time.perf_counter()
        with repeatable():
            neighbor_graph(read[0], N_NEIGHBORS, seed=0)
        graph = time.perf_counter() - start
    return {
        "rows": BLOCK_ROWS,
        "read_seconds": round(reading, 4),
        "read_gigabytes_a_second": round(read[0].nbytes / reading / 1e9, 2),
        "graph_seconds": round(graph, 2),
    }


def main() -> None:
    """Measure, print and keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--case", choices=CASES, help=argparse.SUPPRESS)  # in a started process
    args = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", ConvergenceWarning)
    if args.case:
        figures = steps(args.case)
        if os.environ.get("RANK", "0") == "0":
            print(json.dumps(figures))
        return
    report: dict[str, Any] = {**provenance(), "rounds": args.rounds}
    for case in CASES:
        report[case] = compared(case, args.rounds)
        print(case, report[case], flush=True)
    for n_columns in (32, 784):
        report[f"block of {n_columns} columns"] = block(n_columns)
        print(n_columns, report[f"block of {n_columns} columns"], flush=True)
    (RESULTS / "processes.json").write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
