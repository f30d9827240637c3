"""Recorded steps, with a stand-in for CUDA's graphs that records operations of the CPU."""

from contextlib import contextmanager, nullcontext
from types import SimpleNamespace

import pytest
import torch
from factories import small
from skorch.callbacks import Callback
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only

from sklearn_bigan._objectives.bigan import BiGANObjective
from sklearn_bigan._training import net as engine
from sklearn_bigan._training.cuda_graphs import WARM_UP

SETTINGS = {"batch_size": 16, "hidden_layer_sizes": (16,)}  # 19 batches an epoch


class Graph(TorchDispatchMode):
    """Remembers operations, and does them again on the same tensors."""

    def __init__(self):
        super().__init__()
        self.operations = []
        self.replays = 0

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
        if self.replays:
            for operation, args, kwargs, out in self.operations:
                again = operation(*args, **kwargs)
                for old, new in zip(tree_leaves(out), tree_leaves(again), strict=True):
                    if isinstance(old, torch.Tensor) and old.data_ptr() != new.data_ptr():
                        old.copy_(new)
        self.replays += 1


@contextmanager
def recording(graph, stream, capture_error_mode):
    with graph:
        yield


class Stream(SimpleNamespace):
    device_index = 0

    def wait_stream(self, other):
        assert other is not self


@pytest.fixture
def graphs(monkeypatch):
    """Let the CPU record as a CUDA device does; return the graphs made."""
    made = []

    def new_graph():
        made.append(Graph())
        return made[-1]

    generator = torch.default_generator
    default = SimpleNamespace(
        clone_state=generator.get_state, graphsafe_set_state=generator.set_state
    )
    cuda = {
        "Stream": lambda device: Stream(device=device),
        "current_stream": lambda device: Stream(device=device),
        "stream": lambda stream: nullcontext(),
        "CUDAGraph": new_graph,
        "graph": recording,
        "default_generators": [default],
    }
    for name, value in cuda.items():
        monkeypatch.setattr(torch.cuda, name, value)
    find_backward = engine.BiGANNet._backward
    gpu = SimpleNamespace(type="cuda")
    monkeypatch.setattr(
        engine.BiGANNet, "_backward", lambda net, device, n_rows: find_backward(net, gpu, n_rows)
    )
    return made


def trained(X, **parameters) -> dict[str, torch.Tensor]:
    return small(**SETTINGS | parameters).fit(X).net_.module_.state_dict()


def assert_same(found, expected):
    for name, value in found.items():
        torch.testing.assert_close(value, expected[name], rtol=0, atol=0)


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"method": "ali"},
        {"method": "joint_latent_regression"},
        {"image_shape": (8, 8)},
        {"image_shape": (8, 8), "network": "ali", "method": "ali"},
    ],
    ids=str,
)
def test_recorded_steps_have_the_bits_of_steps_taken_one_by_one(small_digits, request, parameters):
    X = small_digits[:200]  # the last batches are shorter
    expected = trained(X, **parameters)
    graphs = request.getfixturevalue("graphs")
    assert_same(trained(X, **parameters), expected)
    assert [graph.replays for graph in graphs] == [2 * 12 - WARM_UP]


def test_metrics_stay_what_they_were_when_the_next_step_is_replayed(small_digits, graphs):
    losses = []

    class Keep(Callback):
        def on_batch_end(self, net, metrics, **kwargs):
            losses.append(metrics["discriminator_loss"])

    trained(small_digits, callbacks=[Keep()])
    assert graphs[0].replays > 1
    assert len({loss.item() for loss in losses}) == len(losses)


def test_a_step_that_cannot_be_recorded_is_taken_all_the_same(small_digits, request, monkeypatch):
    expected = trained(small_digits)
    request.getfixturevalue("graphs")
    backward = BiGANObjective.backward

    def waiting(objective, bigan, batch):
        batch.x.sum().item()
        return backward(objective, bigan, batch)

    monkeypatch.setattr(BiGANObjective, "backward", waiting)
    with pytest.warns(RuntimeWarning, match="could not be recorded"):
        found = trained(small_digits)
    assert_same(found, expected)


def test_short_trainings_and_networks_of_the_users_are_not_recorded(small_digits, graphs):
    def body(n_features, latent_dim):
        return nn.Sequential(nn.Linear(n_features, 8), nn.LeakyReLU())

    trained(small_digits[: 16 * WARM_UP], max_epochs=1)
    trained(small_digits, network={"encoder": body})
    assert not graphs
    trained(small_digits[: 16 * WARM_UP + 16], max_epochs=1)
    assert len(graphs) == 1


def test_compiled_steps_can_be_recorded_too(small_digits, request, monkeypatch):
    expected = trained(small_digits)
    graphs = request.getfixturevalue("graphs")
    monkeypatch.setattr(torch._inductor, "compile", lambda graph, inputs, options: graph)
    assert_same(trained(small_digits, compile=True), expected)
    assert len(graphs) == 1
