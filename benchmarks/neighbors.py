"""What are neighbourhoods worth? Rows compared by correlation, as wide rows are, and by distance.

Labels are looked at to judge the graph, never to make it: how often a walk of so many steps ends
at a row of the same class, and what label spreading over the graph makes of 100 labels: one way of
using the graph, not the best there is.

    python benchmarks/neighbors.py digits mnist fashion_mnist optdigits arrhythmia
"""

import argparse
from functools import partial
from pathlib import Path
from unittest.mock import patch

import numpy as np
import torch
from data import DATA, FOLDER, load
from measures import DRAWS
from runs import RESULTS, Line, exit_if_some_failed, resume
from scipy.sparse import csr_array
from sklearn.model_selection import train_test_split
from sklearn.semi_supervised import LabelSpreading
from table import table

from sklearn_bigan import _neighbors
from sklearn_bigan._parameters import NEIGHBORS

STEPS = (1, 2, 4)
LABELS = 100
# Nearly all of a row's label comes from its neighbours.
SPREADING = {"alpha": 0.99, "max_iter": 100}


def purity(graph: torch.Tensor, y: np.ndarray, steps: int) -> float:
    """Share of walks, one from each row, that end in the class they began in."""
    start, generator = torch.arange(len(graph)), torch.Generator().manual_seed(0)
    return float(np.mean(y[_neighbors.walk(graph, start, steps, generator)] == y))


def spreading(graph: torch.Tensor, y: np.ndarray) -> float:
    """Accuracy of label spreading on the rows without a label, the mean over draws of labels."""
    n_rows, k = graph.shape
    edges = (np.ones(n_rows * k), graph.ravel().numpy(), np.arange(0, n_rows * k + 1, k))
    one_way = csr_array(edges, shape=(n_rows, n_rows))
    both_ways = one_way + one_way.T
    model = LabelSpreading(kernel=lambda X, Y=None: both_ways, **SPREADING)
    accuracies = []
    for draw in range(DRAWS):
        _, hidden = train_test_split(
            np.arange(n_rows), train_size=LABELS, stratify=y, random_state=draw
        )
        known = y.astype(np.int64)
        known[hidden] = -1
        found = model.fit(np.zeros((n_rows, 1)), known).transduction_
        accuracies.append(np.mean(found[hidden] == y[hidden]))
    return float(np.mean(accuracies))


def run(setting: Line, folder: Path) -> Line:
    """Find the neighbours as the estimator does, and see what they are worth."""
    X, y, _, _ = load(setting["data"], folder, validate=True)
    find = partial(_neighbors.neighbor_graph, X, NEIGHBORS, setting["seed"])
    if setting["compared by"] == "correlation":
        graph = find()
    else:
        with patch.object(_neighbors, "standardise_rows", lambda rows: None):
            graph = find()
    walks = {f"after {steps}": purity(graph, y, steps) for steps in STEPS}
    return walks | {"label spreading": spreading(graph, y)}


def main() -> None:
    """Run what is missing, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", metavar="data", nargs="+", choices=DATA, help=", ".join(DATA))
    parser.add_argument("--jobs", type=int, default=1, help="runs side by side, a core each")
    parser.add_argument("--data", dest="folder", type=Path, default=FOLDER, metavar="DIR")
    args = parser.parse_args()
    settings = [
        {"data": name, "compared by": way, "seed": 0}
        for name in args.names
        for way in ("correlation", "distance")
    ]
    file = RESULTS / "neighbors.jsonl"
    lines = resume(partial(run, folder=args.folder), settings, lambda _: file, args.jobs)
    names = [*(f"after {steps}" for steps in STEPS), "label spreading"]
    columns = {name: lambda line, name=name: line[name] for name in names}
    print(table(lines, columns, "data", "compared by"))
    exit_if_some_failed(lines, settings)


if __name__ == "__main__":
    main()
