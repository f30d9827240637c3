"""The peers' benchmark: those that are installed train and answer, and the figures are right."""

import json
import sys

import numpy as np
import pytest
import torch


@pytest.fixture
def peers(module, monkeypatch):
    found = module("peers")
    for name, value in {"ROWS": 256, "EPOCHS": 1, "ROUNDS": 2, "MANY_ROWS": 40}.items():
        monkeypatch.setattr(found, name, value)
    monkeypatch.setattr(found, "ONE_ROW_CALLS", 2)
    monkeypatch.setattr(torch._inductor, "compile", lambda graph, inputs: graph)
    return found


HIDDEN = (256, 256)

# The width of what `predict` gives; None: a score.
WIDTHS = {
    "bigan": 3,
    "bigan_compiled": 3,
    "default": 3,
    "textbook": 3,
    "textbook_dataloader": 3,
    "stock_skorch": 3,
    "mlp_autoencoder": 6,
    "pyod_alad": None,
    "pythae_vae": 3,
}


def test_every_contender_is_tried_here(peers):
    assert list(peers.CONTENDERS) == list(WIDTHS)


@pytest.mark.filterwarnings("ignore")  # of peers' own code
@pytest.mark.parametrize("name", WIDTHS)
def test_a_contender_learns_and_answers(peers, name):
    if not peers.installed(name):
        pytest.skip("an optional peer")
    X = peers.make(256, 6)
    contender = peers.CONTENDERS[name](3, HIDDEN)
    contender.fit(X, 1)
    before = contender.predict(X)
    contender.fit(X, 3)
    after = contender.predict(X)
    assert after.shape == ((256,) if WIDTHS[name] is None else (256, WIDTHS[name]))
    assert not np.allclose(before, after)
    assert isinstance(peers.pickled(contender.model), int)


@pytest.mark.parametrize("name", list(WIDTHS)[1:6])
def test_ours_and_the_loops_train_networks_of_one_size(peers, name):
    sizes = []
    for contender in (peers.CONTENDERS["bigan"](3, HIDDEN), peers.CONTENDERS[name](3, HIDDEN)):
        contender.fit(peers.make(256, 6), 1)
        sizes.append(peers.n_parameters(contender))
    # E and G with batch norm, D, and G's output bias, by hand
    hidden = 256 * 256
    E = 6 * 256 + hidden + 4 * 256 + 256 * 3 + 3
    G = 3 * 256 + hidden + 4 * 256 + 256 * 6 + 6
    D = (6 + 3) * 256 + hidden + 2 * 256 + 256 + 1
    assert sizes == [E + G + D] * 2


def test_what_is_not_installed_is_left_out_with_a_line(peers, module, monkeypatch, capsys):
    monkeypatch.setitem(module("contenders").NEEDS, "pyod_alad", "no_such_package")
    assert not peers.installed("pyod_alad")
    assert "pyod_alad is left out: no_such_package is not installed." in capsys.readouterr().out


def test_ratios_are_the_rounds_own(peers):
    seconds = {"bigan": [1.0, 2.0, 4.0], "default": [2.0, 4.0, 8.0], "other": [3.0, 2.0, 8.0]}
    other = peers.beside(seconds, rows=8)["other"]
    assert other["rows_a_second"] == [2.667, 1, 4]
    assert other["bigan_times"] == [2, 1, 3]
    assert other["default_times"] == [1, 0.5, 1.5]


def test_everything_is_measured_of_each(peers):
    names = ["bigan", "bigan_compiled", "default", "textbook"]
    figures = json.loads(json.dumps(peers.measure(6, 3, HIDDEN, names)))
    kinds = {"parameters", "training", "predict", "one_row_seconds", "pickle_bytes"}
    assert figures.keys() == kinds
    assert all(list(figures[kind]) == names for kind in kinds)
    assert figures["training"]["bigan"]["bigan_times"] == [1, 1, 1]
    assert min(figures["predict"]["textbook"]["rows_a_second"]) > 0


@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from Linux's /proc")
def test_the_peak_of_a_process_holds_what_it_trains(peers):
    printed = peers.in_a_process(peers.__file__, "--peak", "bigan", "images")
    # megabytes: weights, gradients and two moments of 840,771 parameters in float32
    assert 840_771 * 16 / 2**20 < float(printed) < 1000


def test_importing_is_timed_and_what_comes_with_it_is_listed(peers, monkeypatch):
    monkeypatch.setattr(peers, "LARGE", ("decimal", "turtle"))
    figures = peers.importing({"fractions": "fractions"})
    assert figures["loaded"] == {"fractions": ["decimal"]}
    assert len(figures["import_seconds"]["fractions"]) == 3


def test_a_model_that_cannot_be_pickled_says_why(peers):
    assert "pickle" in peers.pickled(lambda: None).lower()
