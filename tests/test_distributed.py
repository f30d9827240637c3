"""One fit on two processes, by gloo: both end alike, and but for rounding as one process does."""

import os
import pickle
import subprocess
import sys
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
import torch
from factories import BodyWithBatchNorm, small, spec
from skorch.callbacks import EarlyStopping
from torch import nn
from torch.nn.functional import batch_norm

from sklearn_bigan._data import source
from sklearn_bigan._data.batches import cuts
from sklearn_bigan._data.draws import Draws
from sklearn_bigan._runtime import distributed
from sklearn_bigan._runtime.device import resolve_device
from sklearn_bigan._runtime.distributed import SharedBatchNorm, check_rows, shard
from sklearn_bigan._training.config import TrainingConfig
from sklearn_bigan._training.net import make_objective
from sklearn_bigan.networks.priors import MixturePrior

CPU = torch.device("cpu")


# No epoch is better than the first: training ends after the second, and goes back to the first.
STOP = EarlyStopping("epoch", patience=1, load_best=True, sink=lambda text: None)
IMAGES = {"image_shape": (8, 8), "precision": "float32"}
CASES = {
    "default": {},
    "ALI": {"method": "ali"},
    "latent regression": {"method": "joint_latent_regression"},
    "views of images": {**IMAGES, "posterior": "gaussian"},
    "images": {**IMAGES, "augmentations": None},
    "mixed precision": {**IMAGES, "precision": "bfloat16"},
    "batch norm in D": {"network": {"discriminator": BodyWithBatchNorm}},
    "batch norm in D of BiGAN": {
        "method": "bigan",
        "network": {"discriminator": BodyWithBatchNorm},
    },
    "early stopping": {"callbacks": [STOP], "max_epochs": 4},
    "blocks": {},  # of 128 rows
}
SETTINGS = {"batch_size": 64, "max_epochs": 1}


def train(X: np.ndarray) -> dict:
    """What each case comes to."""
    found = {}
    for name, parameters in CASES.items():
        block_rows = 128 if name == "blocks" else source.BLOCK_ROWS
        with patch.object(source, "BLOCK_ROWS", block_rows):
            model = small(**SETTINGS | parameters).fit(X)
        weights = {k: v.numpy() for k, v in model.net_.module_.state_dict().items()}
        found[name] = {"weights": weights, "history": model.history_}
    # Seeds drawn by each process for itself, a second fit, and dropout.
    model = small(image_shape=(8, 8), network="ali", max_epochs=1, random_state=None)
    found["transform"] = model.fit(X[:64]).partial_fit(X[64:134]).transform(X)
    return found


@pytest.fixture(scope="module")
def found(tmp_path_factory, digits):
    """Results of one process, and of two."""
    folder = tmp_path_factory.mktemp("distributed")
    X = digits[:256]
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
    mixed = case == "mixed precision"
    if not mixed:  # bfloat16 rounds to three digits: single weights may differ by an update
        for name, value in one["weights"].items():
            np.testing.assert_allclose(two["weights"][name], value, rtol=1e-3, atol=2e-4)
    assert len(one["history"]) == len(two["history"]) == (2 if case == "early stopping" else 1)
    for metric in ("discriminator_loss", "encoder_generator_loss", "reconstruction_ratio"):
        values = [result["history"][-1][metric] for result in (one, two)]
        assert values[0] == pytest.approx(values[1], rel=1e-2 if mixed else 1e-4)


def test_seeds_drawn_apart_and_dropout_leave_them_equal(found):
    _, first, second = found
    np.testing.assert_array_equal(first["transform"], second["transform"])


def test_parts_are_consecutive_rows_of_equal_number():
    rows = torch.arange(6)
    assert [shard(rows, rank, 3).tolist() for rank in range(3)] == [[0, 1], [2, 3], [4, 5]]
    assert shard(torch.arange(7), 1, 3).tolist() == [2, 3]


@pytest.mark.parametrize(
    "changes", [{"posterior": "gaussian"}, {"image_shape": (2, 3, 1)}], ids=["gaussian", "views"]
)
def test_processes_share_the_draws_that_one_would_make(changes):
    views = ("crop", "flip") if "image_shape" in changes else ()
    config = TrainingConfig(1.0, 1.0, 1.0, 3, views, 0.9, "float32", False, 1)
    objective = make_objective(spec(**changes), config, 1.0)
    whole = objective.draw(MixturePrior(3, 2), 8, torch.Generator().manual_seed(0))
    parts = [whole.shard(rank, 2) for rank in range(2)]
    drawn = [leaves(draws) for draws in (whole, *parts)]
    assert len(drawn[0]) == (2 if views == () else 3)
    for tensor, *halves in zip(*drawn, strict=True):
        torch.testing.assert_close(torch.cat(halves, dim=1), tensor, rtol=0, atol=0)


def leaves(draws: Draws) -> list[torch.Tensor]:
    return [t for t in (draws.z, draws.eps, *(draws.views or ())) if t is not None]


@pytest.fixture
def first_of_two(monkeypatch):
    """Be one of two processes, the first of which has 100 rows."""
    monkeypatch.setattr(distributed, "rank_and_size", lambda: (0, 2))
    monkeypatch.setattr(distributed, "from_first", lambda value, device: 100)


def test_processes_with_different_rows_are_told(first_of_two):
    check_rows(100, 64, CPU)
    with pytest.raises(ValueError, match="Got 50 rows here and 100 in the first process"):
        check_rows(50, 64, CPU)


def test_too_few_rows_to_share_are_refused(first_of_two, monkeypatch):
    check_rows(100, 8, CPU)
    with pytest.raises(ValueError, match=r"at least 8, four rows.*Got 7; raise batch_size"):
        check_rows(100, 7, CPU)
    monkeypatch.setattr(distributed, "from_first", lambda value, device: value)
    check_rows(8, 64, CPU)
    with pytest.raises(ValueError, match=r"at least 8 rows.*Got 7; start fewer processes"):
        check_rows(7, 64, CPU)


@pytest.mark.parametrize("n_rows", range(124, 140))
def test_every_part_of_a_batch_has_as_many_rows_and_an_even_number(n_rows, monkeypatch):
    monkeypatch.setattr("sklearn_bigan._data.batches.rank_and_size", lambda: (0, 2))
    sizes = [cut.stop - cut.start for cut in cuts(n_rows, 64)]
    assert all(size % 4 == 0 and size >= 4 for size in sizes)
    assert n_rows - 8 < sum(sizes) <= n_rows


@pytest.mark.parametrize("shape", [(12, 5), (6, 5, 2, 3)])
@pytest.mark.parametrize("momentum", [0.1, None])
def test_shared_batch_norm_is_batch_norm_of_the_whole(shape, momentum, first_of_two, monkeypatch):
    whole = torch.randn(shape, generator=torch.Generator().manual_seed(0)) + 3
    norm = (nn.BatchNorm1d if len(shape) == 2 else nn.BatchNorm2d)(5, momentum=momentum)
    nn.init.uniform_(norm.weight)
    expected_mean, expected_var = norm.running_mean.clone(), norm.running_var.clone()
    expected = batch_norm(
        whole, expected_mean, expected_var, norm.weight, norm.bias, True, momentum or 1.0
    )
    dims = [dim for dim in range(whole.dim()) if dim != 1]

    def stacked(own):  # the other process's part is here, too
        parts = whole.chunk(2)
        moments = [torch.stack([x.mean(dims), x.var(dims, correction=0)]) for x in parts]
        torch.testing.assert_close(own, moments[0])
        return torch.stack(moments)

    monkeypatch.setattr(distributed, "gather_stacked", stacked)
    shared = SharedBatchNorm.convert(nn.Sequential(norm))[0]
    torch.testing.assert_close(shared(whole.chunk(2)[0]), expected.chunk(2)[0])
    torch.testing.assert_close(shared.running_mean, expected_mean)
    torch.testing.assert_close(shared.running_var, expected_var)


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
