"""The benchmarks of images: methods train, and a classifier sees what they draw."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
SHAPE = (8, 8, 1)
WITH_SAMPLES = {"untrained", "latent_regression", "bigan", "ali", "default", "no_views"}


@pytest.mark.slow
@pytest.mark.parametrize(
    "method",
    [
        *("pixels", "pca", "untrained", "autoencoder"),
        *("latent_regression", "bigan", "ali", "default", "no_views"),
    ],
)
def test_a_method_trains_and_is_measured(module, two_digits, monkeypatch, tmp_path, method):
    training, images, classifier = map(module, ("image_training", "images", "classifier"))
    for name, value in {"DRAWS": 1, "GRID": {"linearsvc__C": [1e-3]}}.items():
        monkeypatch.setattr(module("svm"), name, value)
    monkeypatch.setattr(classifier, "UPDATES", 20)
    facts = training.Facts(lambda folder: two_digits, SHAPE, 4, 0.0)
    monkeypatch.setitem(training.DATA, "mnist", facts)
    monkeypatch.setattr(training, "PACE", tmp_path / "pace.jsonl")
    setting = {
        **{"data": "mnist", "method": method, "seed": 0, "n_components": 4},
        **{"learning_rate": 1e-3, "minutes": 0.005, "validate": False},
    }
    if method in training.TRAINED:
        with pytest.raises(LookupError, match=f"no pace of {method}.*by --pace"):
            images.run(setting, Path())
        paced = training.pace(setting, Path())
        assert paced["updates"] > 0
        training.PACE.write_text(json.dumps(setting | paced) + "\n")

    figures = json.loads(json.dumps(images.run(setting, Path(), tmp_path, tmp_path)))
    assert figures["z"]["svm_100"] > 0.6
    assert figures["z"]["svm_all"] > 0.6
    assert (figures["updates"] > 0) == (method in training.TRAINED)
    # What is kept is judged, not trained again: even its seconds are the same.
    kept = method in training.TRAINED
    assert len(list(tmp_path.glob("*.joblib"))) == kept
    again = images.run(setting, Path(), kept=tmp_path)
    timed = {"images_per_second_encoding"} | (set() if kept else {"seconds"})
    assert {name for name in figures if figures[name] != again[name]} <= timed
    assert again.keys() == figures.keys()
    assert figures["z"]["svm_1000"] is None
    assert (figures["hidden"] is not None) == (method not in ("pixels", "pca"))
    assert (figures["discriminator"] is not None) == (method == "latent_regression")
    assert (figures["frechet"] is not None) == (method in WITH_SAMPLES)
    assert (figures["score"] is not None) == (method != "pixels")
    drawn = sorted(path.stem for path in tmp_path.rglob("*.png"))
    expected = [
        *("interpolations", "reconstructions", "reconstructions_alone"),
        *("samples", "samples_and_nearest"),
    ]
    assert drawn == (expected if method in WITH_SAMPLES else [])
    assert set(WITH_SAMPLES) < set(images.ALL_WAYS)
    chosen_by = images.run({**setting, "validate": True}, Path())
    assert "frechet" not in chosen_by
    assert "svm_all" not in chosen_by["z"]


def test_parts_of_the_recipe_are_not_measured_on_test_rows(module, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["images.py", "mnist", "--methods", "no_views"])
    with pytest.raises(SystemExit):
        module("images").main()
    assert "--validate" in capsys.readouterr().err


def test_networks_are_not_trained_for_nothing(module, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["images.py", "mnist", "--train-only"])
    with pytest.raises(SystemExit):
        module("images").main()
    assert "--networks" in capsys.readouterr().err


def test_a_classifier_learns_and_sees_how_far_samples_are(module, two_digits, monkeypatch):
    classifier = module("classifier")
    monkeypatch.setattr(classifier, "UPDATES", 100)
    X, y, X_test, y_test = two_digits
    model = classifier.train_classifier(X, y, SHAPE)
    again = classifier.train_classifier(X, y, SHAPE)
    assert torch.equal(model.head.weight, again.head.weight)
    assert np.mean(classifier.predict(model, X_test) == y_test) > 0.95
    same, alike, ones, noise = (
        classifier.frechet_distance(model, X, rows)
        for rows in (X, X_test, X[y == 1], np.random.default_rng(0).random((200, 64), np.float32))
    )
    assert same == pytest.approx(0, abs=1e-3)
    assert alike < 0.1 < ones
    assert noise > 0.5


def test_the_best_tuned_learning_rate_is_taken(module, monkeypatch, tmp_path):
    images = module("images")
    monkeypatch.setattr(images, "RESULTS", tmp_path)
    assert images.learning_rate("mnist", "bigan") == 2e-3
    lines = [
        {"data": "mnist", "method": "bigan", "learning_rate": rate, "hidden": {"svm_1000": worth}}
        for rate, worth in ((1e-4, 0.7), (1e-3, 0.8))
    ] + [
        {
            **{"data": "digits", "method": "bigan", "learning_rate": rate, "hidden": None},
            "z": {"svm_100": worth, "svm_1000": None},
        }
        for rate, worth in ((1e-4, 0.8), (1e-3, 0.7))
    ]
    (tmp_path / "images_tuning.jsonl").write_text("\n".join(map(json.dumps, lines)))
    assert images.learning_rate("mnist", "bigan") == 1e-3
    assert images.learning_rate("digits", "bigan") == 1e-4
    assert images.learning_rate("cifar10", "bigan") == 2e-3
