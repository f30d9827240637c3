"""Tables of README.md from results/, and the learning curves.

    python benchmarks/report.py            write every table between its markers
    python benchmarks/report.py --check    fail if a table is stale
    python benchmarks/report.py --curves   draw results/curves.svg (needs matplotlib)

A table stands between `<!-- table: NAME -->` and `<!-- end -->`. A cell is the median over seeds
and, in brackets, the range. Results of the estimator from before the redesign stand under the
method's name, later ones under the name with "(redesign)".
"""

import argparse
import json
import re
import statistics
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

from experiments import EXPERIMENTS
from lines import HERE, RESULTS, Line, read
from quality import anomaly
from quality.data import IMAGES, MULTICLASS, TABLES
from quality.methods import METHODS, learning_rate
from run import listed
from scipy.stats import spearmanr

Get = Callable[[Line], Any]
# Former and tried defaults, told in the section Images of README.md.
TRIED = ("cycle_weight_5", "free_kernels", "first_channels_32", "float32", "scheduled")
ORDER = [*METHODS, *TRIED, "gan_discriminator"]
# Detectors that the benchmark does not have any more.
FORMER_DETECTORS = ("forest_twice", "trimmed_untrained", "egbad_trimmed", "hidden_trimmed")


def markdown(rows: list[list[str]]) -> str:
    """Return a table; the first row is its head."""
    rows = [rows[0], ["---"] * len(rows[0]), *rows[1:]]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def cell(values: Iterable[float | None]) -> str:
    """Return the median and the range, or nothing where there is no such figure."""
    known = [value for value in values if value is not None]
    if not known:
        return ""
    form = "{:g}" if all(isinstance(value, int) for value in known) else "{:z.3f}"
    low, middle, high = (form.format(f(known)) for f in (min, statistics.median, max))
    return middle if low == high else f"{middle} ({low} to {high})"


def found(results: Path, *patterns: str) -> list[Line]:
    """Return the lines of all files that match, in alphabetical order of the files."""
    paths = [path for pattern in patterns for path in sorted(results.glob(pattern))]
    return [line for path in paths for line in read(path)]


def method(line: Line) -> str:
    """Return the method's name, and whether the estimator is that of the redesign."""
    return line["method"] + (" (redesign)" if "parameters" in line else "")


def where(line: Line) -> str:
    """Return the method's name, and the device if it is not the CPU."""
    return line["method"] + (f", {line['device']}" if "device" in line else "")


def rank(line: Line) -> int:
    """Return where the method stands in a table; names of the old runner come last."""
    return ORDER.index(line["method"]) if line["method"] in ORDER else len(ORDER)


def get(name: str, *places: str) -> Get:
    """Return a function that looks a figure up in the first place that has it, or in the line."""

    def look_up(line: Line) -> Any:
        values = ((line.get(place) or {}).get(name) for place in places)
        return next((value for value in values if value is not None), line.get(name))

    return look_up


def table(lines: Iterable[Line], keys: dict[str, Get], figures: dict[str, Get]) -> str:
    """Return a row for each combination of the keys, in order of appearance."""
    groups: dict[tuple[str, ...], list[Line]] = {}
    for line in lines:
        groups.setdefault(tuple(str(key(line)) for key in keys.values()), []).append(line)
    rows = [[*keys, *figures, "commits"]]
    for group, runs in groups.items():
        commits = ", ".join(dict.fromkeys(line["commit"] for line in runs))
        rows.append([*group, *(cell(map(f, runs)) for f in figures.values()), commits])
    return markdown(rows)


def by_method(results: Path, experiment: str, names: Iterable[str]) -> list[Line]:
    """Return the lines of some data sets by method, a GAN's discriminator as one of its own."""
    lines = []
    for line in found(results, *(f"{experiment}_{name}.jsonl" for name in names)):
        lines.append(line)
        if line.get("discriminator"):
            kept = ("data", "commit", "minutes", "updates", "parameters")
            own = {"method": "gan_discriminator", "hidden": line["discriminator"]}
            lines.append({name: line[name] for name in kept if name in line} | own)
    return sorted(lines, key=rank)


def quality(name: str, results: Path) -> str:
    """Return every probe of every method on one data set."""
    probes = {"1nn": "1nn", "all": "linear_all", "1000": "linear_1000", "100": "linear_100"}
    figures = {f"{p} {short}": get(n, p) for p in ("z", "hidden") for short, n in probes.items()}
    figures |= {"all 100": get("linear_100", "all")}
    figures |= {n: get(n) for n in ("score", "c2st", "updates")}
    keys = {"method": method, "minutes": lambda line: f"{line['minutes']:g}"}
    return table(by_method(results, "quality", [name]), keys, figures)


def tables(title: str, figure: Get, results: Path) -> str:
    """Return one figure of every method on every table of data."""
    lines = by_method(results, "quality", sorted(TABLES))
    cells: dict[str, dict[str, list[Any]]] = {line["data"]: {} for line in lines}
    for line in lines:
        cells[line["data"]].setdefault(method(line), []).append(figure(line))
    methods = dict.fromkeys(map(method, lines))
    rows = [[name, *(cell(cells[name].get(m, ())) for m in methods)] for name in sorted(cells)]
    return markdown([[title, *methods], *rows])


def rivals(names: Iterable[str], results: Path) -> str:
    """Return what codes and all features are worth beside rivals, and the time they take."""
    figures = {f"z {n}": get(f"linear_{n}", "z") for n in ("100", "1000", "all")}
    figures |= {"z 1nn": get("1nn", "z")}
    figures |= {f"all {n}": get(f"linear_{n}", "all") for n in ("100", "all")}
    figures |= {"R2": get("score"), "seconds": get("seconds"), "ms a row": get("one_row_ms")}
    lines = [line for name in names for line in by_method(results, "rivals", [name])]
    return table(lines, BY_DATA | {"method": where}, figures)


def codes(experiment: str, keys: dict[str, Get], results: Path) -> str:
    """Return what the codes of an experiment are worth, and the time they take."""
    names = EXPERIMENTS[experiment].data
    lines = [line for name in names for line in by_method(results, experiment, [name])]
    figures = {n: get(f"linear_{n}", "z") for n in ("100", "1000", "all")}
    figures |= {"1nn": get("1nn", "z"), "R2": get("score"), "seconds": get("seconds")}
    return table(lines, BY_DATA | keys, figures)


def images(results: Path) -> str:
    """Return what convolutional networks are worth."""
    lines = [line for name in IMAGES for line in by_method(results, "images", [name])]
    kinds = [(place, n) for place in ("z", "hidden", "all") for n in ("100", "1000", "all")]
    figures = {f"{place} {n}": get(f"svm_{n}", place) for place, n in kinds[:-1]}
    names = ("score", "reconstructions_in_class", "originals_in_class", "largest_class")
    figures |= {n.replace("_", " "): get(n) for n in (*names, "frechet", "c2st")}
    figures |= {n.replace("_", " "): get(n) for n in ("peak_reconstructions", "peak_samples")}
    figures |= {"updates": get("updates")}
    return table(lines, BY_DATA | {"method": method}, figures)


def outliers(protocol: str, results: Path) -> str:
    """Return the ROC AUC of every detector on every table, and the means over the tables."""
    names = anomaly.TABLES
    runs: dict[str, dict[str, dict[int, Line]]] = {}
    for line in found(results, "anomaly_tables.jsonl"):
        if line["protocol"] == protocol:
            cells = runs.setdefault(line["method"], {})
            cells.setdefault(line["data"], {})[line["seed"]] = line
    rows = [["detector", *names, "mean", "average precision", "seconds", "seeds"]]
    for name in [*anomaly.METHODS, *FORMER_DETECTORS]:
        tables = [runs.get(name, {}).get(data, {}) for data in names]
        seeds = sorted(set.intersection(*map(set, tables)))
        if not seeds:
            continue
        medians = [statistics.median(t[seed]["roc_auc"] for seed in seeds) for t in tables]
        means = [
            cell(statistics.mean(t[seed][figure] for t in tables) for seed in seeds)
            for figure in ("roc_auc", "average_precision")
        ]
        seconds = statistics.median(line["seconds"] for t in tables for line in t.values())
        figures = [*(f"{value:.3f}" for value in medians), *means, f"{seconds:.1f}"]
        rows.append([name, *figures, str(len(seeds))])
    return markdown(rows)


def spoiled(results: Path) -> str:
    """Return how often the spoiled column of a row is named first."""
    lines = [line for line in found(results, "anomaly_tables.jsonl") if "named_first" in line]
    keys = BY_DATA | {"detector": get("method")}
    return table(lines, keys, {"named first": get("named_first")})


def images_of_one_class(names: tuple[str, ...], results: Path) -> str:
    """Return how well detectors tell one class of images from the others."""
    lines = found(results, *(f"anomaly_{name}.jsonl" for name in anomaly.IMAGES))
    return table(lines, BY_DATA | {"detector": get("method")}, {n: get(n) for n in names})


def simple(
    name: str, keys: dict[str, Get], figures: tuple[str, ...] | dict[str, Get], results: Path
) -> str:
    """Return a table of an experiment whose figures are in the lines, or in those of codes."""
    if isinstance(figures, tuple):
        figures = {n: get(n, "z") for n in figures}
    before = "gpu" if name == "precision" else name  # the file of the old runner
    return table(found(results, f"{before}.jsonl", f"{name}_*.jsonl"), keys, figures)


def base(line: Line) -> str:
    """Return the name of a data set without what is said in a column of its own."""
    return line["data"].removesuffix("_5000").removesuffix("_raw")


def columns(line: Line) -> str:
    """Return what was done to the units of the columns."""
    return line.get("columns") or ("standardized" if line["standardised"] else "raw")


def place(line: Line) -> str:
    """Return the features that the table of precisions is about."""
    return "hidden" if line["data"] == "cifar10" else "z"


def learning_rates(results: Path) -> str:
    """Return the rates that did best on held-out training rows."""
    rows = [["networks", "data", "learning rate"]]
    for kind, pattern in (("mlp", "tuning*.jsonl"), ("dcgan", "images_tuning*.jsonl")):
        tried: dict[str, set[str]] = {}
        for line in found(results, pattern):
            tried.setdefault(line["data"], set()).add(line["method"])
        for name, methods in tried.items():
            rates = {m: learning_rate(name, m, kind == "dcgan", results) for m in sorted(methods)}
            rows.append([kind, name, ", ".join(f"{m} {rate:g}" for m, rate in rates.items())])
    return markdown(rows)


def latest(results: Path, name: str, part: str) -> Line:
    """Return the newest figures of a part of a benchmark of speed.

    Those from before the one runner are in one JSON file, by parts or of one part only.
    """
    lines = read(results / f"{name}_{part}.jsonl")
    if lines:
        return lines[-1]
    old = json.loads((results / f"{'roofline' if name == 'transform' else name}.json").read_text())
    about = {key: old[key] for key in ("date", "commit", "cpu", "gpu") if key in old}
    nested = old.get("transform" if name == "transform" else part)
    return old if nested is None else about | nested


def measured(head: list[str], rows: Iterable[list[Any]], *figures: Line) -> str:
    """Return a table, and when, where and at which commit it was measured."""
    about = (f"{x['date']}, commit {x['commit']}, {x.get('gpu') or x['cpu']}" for x in figures)
    text = markdown([head, *(list(map(number, row)) for row in rows)])
    return f"{text}\n\nMeasured: {'; '.join(dict.fromkeys(about))}."


def number(value: Any) -> str:
    """Return a cell of one figure, or of a median, the least and the greatest."""
    if isinstance(value, list):
        return "{} ({} to {})".format(*map(number, value))
    if value is None or isinstance(value, str | bool):
        return {None: "", True: "yes", False: "no"}.get(value, value)
    if isinstance(value, int):
        return f"{value:,}"
    size = abs(value)
    if 0 < size < 0.01:
        return f"{value:.2g}"
    digits = 0 if size >= 100 else 1 if size >= 20 else 2
    return f"{value:,.{digits}f}"


def ratio(figures: Line) -> list[float]:
    """Return the ratio of what was timed in turns: median, least and greatest."""
    return [figures["ratio"], figures["least"], figures["greatest"]]


def grid(name: str, part: str, head: str, results: Path, names: Iterable[str] = ()) -> str:
    """Return a row for each entry of a part that has figures of its own, a column for each."""
    figures = latest(results, name, part)
    rows = {n: dict(x) for n, x in figures.items() if isinstance(x, dict) and n != "versions"}
    for own in rows.values():
        if "least" in own:
            own["ratio"] = ratio(own)
    names = names or dict.fromkeys(column for own in rows.values() for column in own)
    cells = ([n, *map(own.get, names)] for n, own in rows.items())
    text = measured([head, *(n.replace("_", " ") for n in names)], cells, figures)
    alone = [f"{n.replace('_', ' ')} {x:,}" for n, x in figures.items() if type(x) in (int, float)]
    return f"{text} Also: {'; '.join(alone)}." if alone else text


def roofline(suffix: str, results: Path) -> str:
    """Return steps on tables over their bare products."""
    part = latest(results, "roofline", "tables")
    recipes = ("bigan", "ali", "default")
    rows = []
    for name in part["bigan"]:
        own = [part[recipe + suffix][name] for recipe in recipes]
        seconds = own[0]["seconds"], own[-1]["seconds"]
        rows.append([name, *map(ratio, own), *(1e3 * x for x in seconds)])
    return measured(["step", *recipes, "ms: bigan", "ms: default"], rows, part)


def roofline_images(results: Path) -> str:
    """Return steps on images over their bare products."""
    part = latest(results, "roofline", "images")
    head = ["network", "28 x 28 x 1", "32 x 32 x 3", "seconds a step, 32 x 32 x 3", "MB"]
    rows = []
    for network in ("dcgan", "ali"):
        small, large = part[network]["28x28x1"], part[network]["32x32x3"]
        others = large["seconds"], part[network].get("peak_megabytes")
        rows.append([network, ratio(small), ratio(large), *others])
    return measured(head, rows, part)


def profile(results: Path) -> str:
    """Return the share of each kind of kernel in a step; the code that measured it is gone."""
    part = latest(results, "roofline", "profile")
    shapes = [name for name in part if name.endswith("batch 128")]
    rows = ([purpose, *(part[shape][purpose] for shape in shapes)] for purpose in part[shapes[0]])
    return measured(["share of a step", *shapes], rows, part)


def peers(shape: str, results: Path) -> str:
    """Return what other libraries and loops take."""
    part = latest(results, "peers", shape)
    ours = ("bigan", "bigan_compiled", "default")
    head = ["peer", "weights", "training, rows a second", *(f"{own} / peer" for own in ours)]
    head += ["predict, rows a second", "bigan / peer", "one row, ms", "MB", "pickle, MB"]
    rows = []
    for name, size in part["parameters"].items():
        training, predict = part["training"][name], part["predict"][name]
        row = [name, size, training["rows_a_second"][0], *(training[f"{x}_times"] for x in ours)]
        row += [predict["rows_a_second"][0], predict["bigan_times"]]
        row += [1e3 * part["one_row_seconds"][name][0], part["peak_megabytes"][name]]
        rows.append([*row, part["pickle_bytes"][name] / 1e6])
    return measured(head, rows, part)


def imports(results: Path) -> str:
    """Return what importing takes; the code that measured it is gone."""
    part = latest(results, "peers", "imports")
    took = part["import_seconds"]
    rows = ([name, seconds, ", ".join(part["loaded"][name])] for name, seconds in took.items())
    return measured(["import", "seconds", "loads"], rows, part)


def selection(results: Path) -> str:
    """Return how each score ranks numbers of components, and what taking its best one costs.

    Spearman's correlation with the accuracy with 100 labels, and the best accuracy less that of the
    choice, in points; medians over seeds.
    """
    experiment = EXPERIMENTS["selection"]
    fits: dict[tuple[str, int], list[Line]] = {}
    lines = found(results, *(f"selection_{name}.jsonl" for name in experiment.data))
    for line in lines:
        fits.setdefault((line["data"], line["seed"]), []).append(line)
    names = [name for name in lines[0] if name.endswith("_score")]
    rows = []
    for name in (*names, "n_components"):
        ranks: dict[str, list[float]] = {}
        lost = []
        for (data, _), runs in fits.items():
            accuracy = [run["z"]["linear_100"] for run in runs]
            own = [run[name] for run in runs]
            ranks.setdefault(data, []).append(float(spearmanr(own, accuracy).statistic))
            lost.append(100 * (max(accuracy) - accuracy[own.index(max(own))]))
        every = [rank for of_data in ranks.values() for rank in of_data]
        shown = [*(statistics.median(ranks[data]) for data in experiment.data)]
        spread = [[statistics.median(x), min(x), max(x)] for x in (every, lost)]
        rows.append([f"`{name}`", *shown, *spread])
    head = ["score", *experiment.data, "all four", "points lost"]
    return measured(head, rows, *lines)


def processes(results: Path) -> str:
    """Return what two processes gain over one; all_reduce was once measured with waiting."""
    head = ["case", "weights", "MB a step", "rows a second, one", "two", "ratio"]
    names = ("parameters", "megabytes_a_step", "one_rows_a_second", "two_rows_a_second")
    cases = ("table 32", "mlp 784", "mlp 784, batch 1024", "dcgan 32x32x3")
    parts = [latest(results, "processes", case) for case in cases]
    rows = []
    for case, x in zip(cases, parts, strict=True):
        alone = x.get("all_reduce_seconds")
        shares = x.get("all_reduce_share"), alone and alone / x["two_step_seconds"]
        rows.append([case, *(x[name] for name in names), x["throughput_ratio"], *shares])
    return measured([*head, "all_reduce with waiting", "all_reduce by itself"], rows, *parts)


def experiments(results: Path) -> str:
    """Return the table of experiments."""
    rows = [[f"`{name}`", question] for name, question, *_ in listed()]
    return markdown([["experiment", "question"], *rows])


LINEAR = ("linear_100", "linear_1000", "linear_all")
SCORES = ("reconstruction", "sample", "prior", "trustworthiness")
TIMES = ("ratio", "seconds", "floor_seconds")
BY_DATA: dict[str, Get] = {"data": get("data")}
# Keys and figures of the experiments that have simple tables.
SIMPLE: dict[str, tuple[dict[str, Get], tuple[str, ...] | dict[str, Get]]] = {
    "clusters": (
        BY_DATA | {"n_clusters": get("n_clusters"), "method": method},
        ("nmi", "purity", "accuracy"),
    ),
    "modes": ({"data": base, "rows": get("rows"), "method": method}, ("modes", "near")),
    "neighbors": (
        BY_DATA | {"compared by": lambda line: line.get("compared by") or line["method"]},
        ("after 1", "after 2", "after 4", "label spreading"),
    ),
    "units": (
        {"data": base, "columns": columns, "method": method},
        {
            "linear": lambda line: line.get("linear") or get("linear_all", "z")(line),
            **{"1nn": get("1nn", "z"), "score": get("score")},
        },
    ),
    "blocks": (BY_DATA | {"blocks": get("blocks")}, (*LINEAR, "score")),
    "precision": (
        BY_DATA | {"features": place, "precision": get("precision")},
        {n: lambda line, n=n: get(n, place(line))(line) for n in (*LINEAR, "score")},
    ),
}
TABLES_OF_README: dict[str, Callable[[Path], str]] = {
    **{f"quality_{name}": partial(quality, name) for name in ("digits", "mnist", "fashion_mnist")},
    "tables_accuracy": partial(tables, "accuracy", get("linear_all", "all", "z", "hidden")),
    "tables_auc": partial(tables, "ROC AUC", get("auc_all", "all", "z", "hidden")),
    "tables_score": partial(tables, "score", get("score")),
    "rivals_images": partial(rivals, ("digits", "mnist", "fashion_mnist")),
    "rivals_tables": partial(rivals, MULTICLASS),
    **{name: partial(simple, name, *columns) for name, columns in SIMPLE.items()},
    "few_rows": partial(codes, "few_rows", {"method": get("method")}),
    "ladder": partial(codes, "ladder", {"default, but": where}),
    "selection_scores": partial(
        simple,
        "selection",
        BY_DATA | {"n_components": get("n_components")},
        {"100 labels": get("linear_100", "z")} | {n: get(f"{n}_score") for n in SCORES},
    ),
    "length": partial(codes, "length", {"max_epochs": get("max_epochs")}),
    **{f"anomaly_{name}": partial(outliers, name) for name in anomaly.RANKED},
    "anomaly_spoiled": spoiled,
    "anomaly_kdd": partial(
        simple,
        "anomaly_kdd",
        {"detector": get("method")},
        {n: get(n) for n in ("precision", "recall", "f1", "roc_auc", "seconds")},
    ),
    "anomaly_images": partial(images_of_one_class, ("roc_auc", "average_precision", "seconds")),
    "roofline": partial(roofline, ""),
    "roofline_compiled": partial(roofline, ", compiled"),
    **{f"peers_{shape}": partial(peers, shape) for shape in ("small", "table", "images")},
    **{f.__name__: f for f in (experiments, learning_rates, images, selection)},
    **{f.__name__: f for f in (roofline_images, profile, imports, processes)},
    "transform": partial(grid, "transform", "encoders", "encoder", names=TIMES),
    "transform_guards": partial(
        grid, "transform", "guards", "encoder", names=("microseconds", *TIMES)
    ),
    "transform_onnx": partial(grid, "transform", "onnx", "encoder", names=TIMES),
    "transform_detectors": partial(grid, "transform", "detectors", "networks", names=TIMES),
    "scale": partial(grid, "scale", "rows", "rows"),
    "duration_tables": partial(grid, "duration", "tables", "rows"),
    "duration_images": partial(grid, "duration", "images", "images"),
    "threads": partial(grid, "threads", "fit", "rows x columns"),
    "search": partial(grid, "search", "engines", "engine"),
    "gpu": partial(grid, "gpu", "steps", "milliseconds a step"),
    "kill": partial(grid, "kill", "fit", "killed at"),
    "fuzz": partial(grid, "fuzz", "load", "mutation of"),
    "endurance_cycles": partial(grid, "endurance", "cycles", "held"),
    "endurance_fit": partial(grid, "endurance", "fit", "held"),
}
BLOCK = re.compile(r"(<!-- table: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def updated(text: str, results: Path) -> tuple[str, list[str]]:
    """Return the text with every table regenerated, and the names of those that changed."""
    stale = []

    def made(block: re.Match[str]) -> str:
        start, name, end = block.groups()
        whole = f"{start}\n{TABLES_OF_README[name](results)}\n\n{end}"
        if whole != block[0]:
            stale.append(name)
        return whole

    return BLOCK.sub(made, text), stale


CURVES = ("default", "default (redesign)", "autoencoder", "neighbor_autoencoder", "bigan", "ali")


def curve(lines: list[Line], name: str, scale: str, probe: str) -> list[tuple[float, ...]]:
    """Return where a method was on its way: median of the scale; median and range of the probe."""
    ways = [[*x["checkpoints"], x] for x in lines if method(x) == name and x.get("checkpoints")]
    ways = [way for way in ways if len(way) == max(map(len, ways))]
    points = []
    for moment in zip(*ways, strict=True):
        figures = [point["z"][probe] for point in moment]
        x = statistics.median(point[scale] for point in moment)
        points.append((x, statistics.median(figures), min(figures), max(figures)))
    return points


def draw_curves(results: Path) -> None:
    """Draw accuracy on codes against updates and seconds; PCA is a line."""
    from matplotlib.figure import Figure

    sets = {"mnist": "MNIST", "fashion_mnist": "Fashion-MNIST"}
    probes = {"linear_100": "linear probe, 100 labels", "1nn": "nearest neighbor"}
    panels = [(probe, scale) for probe in probes for scale in ("updates", "seconds")]
    figure = Figure(figsize=(14, 6), layout="constrained")
    grid = figure.subplots(2, len(panels))
    for name, row in zip(sets, grid, strict=True):
        lines = found(results, f"quality_{name}.jsonl")
        for axes, (probe, scale) in zip(row, panels, strict=True):
            pca = statistics.median(x["z"][probe] for x in lines if x["method"] == "pca")
            axes.axhline(pca, color="gray", linestyle="--", label="pca")
            for number, one in enumerate(CURVES):
                points = curve(lines, one, scale, probe)
                if points:
                    x, middle, low, high = zip(*points, strict=True)
                    color = f"C{number}"  # the same in every panel
                    axes.plot(x, middle, marker="o", markersize=3, label=one, color=color)
                    axes.fill_between(x, low, high, alpha=0.2, color=color)
            axes.set_xlabel(scale)
            axes.set_title(f"{sets[name]}, {probes[probe]}", fontsize="medium")
        row[0].set_ylabel("accuracy on codes")
    handles, labels = grid[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels))
    figure.savefig(results / "curves.svg")


def main(arguments: list[str] | None = None) -> None:
    """Write or check the tables, or draw the curves."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="fail if a table is stale")
    parser.add_argument("--curves", action="store_true", help="draw the learning curves")
    parser.add_argument("--results", type=Path, default=RESULTS, metavar="DIR")
    parser.add_argument("--readme", type=Path, default=HERE / "README.md", metavar="FILE")
    args = parser.parse_args(arguments)
    if args.curves:
        return draw_curves(args.results)
    text, stale = updated(args.readme.read_text(), args.results)
    if args.check and stale:
        raise SystemExit(f"Stale, run python benchmarks/report.py: {', '.join(stale)}")
    if not args.check:
        args.readme.write_text(text)


if __name__ == "__main__":
    main()
