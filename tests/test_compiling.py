"""Steps that are traced and compiled; that they are right is shown in `test_reference.py`, too."""

from threading import Thread

import numpy as np
import pytest
import torch
from factories import small
from joblib import dump, load
from torch import nn

from sklearn_bigan._objectives.bigan import BiGANObjective

SETTINGS = {"batch_size": 32}


@pytest.fixture
def traced(monkeypatch):
    """Let the compiler leave a graph as it is; return the graphs that it was given."""
    graphs = []

    def leave(graph, inputs, options):
        graphs.append(graph)
        return graph

    monkeypatch.setattr(torch._inductor, "compile", leave)
    return graphs


def codes(X, **parameters) -> np.ndarray:
    return small(**SETTINGS | parameters).fit(X).transform(X)


def assert_same_networks(X, **parameters):
    """Check that compiling changes no bit of the networks, running statistics included."""
    expected = small(**SETTINGS | parameters).fit(X).net_.module_.state_dict()
    found = small(**SETTINGS | parameters, compile=True).fit(X).net_.module_.state_dict()
    for name, value in found.items():
        torch.testing.assert_close(value, expected[name], rtol=0, atol=0)


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"method": "ali"},
        {"method": "joint_latent_regression"},
        {"image_shape": (8, 8)},
        {"precision": "bfloat16"},
    ],
    ids=str,
)
def test_traced_steps_have_the_bits_of_steps_as_they_are(small_digits, traced, parameters):
    X = small_digits[:290]  # the last batches are shorter
    assert_same_networks(X, **parameters)
    assert len(traced) == 1


def test_no_other_thread_draws_initial_weights_meanwhile(small_digits, monkeypatch):
    others, waited = [], []

    def leave_slowly(graph, inputs, options):
        others.append(Thread(target=codes, args=(small_digits,), kwargs={"max_epochs": 0}))
        others[0].start()
        others[0].join(1)  # by itself it takes a hundredth of that
        waited.append(others[0].is_alive())
        return graph

    monkeypatch.setattr(torch._inductor, "compile", leave_slowly)
    codes(small_digits, compile=True)
    assert waited == [True]
    others[0].join()


def test_without_a_compiler_training_goes_on_and_says_so(small_digits, monkeypatch):
    def fail(graph, inputs, options):
        raise RuntimeError("No working C++ compiler found")

    monkeypatch.setattr(torch._inductor, "compile", fail)
    with pytest.warns(RuntimeWarning, match="could not be compiled.*No working C"):
        assert_same_networks(small_digits)


def test_compiled_code_that_fails_when_it_runs_is_dropped(small_digits, monkeypatch):
    def refuse(*inputs):
        raise AssertionError("expected stride 16, got 1")

    monkeypatch.setattr(torch._inductor, "compile", lambda graph, inputs, options: refuse)
    with pytest.warns(RuntimeWarning, match="could not be compiled.*expected stride"):
        assert_same_networks(small_digits)


def test_a_step_that_cannot_be_traced_leaves_no_trace(small_digits, traced, monkeypatch):
    backward = BiGANObjective.backward

    def looking(objective, bigan, batch):
        metrics = backward(objective, bigan, batch)
        metrics["discriminator_loss"].item()
        return metrics

    monkeypatch.setattr(BiGANObjective, "backward", looking)
    with pytest.warns(RuntimeWarning, match="could not be compiled"):
        assert_same_networks(small_digits)
    assert not traced


def body(n_features, latent_dim):
    return nn.Sequential(nn.Linear(n_features, 8), nn.LeakyReLU())


@pytest.mark.parametrize(
    "parameters",
    [{"network": {"encoder": body}}, {"network": "ali", "image_shape": (8, 8), "max_epochs": 1}],
    ids=["a user's network", "ali"],
)
def test_other_networks_are_not_compiled_which_is_said(small_digits, traced, parameters):
    with pytest.warns(RuntimeWarning, match="compile=True has no effect"):
        assert_same_networks(small_digits[:64], **parameters)
    assert not traced


def test_nothing_compiled_is_kept_in_a_file(small_digits, traced, tmp_path):
    trained, plain = (small(**SETTINGS, compile=c).fit(small_digits) for c in (True, False))
    for name, estimator in {"compiled": trained, "plain": plain}.items():
        dump(estimator, tmp_path / name)
    assert abs((tmp_path / "compiled").stat().st_size - (tmp_path / "plain").stat().st_size) < 100
    np.testing.assert_array_equal(
        load(tmp_path / "compiled").transform(small_digits), plain.transform(small_digits)
    )
