"""Benchmark lines as Markdown tables: the median over seeds and, in brackets, the range.

One table for each data set of images, a row a method and budget; for all other data sets together
one a measure. What a line does not hold is left empty.

    python benchmarks/table.py benchmarks/results/quality_*.jsonl
"""

import statistics
import sys
from collections.abc import Callable, Iterable
from itertools import chain
from pathlib import Path

from data import IMAGES
from runs import Line, read

Figure = float | None
PROBES = {"1nn": "1nn", "all": "linear_all", "1000": "linear_1000", "100": "linear_100"}


def probe(place: str, name: str) -> Callable[[Line], Figure]:
    """Look up one accuracy of one representation."""
    return lambda line: (line.get(place) or {}).get(name)


def widest(name: str) -> Callable[[Line], Figure]:
    """Look up one accuracy on codes and hidden features together, or on what there is of them."""
    places = ("all", "z", "hidden")
    return lambda line: next((line[p].get(name) for p in places if line.get(p)), None)


QUALITY: dict[str, Callable[[Line], Figure]] = {
    **{
        f"{place} {short}": probe(place, name)
        for place in ("z", "hidden")
        for short, name in PROBES.items()
    },
    "all 100": probe("all", "linear_100"),
    "score": lambda line: line.get("score"),
    "updates": lambda line: line.get("updates"),
}
SUMMARIES: dict[str, Callable[[Line], Figure]] = {
    "accuracy, all labels": widest("linear_all"),
    "ROC AUC, all labels": widest("auc_all"),
    "score": lambda line: line.get("score"),
}


def cell(values: Iterable[Figure]) -> str:
    """Median and range, or nothing where there is no such figure."""
    known = [value for value in values if value is not None]
    if not known:
        return ""
    form = "{:g}" if all(isinstance(value, int) for value in known) else "{:z.3f}"
    low, middle, high = (
        form.format(value) for value in (min(known), statistics.median(known), max(known))
    )
    return middle if low == high else f"{middle} ({low} to {high})"


def markdown(rows: list[list[str]]) -> str:
    """Draw a table; the first row is its head."""
    rows = [rows[0], ["---"] * len(rows[0]), *rows[1:]]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def table(lines: Iterable[Line], columns: dict[str, Callable[[Line], Figure]], *names: str) -> str:
    """One row for each combination of the named entries, in order of appearance."""
    groups: dict[tuple[str, ...], list[Line]] = {}
    for line in lines:
        groups.setdefault(tuple(str(line[name]) for name in names), []).append(line)
    rows = [
        [*group, *(cell(map(get, runs)) for get in columns.values())]
        for group, runs in groups.items()
    ]
    return markdown([[*names, *columns], *rows])


def split(line: Line) -> list[Line]:
    """Return a line, and one of its own for the discriminator's features where they were probed."""
    features = line.get("discriminator")
    if not features:
        return [line]
    own = dict.fromkeys(("z", "all", "score"))
    return [line, {**line, **own, "method": "gan_discriminator", "hidden": features}]


def summary(lines: list[Line], title: str, get: Callable[[Line], Figure]) -> str:
    """One row a data set, one column a method."""
    names, methods = (
        list(dict.fromkeys(line[key] for line in lines)) for key in ("data", "method")
    )
    rows = [
        [name]
        + [
            cell(get(line) for line in lines if (line["data"], line["method"]) == (name, method))
            for method in methods
        ]
        for name in names
    ]
    return markdown([[title, *methods], *rows])


def report(lines: Iterable[Line]) -> str:
    """All tables, those of images first."""
    by_data: dict[str, list[Line]] = {}
    for line in chain.from_iterable(map(split, lines)):
        by_data.setdefault(line["data"], []).append(line)
    texts = [
        f"{name}:\n\n{table(runs, QUALITY, 'method', 'minutes')}"
        for name, runs in by_data.items()
        if name in IMAGES
    ]
    others = [line for name, runs in by_data.items() if name not in IMAGES for line in runs]
    if others:
        texts += [summary(others, title, get) for title, get in SUMMARIES.items()]
    return "\n\n".join(texts)


if __name__ == "__main__":
    print(report(line for path in sys.argv[1:] for line in read(Path(path))))
