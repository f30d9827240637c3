"""The benchmarks of images: methods train, a classifier sees, products are counted."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

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
    images, classifier = module("images"), module("classifier")
    for name, value in {"DRAWS": 1, "GRID": {"linearsvc__C": [1e-3]}}.items():
        monkeypatch.setattr(images, name, value)
    monkeypatch.setattr(classifier, "UPDATES", 20)
    facts = images.Facts(lambda folder: two_digits, SHAPE, 4, 0.0)
    monkeypatch.setitem(images.DATA, "mnist", facts)
    setting = {
        **{"data": "mnist", "method": method, "seed": 0, "n_components": 4},
        **{"learning_rate": 1e-3, "minutes": 0.005, "validate": False},
    }
    figures = json.loads(json.dumps(images.run(setting, Path(), tmp_path)))
    assert figures["z"]["svm_100"] > 0.6
    assert figures["z"]["svm_all"] > 0.6
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


def test_parts_of_the_recipe_are_not_measured_on_test_rows(module, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["images.py", "mnist", "--methods", "no_views"])
    with pytest.raises(SystemExit):
        module("images").main()
    assert "--validate" in capsys.readouterr().err


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
    ]
    (tmp_path / "images_tuning.jsonl").write_text("\n".join(map(json.dumps, lines)))
    assert images.learning_rate("mnist", "bigan") == 1e-3
    assert images.learning_rate("cifar10", "bigan") == 2e-3


@pytest.mark.parametrize("network", ["dcgan", "ali"])
def test_every_product_of_a_step_is_found(module, network):
    convolutions = module("convolutions")
    net, rows = convolutions.fitted(network, SHAPE, n_clusters=3)
    found = convolutions.products(net, rows)
    parts = [
        sum(isinstance(layer, convolutions.PRODUCTS) for layer in part.modules())
        for part in (net.module_.encoder, net.module_.generator, net.module_.discriminator)
    ]
    # E runs on views and on samples.
    assert len(found) == 2 * parts[0] + parts[1] + parts[2]
    for product in found:
        assert all(torch.isfinite(gradient).all() for gradient in product())


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(2, 3, 4, 2, 1, bias=False),
        nn.ConvTranspose2d(2, 3, 4, 2, 1, output_padding=1, bias=False),
        nn.Linear(5, 3, bias=False),
    ],
)
def test_a_bare_product_is_the_layers(module, layer):
    x = torch.randn(4, 2, 5, 5)
    torch.testing.assert_close(module("convolutions").plain(layer, x), layer(x))


@pytest.mark.slow
def test_memory_is_that_of_a_process_of_its_own(module):
    assert 200 < module("convolutions").peak_megabytes("dcgan") < 1500
