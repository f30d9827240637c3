"""The gallery's examples run, on data of the shape they expect."""

import runpy
import sys
from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.slow

EXAMPLES = Path(__file__).parents[1] / "examples"
FILES = {
    "mnist": ("plot_digits", (28, 28), "y"),
    "cifar10_subset": ("plot_photographs", (32, 32, 3), "y"),
    "svhn_subset": ("plot_photographs", (32, 32, 3), "y"),
    "olivetti": ("plot_faces", (64, 64), "y"),
    "celeba_subset": ("plot_faces", (64, 64, 3), "y_smiling"),
}
DEFAULTS = ("mnist", "cifar10_subset", "olivetti")


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

    def write(file):
        name, shape, label = FILES[file]
        rng = np.random.default_rng(0)
        arrays = {}
        for part, n in (("train", 40 * 26), ("test", 80)):
            arrays[f"X_{part}"] = rng.integers(0, 256, (n, *shape), dtype=np.uint8)
            arrays[f"{label}_{part}"] = np.arange(n) % 10
        if name == "plot_faces":
            arrays = {key: array[:80] for key, array in arrays.items()}
        np.savez(tmp_path / f"{file}.npz", **arrays)
        return tmp_path

    return write


@pytest.mark.parametrize("file", FILES)
def test_an_example_runs_on_a_file(file, out, made_up, capsys):
    name, *_ = FILES[file]
    given = [] if file in DEFAULTS else ["--file", f"{file}.npz"]
    pictures = out(name, "--data", str(made_up(file)), *given)
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


def test_the_example_of_outliers_finds_them_and_draws_reasons(out, capsys):
    assert out("plot_outliers") == ["outliers.png"]
    assert capsys.readouterr().out.count("ROC AUC: 0.") == 2


def test_the_example_of_trainings_draws_a_healthy_one_and_three_others(out, capsys):
    assert len(out("plot_training")) == 4
    assert capsys.readouterr().out.count("R^2") == 3
