"""Learning curves: accuracy on codes against updates and against seconds, as results/curves.svg.

The median over seeds, with the range as a band; PCA as a line. Needs matplotlib.

    python benchmarks/figure.py
"""

import statistics
from typing import Any

from runs import RESULTS, Line, read

NAMES = {"mnist": "MNIST", "fashion_mnist": "Fashion-MNIST"}
METHODS = ("default", "autoencoder", "neighbor_autoencoder", "bigan", "ali")
PROBES = {"linear_100": "linear probe, 100 labels", "1nn": "nearest neighbour"}
SCALES = ("updates", "seconds")


def curve(lines: list[Line], method: str, scale: str, probe: str) -> list[tuple[float, ...]]:
    """Where a method was measured on its way: median of the scale; median, least and greatest."""
    ways = [
        [*line["checkpoints"], line]
        for line in lines
        if line["method"] == method and line.get("checkpoints")
    ]
    points = []
    for moment in zip(*ways, strict=True):
        figures = [point["z"][probe] for point in moment]
        x = statistics.median(point[scale] for point in moment)
        points.append((x, statistics.median(figures), min(figures), max(figures)))
    return points


def draw(axes: Any, lines: list[Line], scale: str, probe: str) -> None:
    """One panel."""
    pca = statistics.median(line["z"][probe] for line in lines if line["method"] == "pca")
    axes.axhline(pca, color="grey", linestyle="--", label="pca")
    for number, method in enumerate(METHODS):
        color = f"C{number}"  # the same in every panel, whatever the others show
        points = curve(lines, method, scale, probe)
        if points:
            x, middle, low, high = zip(*points, strict=True)
            axes.plot(x, middle, marker="o", markersize=3, label=method, color=color)
            axes.fill_between(x, low, high, alpha=0.2, color=color)
    axes.set_xlabel(scale)


def main() -> None:
    """Draw all panels."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise SystemExit("The figure needs matplotlib: python -m pip install matplotlib") from error
    figure = Figure(figsize=(14, 6), layout="constrained")
    rows = figure.subplots(len(NAMES), len(PROBES) * len(SCALES))
    for (name, title), row in zip(NAMES.items(), rows, strict=True):
        lines = read(RESULTS / f"quality_{name}.jsonl")
        panels = [(probe, scale) for probe in PROBES for scale in SCALES]
        for axes, (probe, scale) in zip(row, panels, strict=True):
            draw(axes, lines, scale, probe)
            axes.set_title(f"{title}, {PROBES[probe]}", fontsize="medium")
    handles, labels = rows[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels))
    rows[0][0].set_ylabel("accuracy on codes")
    rows[1][0].set_ylabel("accuracy on codes")
    figure.savefig(RESULTS / "curves.svg")


if __name__ == "__main__":
    main()
