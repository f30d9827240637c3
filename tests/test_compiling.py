"""Steps that are traced and compiled; that they are right is shown in `test_reference.py`, too."""

from threading import Thread

import numpy as np
import pytest
import torch
from joblib import dump, load
from skorch.callbacks import Callback
from small import bigan
from test_replay import Graphs, let_the_cpu_record

from sklearn_bigan import BiGANTransformer
from sklearn_bigan._net import BiGANNet

SETTINGS = {"batch_size": 32, "device": "cpu"}


@pytest.fixture
def traced(monkeypatch):
    """Let the compiler leave a graph as it is; return the graphs that it was given."""
    graphs = []

    def leave(graph, inputs):
        graphs.append(graph)
        return graph

    monkeypatch.setattr(torch._inductor, "compile", leave)
    return graphs


def codes(X, **parameters) -> np.ndarray:
    return bigan(**{**SETTINGS, **parameters}).fit(X).transform(X)


@pytest.mark.parametrize(
    ("parameters", "n_graphs"),
    [
        ({}, 1),
        ({"n_neighbors": 0, "posterior": "gaussian", "ema_decay": 0}, 1),
        ({"discriminator_steps": 2}, 2),
        ({"inference": "joint_latent_regression"}, 1),
        ({"image_shape": (8, 8)}, 1),
        ({"precision": "bfloat16"}, 1),
    ],
    ids=str,
)
def test_traced_steps_have_the_bits_of_steps_as_they_are(
    small_digits, traced, parameters, n_graphs
):
    X = small_digits[:290]  # the last batches are shorter
    expected = codes(X, **parameters)
    assert not traced
    np.testing.assert_array_equal(codes(X, compile=True, **parameters), expected)
    assert len(traced) == n_graphs


def test_they_can_be_recorded_too(small_digits, traced, monkeypatch):
    expected = codes(small_digits)
    let_the_cpu_record(monkeypatch)
    np.testing.assert_array_equal(codes(small_digits, compile=True), expected)
    assert (len(traced), Graphs.n_recordings) == (1, 1)


def test_weights_that_change_on_the_way_are_heeded(small_digits, traced):
    class Lower(Callback):
        def on_epoch_end(self, net, **kwargs):
            net.cycle_weight /= 2

    lowered = {"callbacks": [Lower()], "max_epochs": 4}
    expected = codes(small_digits, **lowered)
    assert (expected != codes(small_digits, max_epochs=4)).any()
    np.testing.assert_array_equal(codes(small_digits, compile=True, **lowered), expected)
    assert len(traced) == 2


def test_no_other_thread_draws_initial_weights_meanwhile(small_digits, monkeypatch):
    others, waited = [], []

    def leave_slowly(graph, inputs):
        if not others:
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
    def fail(graph, inputs):
        raise RuntimeError("No working C++ compiler found")

    monkeypatch.setattr(torch._inductor, "compile", fail)
    with pytest.warns(RuntimeWarning, match="could not be compiled.*No working C"):
        found = codes(small_digits, compile=True)
    np.testing.assert_array_equal(found, codes(small_digits))


def test_a_step_that_cannot_be_traced_leaves_no_trace(small_digits, traced, monkeypatch):
    expected = codes(small_digits)
    step = BiGANNet.gradients

    def looking(net, noise, batch, *settings):
        figures = step(net, noise, batch, *settings)
        figures["discriminator_loss"].item()
        return figures

    monkeypatch.setattr(BiGANNet, "gradients", looking)
    with pytest.warns(RuntimeWarning, match="could not be compiled"):
        found = codes(small_digits, compile=True)
    np.testing.assert_array_equal(found, expected)
    assert not traced


def body(n_features, latent_dim):
    return torch.nn.Sequential(torch.nn.Linear(n_features, 8), torch.nn.LeakyReLU())


@pytest.mark.parametrize(
    "parameters",
    [{"network": {"encoder": body}}, {"network": "ali", "image_shape": (8, 8), "max_epochs": 1}],
    ids=["a network of one's own", "ali"],
)
def test_other_networks_are_not_compiled_which_is_said(small_digits, traced, parameters):
    X = small_digits[:64]
    with pytest.warns(RuntimeWarning, match="compile=True has no effect"):
        found = codes(X, compile=True, **parameters)
    np.testing.assert_array_equal(found, codes(X, **parameters))
    assert not traced


def test_nothing_compiled_is_kept_in_a_file(small_digits, traced, tmp_path):
    trained: BiGANTransformer = bigan(**SETTINGS, compile=True).fit(small_digits)
    plain = bigan(**SETTINGS).fit(small_digits)
    for name, estimator in {"compiled": trained, "plain": plain}.items():
        dump(estimator, tmp_path / name)
    assert abs((tmp_path / "compiled").stat().st_size - (tmp_path / "plain").stat().st_size) < 100
    np.testing.assert_array_equal(
        load(tmp_path / "compiled").transform(small_digits), plain.transform(small_digits)
    )
