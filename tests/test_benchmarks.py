"""The benchmarks: methods train and can be measured, measures measure, no run is made twice."""

import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from sklearn_bigan import BiGANTransformer, _learning

# What is trained here for a moment converges nowhere, nor need it.
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"

CODES = {"z", "hidden", "all"}
BACK = {"score", "reconstruction_ratio", "collapsed"}
SAMPLES = {"prior_distance", "sample_energy", "c2st"}
FIGURES = {
    "pca": {"z"} | BACK,
    "nystroem": {"z"},
    "untrained": CODES | BACK | SAMPLES,
    "autoencoder": CODES | BACK,
    "neighbor_autoencoder": CODES | BACK,
    "latent_regression": CODES | BACK | SAMPLES | {"discriminator"},
    "joint_latent_regression": CODES | BACK | SAMPLES,
    "bigan": CODES | BACK | SAMPLES,
    "ali": CODES | BACK | SAMPLES,
    "default": CODES | BACK | SAMPLES,
}
NOT_TRAINED = {"pca", "nystroem", "untrained"}
PARAMETERS = {
    "n_components": 4,
    "output_activation": "sigmoid",
    "learning_rate": 1e-3,
    "random_state": 0,
    "device": "cpu",
}


def noise(n_rows, centre=0.0, seed=0):
    return centre + np.random.default_rng(seed).normal(size=(n_rows, 3))


def test_every_method_is_tried_here(module):
    assert list(module("methods").METHODS) == list(FIGURES)


@pytest.mark.parametrize("method", FIGURES)
def test_a_method_trains_and_has_the_figures_it_can_have(module, two_digits, monkeypatch, method):
    measures = module("measures")
    monkeypatch.setattr(measures, "DRAWS", 1)
    train, parameters = module("methods").METHODS[method]
    trained = train(two_digits[0], 0.1, [0.0], **PARAMETERS, **parameters)
    assert (trained.updates > 0) == (method not in NOT_TRAINED)

    figures = json.loads(json.dumps(measures.measure(trained, two_digits)))
    checkpoints = figures.pop("checkpoints")
    assert {name for name, figure in figures.items() if figure is not None} == FIGURES[method]
    for place in CODES & FIGURES[method]:
        assert set(figures[place]) == {
            *("1nn", "linear_all", "linear_1000", "linear_100"),
            *("balanced_all", "auc_all"),
        }
        assert figures[place]["linear_1000"] is None
        assert figures[place]["1nn"] > 0.6

    assert len(checkpoints) == (method not in NOT_TRAINED)
    for checkpoint in checkpoints:
        assert checkpoint["updates"] == 1
        assert (checkpoint["z"] is not None) == ("z" in FIGURES[method])


def test_checkpoints_leave_training_as_it_is(module, two_digits):
    estimator = module("methods").estimator
    plain, watched = (
        estimator(two_digits[0], 60, marks, max_epochs=3, **PARAMETERS) for marks in ([], [0, 0])
    )
    assert [checkpoint.updates for checkpoint in watched.checkpoints] == [1, 2]
    ends = [trained.encode(two_digits[2])["z"] for trained in (plain, watched)]
    np.testing.assert_array_equal(*ends)
    assert not np.allclose(watched.checkpoints[0].encode(two_digits[2])["z"], ends[0])


def test_distances_are_none_between_draws_of_the_same_and_large_between_others(module):
    energy_distance, c2st = (
        getattr(module("distributions"), f) for f in ("energy_distance", "c2st")
    )
    here, alike, there = noise(500), noise(500, seed=1), noise(500, centre=30, seed=1)
    assert abs(energy_distance(here, alike)) < 0.01
    assert energy_distance(here, there) > 0.9
    assert c2st(here, alike) == pytest.approx(0.5, abs=0.05)
    assert c2st(here, there) == 1


def test_what_is_lost_in_training_is_seen(module):
    measures, Trained = module("measures"), module("trained").Trained
    X = noise(200)

    def collapsed(codes=X, samples=X, X_hat=X):
        trained = Trained(None, lambda X: X_hat, lambda n: noise(n), lambda n: samples)
        ratio = measures.reconstruction(trained, X, X.mean(axis=0))["reconstruction_ratio"]
        return measures.collapsed(trained, codes, X, ratio)

    assert not collapsed()
    assert collapsed(codes=0.01 * X)
    assert collapsed(samples=0.1 * X)
    assert collapsed(X_hat=X[::-1])
    assert measures.collapsed(Trained(None), X, X, None) is None


def test_few_labels_are_drawn_from_the_training_rows(module, monkeypatch):
    measures = module("measures")
    monkeypatch.setattr(measures, "DRAWS", 2)
    X, y = np.concatenate([noise(60), noise(60, centre=9)]), np.repeat([0, 1], 60)
    assert measures.few_labels(100, X, y, X, y) == 1
    assert measures.few_labels(119, X, y, X, y) is None


def test_of_many_rows_a_part_is_measured(module, two_digits, monkeypatch):
    measures, Trained = module("measures"), module("trained").Trained
    for name, value in {"MANY": 200, "TRAINING_PART": 150, "TEST_PART": 50, "DRAWS": 1}.items():
        monkeypatch.setattr(measures, name, value)
    seen = []

    def encode(X):
        seen.append(len(X))
        return {"z": X}

    measures.measure(Trained(encode), two_digits)
    assert seen == [150, 50]


def test_runs_are_resumed_and_a_failure_loses_no_other(module, tmp_path, capsys):
    runs = module("runs")
    made, path = [], tmp_path / "new" / "lines.jsonl"

    def run(setting):
        made.append(setting["seed"])
        if setting["seed"] == 1 and made.count(1) == 1:
            raise ValueError("no luck")
        return {"z": {"1nn": 0.5}}

    settings = [{"method": "pca", "seed": seed} for seed in range(3)]
    lines = runs.resume(run, settings, lambda _: path, jobs=1)
    assert [line["seed"] for line in lines] == [0, 2]
    assert lines == runs.read(path)
    assert set(lines[0]) == {"method", "seed", "z", "date", "commit", "cpu", "versions"}
    assert "no luck" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="1 of 3 runs failed"):
        runs.exit_if_some_failed(lines, settings)

    lines = runs.resume(run, settings, lambda _: path, jobs=1)
    runs.exit_if_some_failed(lines, settings)
    assert made == [0, 1, 2, 1]
    assert len(runs.read(path)) == 3


def test_tables_show_median_and_range_and_nothing_where_there_is_nothing(module):
    line = {"data": "digits", "method": "pca", "minutes": 1.0, "hidden": None, "updates": 0}
    other = {"data": "shuttle", "method": "bigan", "score": 0.25, "all": {"linear_all": 0.75}}
    lines = [{**line, "z": {"1nn": accuracy}} for accuracy in (0.5, 0.75, 0.625)]
    text = module("table").report([*lines, other])
    assert "| pca | 1.0 | 0.625 (0.500 to 0.750) |" in text
    assert "0.625 (0.500 to 0.750) |  |  |" in text
    assert "| accuracy, all labels | bigan |\n| --- | --- |\n| shuttle | 0.750 |" in text


def test_a_plain_gans_discriminator_has_a_row_of_its_own(module):
    line = {
        "data": "digits",
        "method": "latent_regression",
        "minutes": 1.0,
        "z": {"1nn": 0.5},
        "discriminator": {"1nn": 0.25},
    }
    regressor, discriminator = module("table").report([line]).splitlines()[-2:]
    assert regressor.startswith("| latent_regression | 1.0 | 0.500 |")
    assert discriminator.startswith("| gan_discriminator | 1.0 |  |  |  |  | 0.250 |")


def test_the_best_tuned_learning_rate_is_taken(module, monkeypatch, tmp_path):
    methods = module("methods")
    monkeypatch.setattr(methods, "RESULTS", tmp_path)
    assert methods.learning_rate("digits", "bigan") == 1e-3
    tried = [("digits", 1e-4, 0.9), ("digits", 1e-2, 0.8), ("kdd", 1e-2, 0.7), ("blobs", 1e-2, 0.7)]
    lines = [
        {"data": data, "method": "bigan", "learning_rate": rate, "z": {"linear_100": accuracy}}
        for data, rate, accuracy in tried
    ]
    (tmp_path / "tuning.jsonl").write_text("\n".join(map(json.dumps, lines)))
    assert methods.learning_rate("digits", "bigan") == 1e-4
    assert methods.learning_rate("mnist", "bigan") == 1e-2


def test_data_are_split_and_scaled_by_the_training_rows(module, tmp_path):
    data = module("data")
    X_train, _, X_test, _ = data.load("blobs", tmp_path)
    assert (len(X_train), len(X_test), X_train.dtype) == (7000, 3000, np.float32)
    np.testing.assert_allclose(X_train.mean(axis=0), 0, atol=1e-4)
    np.testing.assert_allclose(X_train.std(axis=0), 1, atol=1e-4)
    X_less, _, X_held_out, _ = data.load("blobs", tmp_path, validate=True)
    rows = np.concatenate([X_less, X_held_out])
    np.testing.assert_array_equal(np.sort(rows, axis=0), np.sort(X_train, axis=0))
    with pytest.raises(SystemExit, match=r"mnist\.npz is missing"):
        data.load("mnist", tmp_path)


def test_clusters_agree_with_classes_by_any_name(module):
    agreement = module("clusters").agreement
    classes = np.repeat([0, 1, 2], 10)
    assert agreement(classes, 2 - classes, 3) == {"nmi": 1, "purity": 1, "accuracy": 1}
    finer = agreement(classes, np.arange(30), 30)
    assert finer["purity"] == 1
    assert finer["accuracy"] is None
    coarse = agreement(classes, np.minimum(classes, 1), 3)
    assert coarse["purity"] == coarse["accuracy"] == pytest.approx(2 / 3)


def test_modes_are_found_where_samples_lie(module):
    modes = module("modes")
    for centres, std in modes.MODES.values():
        figures = modes.found(modes.draw(centres, std, 5000), centres, std)
        assert figures["modes"] == len(centres)
        assert figures["near"] == pytest.approx(0.989, abs=0.005)
        assert modes.found(centres[:1].repeat(20, axis=0), centres, std) == {"modes": 1, "near": 1}


def test_neighbourhoods_are_worth_what_their_rows_have_in_common(module):
    neighbors = module("neighbors")
    y = np.repeat([0, 1], 200)
    within = torch.arange(400).reshape(2, -1)  # each row's neighbours are its class's next three
    graph = torch.stack([within.roll(-step, 1).ravel() for step in (1, 2, 3)], dim=1)
    assert neighbors.purity(graph, y, steps=5) == 1
    assert neighbors.spreading(graph, y) == 1
    mixed = np.random.default_rng(0).permutation(y)
    assert neighbors.purity(graph, mixed, steps=5) < 0.6
    assert neighbors.spreading(graph, mixed) < 0.6


def test_one_unit_is_the_estimator_that_counts_columns_as_they_vary(module, monkeypatch):
    units = module("units")
    monkeypatch.setattr(units, "BiGANTransformer", partial(BiGANTransformer, max_epochs=1))
    setting = {"data": "wine", "standardised": False, "seed": 0}
    one, default, pca = (
        units.run({**setting, "method": method}, Path())
        for method in ("one unit", "default", "pca")
    )
    assert one != default
    assert pca["score"] > 0.999  # of what varies nearly all is in one column
    assert _learning.MOST_TIMES_MEDIAN == 3
