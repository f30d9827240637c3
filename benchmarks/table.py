"""Benchmark lines as a Markdown table: the median over seeds and, in brackets, the range.

python benchmarks/table.py benchmarks/results/quality_digits.jsonl
"""

import json
import statistics
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

MEASURES = ("1nn", "linear_all", "linear_1000", "linear_100")


def _getter(place: str, name: str) -> Callable[[dict[str, Any]], float | None]:
    return lambda line: line[place] and line[place][name]


COLUMNS: dict[str, Callable[[dict[str, Any]], float | None]] = {
    f"{short} {name.replace('linear_', 'lin ')}": _getter(place, name)
    for place, short in (("z", "z"), ("hidden", "h"))
    for name in MEASURES
} | {"score": lambda line: line["score"], "updates": lambda line: line["updates"]}


def cell(values: list[float | None]) -> str:
    """Median and range, or nothing where the method has no such figure."""
    known = [value for value in values if value is not None]
    if not known:
        return ""
    form = "{:.0f}" if all(isinstance(value, int) for value in known) else "{:.3f}"
    low, middle, high = (
        form.format(value + 0) for value in (min(known), statistics.median(known), max(known))
    )
    return middle if low == high else f"{middle} ({low} to {high})"


def table(lines: Iterable[dict[str, Any]]) -> str:
    """One row a method, in order of appearance."""
    methods: dict[str, list[dict[str, Any]]] = {}
    for line in lines:
        methods.setdefault(line["method"], []).append(line)
    rows = [["method", *COLUMNS], ["---"] * (len(COLUMNS) + 1)]
    for method, runs in methods.items():
        rows.append([method, *(cell([get(run) for run in runs]) for get in COLUMNS.values())])
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


if __name__ == "__main__":
    for path in sys.argv[1:]:
        print(table(json.loads(line) for line in Path(path).read_text().splitlines()), "\n")
