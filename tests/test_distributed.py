"""One fit on two processes, by gloo: both end alike, and but for rounding as one process does."""

import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import batch_norm

from sklearn_bigan import BiGANTransformer
from sklearn_bigan._batches import cuts
from sklearn_bigan._device import resolve_device
from sklearn_bigan._distributed import Group, shared_batch_norm
from sklearn_bigan._noise import Noise, part

# Batches of 64 rows, or of 32 and their partners, divide these evenly.
N_ROWS = 256
IMAGES = {"image_shape": (8, 8), "network": "dcgan"}
CASES = {
    "default": {},
    "ALI": {"posterior": "gaussian", "prior": "normal", "n_neighbors": 0},
    "latent regression": {"inference": "joint_latent_regression", "prior": "uniform"},
    "views of images": {**IMAGES, "posterior": "gaussian"},
    "batch norm in D": {**IMAGES, "augmentations": None, "n_neighbors": 0},
    "blocks, early stopping": {"early_stopping": True, "validation_fraction": 0.25},
}
SETTINGS = {
    "n_components": 4,
    "batch_size": 64,
    "hidden_layer_sizes": (32,),
    "output_activation": "sigmoid",
    "max_epochs": 1,
    "device": "cpu",
    "random_state": 0,
}


def train(X: np.ndarray) -> dict:
    """What each case comes to."""
    found = {}
    for name, parameters in CASES.items():
        model = BiGANTransformer(**SETTINGS, **parameters).fit(X)
        weights = {k: v.numpy() for k, v in model.net_.averaged_.state_dict().items()}
        found[name] = {"weights": weights, "history": model.history_}
    # Seeds drawn by each process for itself, a second fit, and dropout.
    model = BiGANTransformer(4, image_shape=(8, 8), network="ali", max_epochs=1, device="cpu")
    found["transform"] = model.fit(X[:64]).partial_fit(X[64:134]).transform(X)
    return found


@pytest.fixture(scope="module")
def found(tmp_path_factory, digits):
    """Results of one process, and of two."""
    folder = tmp_path_factory.mktemp("distributed")
    X = digits[:N_ROWS]
    np.save(folder / "X.npy", X)
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    command = [sys.executable, *launcher, __file__, str(folder)]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    ranks = [pickle.loads((folder / f"{rank}.pkl").read_bytes()) for rank in range(2)]
    return [train(X), *ranks]


@pytest.mark.parametrize("case", CASES)
def test_two_processes_end_with_the_same_bits(found, case):
    _, first, second = (result[case] for result in found)
    for name, value in first["weights"].items():
        np.testing.assert_array_equal(value, second["weights"][name])
    assert first["history"] == second["history"]


@pytest.mark.parametrize("case", CASES)
def test_two_processes_learn_what_one_does(found, case):
    one, two, _ = (result[case] for result in found)
    for name, value in one["weights"].items():
        np.testing.assert_allclose(two["weights"][name], value, rtol=1e-3, atol=2e-4)
    for figure in ("discriminator_loss", "encoder_generator_loss", "reconstruction_ratio"):
        values = [result["history"][-1][figure] for result in (one, two)]
        assert values[0] == pytest.approx(values[1], rel=1e-4)


def test_seeds_drawn_apart_and_dropout_leave_them_equal(found):
    _, first, second = found
    np.testing.assert_array_equal(first["transform"], second["transform"])


def test_parts_of_a_batch_are_rows_with_their_partners():
    rows = torch.arange(12)
    assert part(rows, 0, 3).tolist() == [0, 1, 6, 7]
    assert part(rows, 2, 3).tolist() == [4, 5, 10, 11]
    assert part(rows, 0, 1) is rows


def test_processes_draw_together_what_one_would():
    one, *two = (Noise(torch.device("cpu"), 0).shared(*who) for who in ((0, 1), (0, 2), (1, 2)))
    for draw in ("normal", "uniform"):
        whole = getattr(one, draw)(8, 3)
        first, second = (getattr(noise, draw)(4, 3) for noise in two)
        halves = [torch.cat(pair) for pair in zip(first.chunk(2), second.chunk(2), strict=True)]
        torch.testing.assert_close(torch.cat(halves), whole, rtol=0, atol=0)


class PretendedGroup(Group):
    """One of two processes, the first of which has 100 rows."""

    def __init__(self):
        self.rank, self.size = 0, 2

    def from_first(self, value):
        return 100


def test_processes_with_different_rows_are_told():
    PretendedGroup().check(100, 64)
    with pytest.raises(ValueError, match="Got 50 rows here and 100 in the first process"):
        PretendedGroup().check(50, 64)


def test_too_few_rows_to_share_are_refused(monkeypatch):
    monkeypatch.setattr(PretendedGroup, "from_first", lambda self, value: value)
    with pytest.raises(ValueError, match=r"at least 4 rows.*Got 3; start fewer processes"):
        PretendedGroup().check(3, 64)


def test_batches_too_small_to_share_are_refused(monkeypatch):
    monkeypatch.setattr(PretendedGroup, "from_first", lambda self, value: value)
    PretendedGroup().check(100, 4)
    with pytest.raises(ValueError, match=r"at least 4 rows.*Got 3; raise batch_size"):
        PretendedGroup().check(100, 3)


@pytest.mark.parametrize("n_rows", range(124, 140))
def test_every_part_of_a_batch_is_as_long_and_even(n_rows):
    for cut in cuts(n_rows, 64, 2):
        assert (cut.stop - cut.start) % 4 == 0
        assert cut.stop > cut.start


@pytest.mark.parametrize("shape", [(12, 5), (6, 5, 2, 3)])
@pytest.mark.parametrize("momentum", [0.1, None])
def test_shared_batch_norm_is_batch_norm_of_the_whole(shape, momentum):
    """Of a pretended group, whose other member is here, too."""
    whole = torch.randn(shape, generator=torch.Generator().manual_seed(0)) + 3
    norm = (nn.BatchNorm1d if len(shape) == 2 else nn.BatchNorm2d)(5, momentum=momentum)
    nn.init.uniform_(norm.weight)
    expected_mean, expected_var = norm.running_mean.clone(), norm.running_var.clone()
    expected = batch_norm(
        whole, expected_mean, expected_var, norm.weight, norm.bias, True, momentum or 1.0
    )
    dims = [dim for dim in range(whole.dim()) if dim != 1]

    class Both(PretendedGroup):
        def stacked(self, tensor):
            parts = whole.chunk(2)
            moments = [torch.stack([x.mean(dims), x.var(dims, correction=0)]) for x in parts]
            return torch.stack(moments)

    y = shared_batch_norm(norm, Both(), whole.chunk(2)[0])
    torch.testing.assert_close(y, expected.chunk(2)[0])
    torch.testing.assert_close(norm.running_mean, expected_mean)
    torch.testing.assert_close(norm.running_var, expected_var)


def test_processes_take_accelerators_of_their_own(monkeypatch):
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda: torch.device("cuda"))
    monkeypatch.setattr(torch.accelerator, "device_count", lambda: 4)
    assert resolve_device("auto") == torch.device("cuda")
    monkeypatch.setenv("LOCAL_RANK", "6")
    assert resolve_device("auto") == torch.device("cuda:2")


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    results = train(np.load(folder / "X.npy"))
    (folder / f"{os.environ['RANK']}.pkl").write_bytes(pickle.dumps(results))
