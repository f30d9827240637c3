"""The gallery's examples run, on data of the shape they expect."""

import runpy
import sys
from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.slow

EXAMPLES = Path(__file__).parents[1] / "examples"
SHAPES = {
    "plot_digits": ("mnist", (28, 28)),
    "plot_photographs": ("cifar10_subset", (32, 32, 3)),
    "plot_faces": ("olivetti", (64, 64)),
}


@pytest.fixture
def out(tmp_path, monkeypatch, no_figures):
    """Run an example with arguments and pictures into a folder; return the pictures' names."""

    def run(name, *arguments):
        folder = tmp_path / "pictures"
        monkeypatch.setattr(sys, "argv", [name, "--out", str(folder), "--epochs", "1", *arguments])
        runpy.run_path(str(EXAMPLES / f"{name}.py"))
        return sorted(path.name for path in folder.iterdir())

    return run


@pytest.fixture
def made_up(tmp_path):
    """Write a file of noise in the shape of a data set."""

    def write(name):
        file, shape = SHAPES[name]
        rng = np.random.default_rng(0)
        arrays = {}
        for part, n in (("train", 40 * 26), ("test", 80)):
            arrays[f"X_{part}"] = rng.integers(0, 256, (n, *shape), dtype=np.uint8)
            arrays[f"y_{part}"] = np.arange(n) % 10
        if name == "plot_faces":
            arrays = {key: array[:80] for key, array in arrays.items()}
        np.savez(tmp_path / f"{file}.npz", **arrays)
        return tmp_path

    return write


@pytest.mark.parametrize("name", SHAPES)
def test_an_example_runs_on_a_file(name, out, made_up, capsys):
    pictures = out(name, "--data", str(made_up(name)))
    assert len(pictures) == (4 if name == "plot_digits" else 3)
    assert capsys.readouterr().out.count(": 0.") >= 2


@pytest.mark.parametrize("name", ["plot_digits", "plot_photographs"])
def test_an_example_runs_on_what_scikit_learn_bundles(name, out, capsys):
    assert out(name)
    assert capsys.readouterr().out.count("accuracy") == 2


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")  # one epoch is too few
def test_the_example_of_a_table_draws_a_map_and_the_training(out, capsys):
    assert len(out("plot_table")) == 2
    assert "accuracy: 0." in capsys.readouterr().out


def test_the_example_of_trainings_draws_a_healthy_one_and_three_others(out, capsys):
    assert len(out("plot_training")) == 4
    assert capsys.readouterr().out.count("R^2") == 3
