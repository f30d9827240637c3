"""The benchmarks: the experiments, their runs and lines, metrics, clocks and the report."""

import json
import sys
import time
from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from sklearn_bigan import BiGANTransformer
from sklearn_bigan.networks.dcgan import Upsampling, WholeMapConvolution

# What is trained here for a moment converges nowhere.
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def noise(n_rows, center=0.0, seed=0):
    return center + np.random.default_rng(seed).normal(size=(n_rows, 3))


def test_every_experiment_names_what_there_is(module):
    table = module("experiments")
    metrics = table.PROBES.keys() | table.METRICS.keys()
    names = {"data": table.DATA, "methods": table.METHODS, "metrics": metrics}
    for name, experiment in table.EXPERIMENTS.items():
        for column, known in names.items():
            assert set(getattr(experiment, column)) <= set(known), (name, column)
        settings = list(table.settings(name))
        distinct = {json.dumps(setting, sort_keys=True) for setting in settings}
        assert len(distinct) == len(settings) > 0
        for setting in settings:
            if "parameters" in setting:
                given = table.parameters(setting, experiment.image_shape(setting["data"]))
                given.pop("max_updates", None)
                BiGANTransformer(**given)
    used = {m for experiment in table.EXPERIMENTS.values() for m in experiment.methods}
    assert used == set(table.METHODS)


@pytest.mark.parametrize("method", ["pca", "label_spreading"])
def test_a_run_of_rivals_has_accuracies_and_times(module, tmp_path, capsys, method):
    path = tmp_path / "lines.jsonl"
    command = ["rivals", "--data", "digits", "--methods", method, "--seeds", "0"]
    module("run").main([*command, "--minutes", "0.005", "--out", str(path)])
    (line,) = module("lines").read(path)
    assert all(line["z"][f"linear_{n}"] > 0.5 for n in (100, 1000, "all"))
    assert line["transform_seconds"] > 0
    assert 0 < line["one_row_ms"] < 1000
    assert ("training_seconds" in line) == (method == "label_spreading")


@pytest.mark.parametrize("method", ["default", "isolation_forest", "local_outlier_factor"])
def test_a_detector_of_one_class_of_digits_finds_the_others(
    module, tmp_path, capsys, monkeypatch, method
):
    monkeypatch.setitem(module("quality.anomaly").IMAGE_EPOCHS, "digits", 5)
    path = tmp_path / "lines.jsonl"
    command = ["anomaly", "--data", "digits_0", "--methods", method, "--seeds", "0"]
    module("run").main([*command, "--out", str(path)])
    (line,) = module("lines").read(path)
    assert line["roc_auc"] > 0.9
    assert 0 < line["average_precision"] <= 1
    assert line["rows"] < 178 < 540 == line["scored"]


def test_a_spoiled_column_is_named_first(module):
    anomaly = module("quality.anomaly")
    settings = list(anomaly.settings(data=["cardio"], seeds=[0]))
    assert [s["method"] for s in settings if s["protocol"] == "spoiled"] == ["default"]
    X = noise(300)
    assert anomaly.named_first((X - X.mean(0)) / X.std(0), np.zeros(300), 0) > 0.9


def test_the_protocols_of_outliers_differ_in_what_is_fitted_to(module, tmp_path):
    X = np.vstack([noise(3000), noise(100, center=9)])
    y = np.repeat([0, 1], [3000, 100])
    np.savez(tmp_path / "tabular_anomaly.npz", cardio__X=X, cardio__y=y)
    load_rows = module("quality.anomaly").load_rows
    fitted, scored, is_odd = load_rows("cardio", "contaminated", 0, tmp_path)
    assert scored is fitted
    assert is_odd.sum() == 65  # of 2000, as of the table
    normal, others, is_odd = load_rows("cardio", "novelty", 0, tmp_path)
    assert normal.max() < 9
    assert (len(normal), len(others), is_odd.sum()) == (967, 1033, 65)
    _, permuted, is_odd = load_rows("cardio", "permuted", 0, tmp_path)
    assert (len(permuted), is_odd.sum()) == (1935 + 194, 194)
    values, of_odd = permuted[is_odd == 0], permuted[is_odd == 1]
    assert all(np.isin(of_odd[:, j], values[:, j]).all() for j in range(X.shape[1]))
    assert not (of_odd[:, None] == values).all(axis=2).any()


@pytest.mark.parametrize("method", ["pca", "default", "neighbor_autoencoder", "latent_regression"])
def test_a_run_appends_one_line_and_is_not_repeated(module, tmp_path, capsys, method):
    path = tmp_path / "lines.jsonl"
    command = ["quality", "--data", "digits", "--methods", method, "--seeds", "3"]
    for _ in range(2):
        module("run").main([*command, "--minutes", "0.005", "--out", str(path)])
    (line,) = module("lines").read(path)
    setting = {"experiment": "quality", "data": "digits", "method": method, "seed": 3}
    assert setting.items() <= line.items()
    assert {"commit", "date", "cpu", "versions", "command", "rows"} <= line.keys()
    assert line["rows"] == 1257
    assert line["z"]["linear_100"] > 0.5
    assert (line["hidden"] is None) == (method == "pca")
    assert (line["discriminator"] is None) == (method != "latent_regression")
    assert (line["c2st"] is None) == (method in ("pca", "neighbor_autoencoder"))
    assert (line["updates"] == 0) == (method == "pca")


def test_images_are_drawn_and_searched_for_grids(module, tmp_path, capsys, no_figures, monkeypatch):
    path, folder = tmp_path / "lines.jsonl", tmp_path / "pictures"
    table = module("experiments").EXPERIMENTS  # without the classifiers, which take longest
    monkeypatch.setitem(table, "pictures", replace(table["pictures"], metrics=("spectrum",)))
    command = ["pictures", "--data", "digits", "--minutes", "0.005"]
    given = ["--out", str(path), "--pictures", str(folder)]
    module("run").main([*command, *given])
    (line,) = module("lines").read(path)
    assert line["peak_reconstructions"] > 0
    assert line["peak_samples"] > 0
    made = {file.stem for file in (folder / "digits" / "default").glob("*.png")}
    assert made == {
        *("reconstructions", "reconstructions_alone", "interpolations"),
        *("samples", "samples_and_nearest"),
    }


def test_lines_from_before_stand_for_methods_that_the_package_has_no_part_in(module):
    table, lines = module("experiments"), module("lines")
    known = lines.read(lines.RESULTS / "quality_digits.jsonl")
    only_there = [line for line in known if "command" not in line]
    for method, stands in (("pca", True), ("autoencoder", True), ("default", False)):
        (setting,) = table.settings("quality", data=["digits"], methods=[method], seeds=[0])
        assert (lines.find(setting, only_there) is not None) == stands


def test_a_failure_loses_no_other_run(module, tmp_path, capsys):
    lines, path = module("lines"), tmp_path / "new" / "lines.jsonl"
    fixed = {"experiment": "quality", "n_components": 2, "validate": False}
    settings = [fixed | {"seed": seed} for seed in range(3)]

    def run(setting):
        if setting["seed"] == 1:
            raise ValueError("no luck")
        return {"score": 0.5}

    with pytest.raises(SystemExit, match="1 of 3 runs failed"):
        lines.resume(run, settings, lambda _: path)
    assert "no luck" in capsys.readouterr().err
    assert [line["seed"] for line in lines.read(path)] == [0, 2]


def test_codes_are_measured_at_a_mark_and_training_goes_on_undisturbed(module):
    methods = module("quality.methods")
    X = np.random.default_rng(0).random((300, 4), dtype=np.float32)
    fixed = {"n_components": 2, "max_epochs": 3, "random_state": 0, "device": "cpu"}

    def look(encode):
        return encode(X)

    plain, watched = (
        methods.estimator(X, methods.Budget(60, marks, look), **fixed) for marks in ([], [0])
    )
    (seen,) = watched.budget.seen
    assert seen["updates"] * 3 == watched.budget.updates
    codes = [model.encode(X)["z"] for model in (plain, watched)]
    np.testing.assert_array_equal(*codes)
    np.testing.assert_array_equal(watched.transform(X), codes[1])
    assert not np.allclose(seen["z"], codes[0])


def test_splits_are_disjoint_stratified_and_scaled_by_the_training_rows(module, tmp_path):
    data = module("quality.data")
    X_train, y_train, X_test, y_test = data.load("blobs", tmp_path, validate=False)
    assert (len(X_train), len(X_test), X_train.dtype) == (7000, 3000, np.float32)
    np.testing.assert_allclose(X_train.mean(axis=0), 0, atol=1e-4)
    np.testing.assert_allclose(X_train.std(axis=0), 1, atol=1e-4)
    shares = [np.bincount(y) / len(y) for y in (y_train, y_test)]
    np.testing.assert_allclose(*shares, atol=1e-3)
    assert not {row.tobytes() for row in X_train} & {row.tobytes() for row in X_test}
    held_out = data.load("blobs", tmp_path, validate=True)
    both = np.concatenate([held_out[0], held_out[2]])
    np.testing.assert_array_equal(np.sort(both, axis=0), np.sort(X_train, axis=0))
    with pytest.raises(SystemExit, match=r"mnist\.npz is missing"):
        data.load("mnist", tmp_path, validate=False)
    one, other = (data.load("wine", tmp_path, validate=False, seed=seed)[0] for seed in (0, 1))
    assert not np.array_equal(one, other)


def test_tables_with_several_classes_are_split_by_the_seed(module, tmp_path):
    data, random = module("quality.data"), np.random.default_rng(0)
    with pytest.raises(SystemExit, match=r"tables_multiclass\.npz is missing"):
        data.load("vowel", tmp_path, validate=False)
    arrays = {}
    for name, columns in data.MULTICLASS_COLUMNS.items():
        arrays[f"{name}__X"] = random.normal(5, 3, (100, columns))
        arrays[f"{name}__y"] = np.repeat(np.arange(5, dtype=np.int16), 20)
    np.savez(tmp_path / "tables_multiclass.npz", **arrays)
    assert len(data.MULTICLASS) == 10
    for name, columns in data.MULTICLASS_COLUMNS.items():
        X_train, y_train, X_test, y_test = data.load(name, tmp_path, validate=False, seed=1)
        assert (X_train.shape, X_test.shape) == ((70, columns), (30, columns))
        assert X_train.dtype == X_test.dtype == np.float32
        np.testing.assert_allclose(X_train.mean(axis=0), 0, atol=1e-5)
        np.testing.assert_allclose(X_train.std(axis=0), 1, atol=1e-5)
        assert set(np.bincount(y_train)) == {14}
        assert set(np.bincount(y_test)) == {6}
    one, again, other, held_out = (
        data.load("vowel", tmp_path, validate=validate, seed=seed)[0]
        for seed, validate in ((0, False), (0, False), (1, False), (1, True))
    )
    np.testing.assert_array_equal(one, again)
    assert not np.array_equal(one, other)
    assert {row.tobytes() for row in held_out} < {row.tobytes() for row in other}
    counts = {name: data.DATA[name].n_components for name in ("vowel", "segment", "gas_drift")}
    assert counts == {"vowel": 5, "segment": 9, "gas_drift": 16}
    assert data.DATA["usps"].n_components == 32


def test_a_probe_of_codes_with_their_own_scales_hears_the_loud_ones(module):
    metrics, methods = module("quality.metrics"), module("quality.methods")
    y = np.repeat([0, 1], 200)
    X = np.random.default_rng(0).normal(size=(400, 20)) * np.append(10.0, np.full(19, 0.1))
    X[:, 0] += 20 * y
    probes = {scaled: metrics.linear_probe(X, y, scaled) for scaled in (True, False)}
    moved = {s: np.abs(p[-1].coef_[0]) * p[0].transform(X).std(axis=0) for s, p in probes.items()}
    quiet = {scaled: one[1:].max() / one[0] for scaled, one in moved.items()}
    assert quiet[False] < 0.2 * quiet[True]
    np.testing.assert_allclose(probes[False][0].transform(X).var(axis=0).mean(), 1)
    # in other units, all of them alike, nothing is different
    assert metrics.linear_probe(1000 * X, y, False).score(1000 * X, y) == probes[False].score(X, y)
    fixed = {"n_components": 2, "random_state": 0}
    found = {}
    for name in ("columns", "pca", "pca_whitened", "pca_own_scales"):
        method = methods.METHODS[name]
        model = method.fit(X, methods.Budget(), **method.parameters, **fixed)
        assert model.scaled == (name != "pca_own_scales")
        found[name] = model.encode(X)["z"]
    np.testing.assert_array_equal(found["columns"], X)
    np.testing.assert_array_equal(found["pca"], found["pca_own_scales"])
    np.testing.assert_allclose(found["pca_whitened"].std(axis=0), 1, rtol=0.01)


def test_every_step_of_the_ladder_changes_the_codes_or_the_reconstruction(module):
    methods = module("quality.methods")
    X = np.append(noise(150), np.full((1, 3), 1e3, np.float32), axis=0)
    fixed = {"n_components": 2, "random_state": 0, "device": "cpu", "max_epochs": 2}

    def learned(name):
        method = methods.METHODS[name]
        model = method.fit(X, methods.Budget(), **method.parameters, **fixed)
        return np.append(model.encode(X)["z"], model.reconstruct(X))

    default = learned("default")
    for step in methods.LADDER:
        assert not np.array_equal(learned(step), default), step
    # what was replaced is back
    np.testing.assert_array_equal(learned("default"), default)


@pytest.mark.parametrize("name", ["label_spreading", "poisson_learning"])
def test_a_label_spreads_to_its_blob_and_to_rows_near_it(module, name):
    methods = module("quality.methods")
    y = np.repeat([3, 8], 100)
    X, X_test = (noise(200, seed=seed) + 6 * (y == 8)[:, None] for seed in (0, 1))
    model = methods.METHODS[name].fit(X, methods.Budget(), n_components=2, random_state=0)
    rows_of_test = model.encode(X_test)["rows"]
    for rows in ([0, 100], [100, 0], [5, 6, 7, 150]):
        predict = model.classify(np.array(rows), y[rows])
        np.testing.assert_array_equal(predict(np.arange(200)), y)
        np.testing.assert_array_equal(predict(rows_of_test), y)


def test_poisson_learning_solves_poissons_equation(module, monkeypatch):
    classifiers, neighbors = module("quality.classifiers"), module("quality.neighbors")
    monkeypatch.setattr(classifiers, "KILLED", 1e-9)
    points = noise(60)
    graph = neighbors.neighbor_graph(points)
    edges = neighbors.both_ways(graph, neighbors.nearness(points, graph))
    rows, y = np.arange(9), np.array([0, 0, 0, 0, 0, 1, 1, 2, 2])
    sources = np.zeros((60, 3))
    sources[rows] = np.eye(3)[y] - [5 / 9, 2 / 9, 2 / 9]
    degrees = edges.sum(axis=1)
    u = np.linalg.pinv(np.diag(degrees) - edges.toarray()) @ sources
    u -= degrees @ u / degrees.sum()
    found = classifiers.poisson_learning(edges, rows, y)
    np.testing.assert_array_equal(found, u.argmax(axis=1))
    assert set(found) == {0, 1, 2}


@pytest.mark.parametrize("name", ["svc", "hist_gradient_boosting"])
def test_a_classifier_gets_the_labels_of_the_probes_and_is_timed(module, name):
    methods, metrics = module("quality.methods"), module("quality.metrics")
    y = np.repeat([0, 1], 75)
    X = (noise(150) + 20 * y[:, None]).astype(np.float32)
    fixed = {"n_components": 2, "random_state": 0}
    model = methods.METHODS[name].fit(X, methods.Budget(), **fixed)
    draws = metrics.labeled(y, 100)
    seen = []

    def classify(rows, labels, model_classify=model.classify):
        seen.append(rows)
        np.testing.assert_array_equal(labels, y[rows])
        return model_classify(rows, labels)

    model.classify = classify
    measured = metrics.Measured("none", (X, y, X, y))
    figures = metrics.accuracy(model, measured)
    assert figures["z"] == {"linear_100": 1.0, "linear_1000": None, "linear_all": 1.0}
    assert figures["training_seconds"] > 0
    assert figures["transform_seconds"] > 0
    assert figures["one_row_ms"] > 0
    np.testing.assert_array_equal(np.concatenate(seen[:-1]), np.concatenate(draws))
    assert len(seen[-1]) == 150
    model.most_labels = 149
    assert metrics.accuracy(model, measured)["z"]["linear_all"] is None
    assert metrics.times(model, measured) == {}


def test_few_calls_time_what_is_slow(module, monkeypatch):
    metrics = module("quality.metrics")
    calls, clock = [], iter(range(1000))
    monkeypatch.setattr(metrics.time, "process_time", lambda: 2.0 * next(clock))
    figures = metrics.clocked(lambda X: calls.append(len(X)), np.zeros((10, 2)))
    assert calls == [10, 1, 1, 1]
    assert figures == {"transform_seconds": 2.0, "one_row_ms": 2000.0}


@pytest.mark.parametrize("name", ["umap", "pacmap"])
def test_a_rival_that_is_missing_names_the_extra(module, monkeypatch, name):
    methods = module("quality.methods")
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(SystemExit, match=rf"{name} is missing.*\[bench\]"):
        methods.METHODS[name].fit(noise(50), methods.Budget(), n_components=2, random_state=0)


@pytest.mark.slow  # numba compiles for up to a minute
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["umap", "umap_of_hidden", "pacmap"])
def test_an_embedding_keeps_blobs_apart_and_places_new_rows(module, name):
    pytest.importorskip(name.removesuffix("_of_hidden"), reason="needs the extra bench")
    methods, y = module("quality.methods"), np.repeat([0, 1], 50)
    X, X_test = ((noise(100, seed=seed) + 9 * y[:, None]).astype(np.float32) for seed in (0, 1))
    model = methods.METHODS[name].fit(X, methods.Budget(), n_components=2, random_state=0)
    codes = [model.encode(rows)["z"] for rows in (X, X_test)]
    assert [found.shape for found in codes] == [(100, 2), (100, 2)]
    np.testing.assert_array_equal(codes[0], model.encode(X)["z"])
    figures = module("quality.metrics").nearest(codes[0], y, codes[1], y)
    assert figures["1nn"] > 0.95


def test_probes_of_perfect_and_of_meaningless_codes(module):
    metrics = module("quality.metrics")
    y = np.repeat([0, 1], 100)
    perfect, meaningless = noise(200) + 20 * y[:, None], noise(200)
    for name, probe in metrics.PROBES.items():
        known = {k: v for k, v in probe(perfect, y, perfect, y).items() if v is not None}
        assert set(known.values()) == {1.0}, name
    assert metrics.linear(meaningless[::2], y[::2], meaningless[1::2], y[1::2])["auc_all"] < 0.7
    assert metrics.neighborhoods(meaningless, y, None, None)["after 4"] < 0.65
    figures = metrics.few_labels(perfect, y, perfect, y)
    assert figures == {"linear_1000": None, "linear_100": 1.0}
    assert metrics.nearest(meaningless[::2], y[::2], meaningless[1::2], y[1::2])["1nn"] < 0.65


def test_metrics_of_known_models(module):
    metrics, Model = module("quality.metrics"), module("quality.methods").Model
    X, alike, far = noise(500), noise(500, seed=1), noise(500, center=30, seed=1)
    measured = metrics.Measured("none", (X, None, X, None))
    identity = Model(None, reconstruct=lambda X: X, sample=lambda n: alike[:n])
    assert metrics.reconstruction(identity, measured) == {"score": 1, "reconstruction_ratio": 0}
    mean = Model(None, reconstruct=lambda X: np.broadcast_to(X.mean(0), X.shape))
    assert metrics.reconstruction(mean, measured)["score"] == pytest.approx(0)
    assert metrics.samples(identity, measured)["c2st"] == pytest.approx(0.5, abs=0.05)
    assert metrics.c2st(far, X) == 1
    assert set(metrics.samples(Model(None), measured).values()) == {None}


def test_clusters_agree_with_classes_by_any_name(module):
    agreement = module("quality.metrics").agreement
    classes = np.repeat([0, 1, 2], 10)
    assert agreement(classes, 2 - classes, 3) == {"nmi": 1, "purity": 1, "accuracy": 1}
    assert agreement(classes, np.arange(30), 30)["accuracy"] is None
    coarse = agreement(classes, np.minimum(classes, 1), 3)
    assert coarse["purity"] == coarse["accuracy"] == pytest.approx(2 / 3)


def test_modes_are_found_where_samples_lie(module, tmp_path):
    data, metrics = module("quality.data"), module("quality.metrics")
    for name, (centers, std) in data.MODES.items():
        X, *_ = data.load(f"{name}_5000", tmp_path, validate=False)
        found = metrics.modes_found(X, centers, std)
        assert found["modes"] == len(centers)
        assert found["near"] == pytest.approx(0.989, abs=0.005)
        one = metrics.modes_found(centers[:1].repeat(20, axis=0), centers, std)
        assert one == {"modes": 1, "near": 1}


def test_a_classifier_sees_how_far_samples_are(module, tmp_path):
    judge = module("quality.judge")
    X, y, X_test, y_test = module("quality.data").load("digits", tmp_path, validate=False)
    model = judge.train_classifier(X, y, (8, 8, 1), n_updates=150)
    assert np.mean(judge.predict(model, X_test) == y_test) > 0.9
    same, alike, ones = (judge.frechet_distance(model, X, A) for A in (X, X_test, X[y == 1]))
    assert same == pytest.approx(0, abs=1e-3)
    assert alike < 0.1 < ones


def test_attributes_are_judged_and_probed_one_by_one(module, tmp_path):
    judge, metrics = module("quality.judge"), module("quality.metrics")
    X, y, X_test, y_test = module("quality.data").load("digits", tmp_path, validate=False)
    train, test = (np.column_stack([digit < 5, digit == 0]) for digit in (y, y_test))
    model = judge.train_classifier(X, train, (8, 8, 1), n_updates=150)
    assert judge.recognised(model, X_test, test) > 0.9
    # What is always seen as an eight, with glasses or without, is half right.
    assert judge.recognised(model, np.repeat(X_test[y_test == 8][:1], 540, 0), test) == 0.5
    figures = metrics.svm(X, train, X_test, test)
    each = [metrics.svm(X, train[:, i], X_test, test[:, i])["svm_all"] for i in (0, 1)]
    assert figures["svm_all"] == pytest.approx(np.mean(each))


def test_faces_come_with_a_column_for_each_attribute(module, tmp_path):
    data, random = module("quality.data"), np.random.default_rng(0)
    arrays = {}
    for part, n in (("train", 6), ("test", 3)):
        arrays[f"X_{part}"] = random.integers(0, 256, (n, 64, 64, 3), dtype=np.uint8)
        for name in data.ATTRIBUTES:
            arrays[f"y_{name}_{part}"] = random.integers(0, 2, n, dtype=np.uint8)
    np.savez(tmp_path / "celeba_subset.npz", **arrays)
    X, _, X_test, y_test = data.load("celeba", tmp_path, validate=False)
    assert (X.shape, X_test.shape) == ((6, 12288), (3, 12288))
    np.testing.assert_allclose(X[0], arrays["X_train"][0].ravel() / 255, atol=1e-6)
    for i, name in enumerate(data.ATTRIBUTES):
        np.testing.assert_array_equal(y_test[:, i], arrays[f"y_{name}_test"])


@pytest.mark.parametrize("period", [2, 4])
@pytest.mark.parametrize("axis", [1, 2])
def test_a_grid_pattern_stands_out_of_the_spectrum(module, period, axis):
    stride_peak = module("quality.spectrum").stride_peak
    images = np.random.default_rng(0).normal(size=(200, 16, 16, 3))
    assert stride_peak(images) < 1.1
    place = np.arange(16).reshape(-1, *[1] * (3 - axis))
    assert stride_peak(images + (place % period == 0)) > 1.5


def busy(megabytes):
    """Hold memory, and compute for a fifth of a second of CPU time; sleep for as long."""
    held, start = np.ones(megabytes * 2**17), time.process_time()
    while time.process_time() < start + 0.2:
        held[:1000].sum()
    time.sleep(0.2)
    return len(held)


@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from Linux's /proc")
def test_a_fresh_process_reports_what_a_function_used(module):
    figures = module("speed.clock").in_fresh_process(busy, 64)
    assert figures["result"] == 64 * 2**17
    assert 0.2 <= figures["cpu_seconds"] < figures["seconds"]
    assert 0.4 <= figures["seconds"] < 5
    assert 60 <= figures["peak_megabytes"] < 128
    with pytest.raises(RuntimeError, match="ValueError"):
        module("speed.clock").in_fresh_process(busy, "many")


def test_the_clock_times_the_steps_that_are_not_skipped(module):
    clock = module("speed.clock").Clock(skip=1)
    net = SimpleNamespace()
    clock.on_epoch_begin(net)
    for seconds in (0.2, 0.01, 0.03):
        clock.on_batch_begin(net)
        time.sleep(seconds)
        clock.on_batch_end(net)
    time.sleep(0.1)
    clock.on_epoch_end(net)
    assert 0.02 <= clock.steps[0] < 0.1
    assert 0.34 <= clock.epochs[0]


def shapes(products):
    return [(*left.shape, right.shape[1]) for left, right in (product.args for product in products)]


def test_the_floor_of_a_step_has_its_products_and_no_others(module):
    n, columns, width, codes = 6, 12, 8, 3
    wide = columns + codes
    settings = {"n_components": codes, "hidden_layer_sizes": (width,), "batch_size": n}
    make = partial(BiGANTransformer, method="bigan", random_state=0, device="cpu", **settings)
    X = np.random.default_rng(0).random((n, columns), dtype=np.float32)
    assert shapes(module("speed.products").floor(make, X)) == [
        *((n, columns, width), (n, width, codes)),  # E(x)
        *((n, codes, width), (n, width, columns)),  # G(z)
        *((2 * n, wide, width), (2 * n, width, 1)),  # D, of both kinds of pairs
        *((1, 2 * n, width), (2 * n, 1, width)),  # backward: at the weights, at the input
        *((width, 2 * n, wide), (n, width, codes), (n, width, columns)),
        *((columns, n, width), (n, columns, width)),
        (width, n, codes),  # no gradient at z
        *((codes, n, width), (n, codes, width)),
        (width, n, columns),  # nor at x
    ]


@pytest.mark.parametrize("n_made", [0, 2, 4])
@pytest.mark.parametrize(
    "layer",
    [nn.Conv2d(2, 3, 4, 2, 1, bias=False), nn.ConvTranspose2d(2, 3, 4, 2, 1, bias=False)],
)
def test_bare_convolutions_are_the_layers_and_autograds(module, layer, n_made):
    products = module("speed.products")
    x = torch.randn(4, 2, 5, 5, requires_grad=True)
    out = layer(x)
    gradient = torch.randn_like(out)
    at_weight, at_input = torch.autograd.grad(out, [layer.weight, x], gradient)
    made = (torch.arange(4) >= 4 - n_made).view(4, 1, 1, 1).expand_as(x)
    forward, backward = products.bare(layer, x.detach(), gradient, list(products.parts(made)))
    torch.testing.assert_close(forward(), out.detach())
    found = [product() for product in backward]
    (of_weight,) = (weight for _, weight, _ in found if weight is not None)
    torch.testing.assert_close(of_weight, at_weight)
    of_input = [part for part, _, _ in found if part is not None]
    torch.testing.assert_close(torch.cat([at_input[:0], *of_input]), at_input[made[:, 0, 0, 0]])


def test_the_bare_product_of_upsampling_has_the_kernel_of_the_transposed_convolution(module):
    layer, x = Upsampling(2, 3, (0, 0)), torch.randn(4, 2, 5, 5)
    forward, _ = module("speed.products").bare(layer, x, torch.randn(4, 3, 10, 10), [])
    torch.testing.assert_close(forward(), layer(x))


def test_the_products_of_a_convolution_of_the_whole_map_are_those_of_matrices(module):
    layer, maps = WholeMapConvolution(2, 3, 4, bias=False), torch.randn(5, 2, 4, 4)
    x, gradient = maps.flatten(1), torch.randn(5, 3)
    forward, backward = module("speed.products").bare(layer, x, gradient, [])
    torch.testing.assert_close(forward(), layer(maps).flatten(1))
    (at_weight,) = torch.autograd.grad(layer(maps).flatten(1), layer.weight, gradient)
    torch.testing.assert_close([product() for product in backward], [at_weight.flatten(1)])


def test_a_part_of_a_benchmark_of_speed_appends_a_line(module, tmp_path, capsys, monkeypatch):
    steps, path = module("speed.steps"), tmp_path / "lines.jsonl"
    monkeypatch.setattr(steps, "TABLES", [(64, 8, 16)])
    monkeypatch.setattr(steps, "RECIPES", {"default": {}})
    monkeypatch.setattr(torch._inductor, "compile", lambda graph, inputs, options: graph)
    module("run").main(["roofline", "--parts", "tables", "--out", str(path), "--rounds", "2"])
    (line,) = module("lines").read(path)
    assert line["part"] == "tables"
    for recipe in ("default", "default, compiled"):
        figures = line[recipe]["64 columns, width 8, batch 16"]
        assert figures["least"] <= figures["ratio"] <= figures["greatest"]
        # a step is never faster than the products in it
        assert figures["floor_seconds"] < figures["seconds"] < 1
    with pytest.raises(SystemExit, match="has the parts"):
        module("run").main(["processes", "--parts", "no such", "--out", str(path)])


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["default", "textbook", "mlp_autoencoder"])
def test_a_peer_learns(module, name):
    peers = module("speed.peers")
    X, peer = peers.make(256, 6), peers.PEERS[name](3, (16, 16))
    codes = [(peer.fit(X, n_epochs), peer.predict(X))[1] for n_epochs in (1, 3)]
    assert codes[0].shape == (256, 6 if name == "mlp_autoencoder" else 3)
    assert not np.allclose(*codes)


def test_tables_are_generated_and_stale_ones_noticed(module, tmp_path):
    report, readme = module("report"), tmp_path / "README.md"
    line = {"data": "digits", "method": "default", "minutes": 1.0, "commit": "abc", "updates": 7}
    lines = [{**line, "z": {"1nn": accuracy}} for accuracy in (0.5, 0.75, 0.625)]
    lines.append({**line, "parameters": {}, "commit": "def", "z": {"1nn": 0.25}})
    (tmp_path / "quality_digits.jsonl").write_text("\n".join(map(json.dumps, lines)))
    readme.write_text("before\n<!-- table: quality_digits -->\n<!-- end -->\nafter\n")
    command = ["--results", str(tmp_path), "--readme", str(readme)]
    with pytest.raises(SystemExit, match="quality_digits"):
        report.main([*command, "--check"])
    report.main(command)
    report.main([*command, "--check"])
    text = readme.read_text()
    assert "| default | 1 | 0.625 (0.500 to 0.750) |" in text
    assert "| default (redesign) | 1 | 0.250 |" in text
    assert (text[:6], text[-6:]) == ("before", "after\n")


def test_the_table_of_selection_ranks_by_the_accuracy_with_few_labels(module, tmp_path):
    report, about = module("report"), {"date": "today", "commit": "abc", "cpu": "one"}
    for data in report.EXPERIMENTS["selection"].data:
        lines = [
            {"data": data, "seed": 0, "n_components": n, "z": {"linear_100": accuracy}}
            | {"same_score": accuracy, "reversed_score": -accuracy}
            | about
            for n, accuracy in ((2, 0.5), (4, 0.9), (8, 0.8))
        ]
        path = tmp_path / f"selection_{data}.jsonl"
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    table = report.selection(tmp_path)
    one, other, largest = (row.split(" | ") for row in table.splitlines()[2:5])
    assert (one[0], one[1], one[-1]) == ("| `same_score`", "1.00", "0.00 (0.00 to 0.00) |")
    assert (other[1], other[-1]) == ("-1.00", "40.0 (40.0 to 40.0) |")
    assert (largest[1], largest[-1]) == ("0.50", "10.00 (10.00 to 10.00) |")


def test_scores_of_the_estimator_are_those_of_its_metrics(module, digits):
    from sklearn_bigan.metrics import __all__ as names
    from sklearn_bigan.metrics import sample_score

    quality = module("quality.metrics")
    fixed = {"n_components": 2, "max_epochs": 1, "random_state": 0, "device": "cpu"}
    model = (
        module("quality.methods")
        .METHODS["default"]
        .fit(digits[:200], module("quality.methods").Budget(), **fixed)
    )
    rows = digits[:200], None, digits[200:300], None
    found = quality.scores(model, quality.Measured("digits", rows))
    assert set(found) == set(names)
    assert found["sample_score"] == sample_score(model.estimator, rows[2])


def test_the_tables_of_the_readme_are_fresh(module):
    report = module("report")
    _, stale = report.updated((report.HERE / "README.md").read_text(), report.RESULTS)
    assert stale == []


def test_a_line_names_its_command_without_paths_of_the_machine(module):
    arguments = [
        "quality",
        "--data-dir",
        "/here",
        "--data",
        "digits",
        "--out=/there",
        "--pictures",
        "/where",
        "--jobs",
        "2",
    ]
    said = module("lines").command(arguments)
    assert said == "python benchmarks/run.py quality --data digits --jobs 2"


def test_the_best_tuned_learning_rate_is_taken(module, tmp_path):
    rate = partial(module("quality.methods").learning_rate, results=tmp_path)
    assert rate("digits", "bigan_tuned") == 1e-3
    tried = [("digits", 1e-4, 0.9), ("digits", 1e-2, 0.8), ("kdd", 1e-2, 0.7), ("blobs", 1e-2, 0.7)]
    lines = [
        {"data": data, "method": "bigan", "learning_rate": rate, "z": {"linear_100": accuracy}}
        for data, rate, accuracy in tried
    ]
    (tmp_path / "tuning.jsonl").write_text("\n".join(map(json.dumps, lines)))
    assert rate("digits", "bigan_tuned") == 1e-4
    assert rate("mnist", "bigan") == 1e-2


def test_damaged_and_forged_files_are_counted(module, tmp_path):
    module("run").main(["fuzz", "--rounds", "42", "--out", str(tmp_path / "lines.jsonl")])
    line = json.loads((tmp_path / "lines.jsonl").read_text())
    kinds = [line[kind] for kind in module("robustness.fuzz").MUTATIONS]
    outcomes = {"ValueError", "equal", "other model", "unchanged"}
    assert all(counts.keys() <= outcomes for counts in kinds)
    assert sum(sum(counts.values()) for counts in kinds) == 42
    assert line["bytes"] == {"ValueError": 6}


def test_killed_trainings_are_counted(module, tmp_path):
    module("run").main(["kill", "--rounds", "4", "--out", str(tmp_path / "lines.jsonl")])
    line = json.loads((tmp_path / "lines.jsonl").read_text())
    for way in module("robustness.kill").WAYS:
        assert line[way]["runs"] == line[way]["equal"] == 1
        assert line[way]["torn files"] == 0


@pytest.mark.skipif(sys.platform != "linux", reason="the figures are read from Linux's /proc")
@pytest.mark.parametrize(("part", "rounds"), [("cycles", 20), ("fit", 1)])
def test_what_a_long_use_holds_is_sampled_twice(module, tmp_path, part, rounds):
    command = ["endurance", "--parts", part, "--rounds", str(rounds)]
    module("run").main([*command, "--out", str(tmp_path / f"endurance_{part}.jsonl")])
    line = json.loads((tmp_path / f"endurance_{part}.jsonl").read_text())
    warm, end = line["after a tenth"], line["at the end"]
    for held in ("handles", "threads"):
        assert line["difference"][held] == end[held] - warm[held] == 0
    assert 10 < warm["MB"] < 10_000
    table = module("report").TABLES_OF_README[f"endurance_{part}"](tmp_path)
    assert "| at the end |" in table
