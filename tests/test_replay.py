"""Recorded steps, with a stand-in for CUDA's graphs that records operations of the CPU."""

import numpy as np
import pytest
import torch
from skorch.callbacks import Callback
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only

from sklearn_bigan import BiGANTransformer, _replay
from sklearn_bigan._net import BiGANNet

SETTINGS = {
    "n_components": 4,
    "hidden_layer_sizes": (16,),
    "batch_size": 32,
    "max_epochs": 2,
    "random_state": 0,
    "device": "cpu",
}


class Graph(TorchDispatchMode):
    """Remembers operations, and does them again on the same tensors."""

    def __init__(self):
        super().__init__()
        self.operations = []
        self.done = False

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        if "_local_scalar_dense" in str(operation):
            raise RuntimeError("operation not permitted when stream is capturing")
        out = operation(*args, **(kwargs or {}))
        # The same memory, apart from what autograd knows of it.
        held = tree_map_only(torch.Tensor, torch.Tensor.detach, (args, kwargs or {}, out))
        self.operations.append((operation, *held))
        return out

    @torch.no_grad()
    def replay(self):
        # Unlike a GPU's, this one has done everything once while recording.
        if self.done:
            for operation, args, kwargs, out in self.operations:
                again = operation(*args, **kwargs)
                for old, new in zip(tree_leaves(out), tree_leaves(again), strict=True):
                    if isinstance(old, torch.Tensor) and old.data_ptr() != new.data_ptr():
                        old.copy_(new)
        self.done = True


class Graphs:
    """Stands in for `_device.Graphs`."""

    n_recordings = 0

    def __init__(self, device):
        pass

    def aside(self, work):
        return work()

    def record(self, work, generator):
        Graphs.n_recordings += 1
        graph = Graph()
        state = generator.get_state()
        try:
            with graph:
                work()
        except RuntimeError:
            generator.set_state(state)
            raise
        return graph.replay


def let_the_cpu_record(monkeypatch) -> None:
    monkeypatch.setattr(_replay, "graphs_on", Graphs)
    monkeypatch.setattr(Graphs, "n_recordings", 0)


def codes(X, **parameters) -> np.ndarray:
    return BiGANTransformer(**{**SETTINGS, **parameters}).fit(X).transform(X)


@pytest.mark.parametrize(
    ("parameters", "n_recordings"),
    [
        ({}, 1),
        ({"n_neighbors": 0, "posterior": "gaussian", "ema_decay": 0}, 1),
        ({"discriminator_steps": 2}, 2),
        ({"inference": "joint_latent_regression"}, 1),
        ({"image_shape": (8, 8)}, 1),
        ({"image_shape": (8, 8), "network": "ali"}, 1),
    ],
    ids=str,
)
def test_recorded_steps_have_the_bits_of_steps_taken_one_by_one(
    small_digits, monkeypatch, parameters, n_recordings
):
    X = small_digits[:290]  # the last batches are shorter
    expected = codes(X, **parameters)
    let_the_cpu_record(monkeypatch)
    np.testing.assert_array_equal(codes(X, **parameters), expected)
    assert Graphs.n_recordings == n_recordings


def test_figures_stay_what_they_were_when_the_next_step_is_replayed(small_digits, monkeypatch):
    let_the_cpu_record(monkeypatch)

    losses = []

    class Keep(Callback):
        def on_batch_end(self, net, figures, **kwargs):
            losses.append(figures["discriminator_loss"])

    codes(small_digits, callbacks=[Keep()])
    assert len({loss.item() for loss in losses}) == len(losses)


def test_a_weight_changed_on_the_way_is_heeded(small_digits, monkeypatch):
    class Turn(Callback):
        def on_epoch_end(self, net, **kwargs):
            net.cycle_weight = 1.0

    turned = {"callbacks": [Turn()], "max_epochs": 3}
    expected = codes(small_digits, **turned)
    assert (expected != codes(small_digits, max_epochs=3)).any()
    let_the_cpu_record(monkeypatch)
    np.testing.assert_array_equal(codes(small_digits, **turned), expected)


def test_a_step_that_cannot_be_recorded_is_taken_all_the_same(small_digits, monkeypatch):
    expected = codes(small_digits)
    let_the_cpu_record(monkeypatch)

    step = BiGANNet.gradients

    def waiting(net, noise, batch, *settings):
        batch.sum().item()
        return step(net, noise, batch, *settings)

    monkeypatch.setattr(BiGANNet, "gradients", waiting)
    with pytest.warns(RuntimeWarning, match="could not be recorded"):
        found = codes(small_digits)
    np.testing.assert_array_equal(found, expected)


def test_networks_of_the_users_are_not_recorded(small_digits, monkeypatch):
    let_the_cpu_record(monkeypatch)

    def body(n_features, latent_dim):
        return torch.nn.Sequential(torch.nn.Linear(n_features, 8), torch.nn.LeakyReLU())

    codes(small_digits, network={"encoder": body})
    assert Graphs.n_recordings == 0
