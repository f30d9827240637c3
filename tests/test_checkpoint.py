"""A fit that was interrupted goes on from its checkpoint, and ends with the same bits."""

import os
import signal

import numpy as np
import pytest
import torch
from factories import small
from skorch.callbacks import Callback

from sklearn_bigan._data import source
from sklearn_bigan._training import checkpoint

OFTEN, NEVER = 1e-9, 1e9
SETTINGS = {"batch_size": 32, "max_epochs": 3}


class Kill(Callback):
    """Ends a fit at an update, as a crash would."""

    def __init__(self, at):
        self.at = at

    def on_batch_begin(self, net, **kwargs):
        if net.n_updates_ == self.at:
            raise RuntimeError("killed")


def kill(X, path, at, **parameters):
    with pytest.raises(RuntimeError, match="killed"):
        small(**SETTINGS | parameters, checkpoint=(path, OFTEN), callbacks=[Kill(at)]).fit(X)


def state(estimator):
    """Return all that a further step would depend on, and the history without its times."""
    net = estimator.net_
    optimizer = net.optimizer_.state_dict()
    moments = {
        f"{number} {name}": tensor
        for number, parts in optimizer["state"].items()
        for name, tensor in parts.items()
    }
    history = [{k: v for k, v in epoch.items() if k != "dur"} for epoch in estimator.history_]
    rates = [group["lr"] for group in optimizer["param_groups"]]
    return net.module_.state_dict() | moments, [history, rates, net.n_updates_, net.seed]


def assert_same(found, expected):
    (tensors, rest), (expected_tensors, expected_rest) = state(found), state(expected)
    assert rest == expected_rest
    assert tensors.keys() == expected_tensors.keys()
    for name, tensor in tensors.items():
        assert torch.equal(tensor, expected_tensors[name]), name


@pytest.mark.parametrize(
    ("parameters", "at"),
    [
        *(({}, at) for at in (1, 10, 19)),  # an epoch has ten updates, the last one of fewer rows
        ({"method": "bigan"}, 11),
        ({"method": "latent_regression"}, 11),
        ({"image_shape": (8, 8)}, 11),
        ({"compile": True}, 10),
        # dropout draws from torch's default generator
        ({"image_shape": (8, 8), "method": "ali", "network": "ali", "max_epochs": 1}, 5),
    ],
    ids=str,
)
def test_a_fit_goes_on_with_the_same_bits(small_digits, tmp_path, monkeypatch, parameters, at):
    # What compiled code computes is torch's business; which batches are compiled is ours.
    monkeypatch.setattr(torch._inductor, "compile", lambda graph, inputs, options: graph)
    expected = small(**SETTINGS | parameters).fit(small_digits)
    kill(small_digits, tmp_path / "file", at, **parameters)
    found = small(**SETTINGS | parameters, checkpoint=tmp_path / "file").fit(small_digits)
    assert_same(found, expected)


def test_a_fit_goes_on_in_any_block(digits, tmp_path, monkeypatch):
    monkeypatch.setattr(source, "BLOCK_ROWS", 200)
    monkeypatch.setattr(source, "SPANS_PER_BLOCK", 10)
    X = digits[:900]
    expected = small(**SETTINGS).fit(X)
    for at in (5, 12, 20, 29, 31, 60):
        kill(X, tmp_path / "file", at)
        found = small(**SETTINGS, checkpoint=tmp_path / "file").fit(X)
        assert_same(found, expected)
        (tmp_path / "file").unlink()


def body(n_features, latent_dim):
    return torch.nn.Sequential(torch.nn.Linear(n_features, 8), torch.nn.Dropout(0.1))


def test_networks_of_the_user_go_on_in_another_process(small_digits, tmp_path):
    kill(small_digits, tmp_path / "file", 12, network={"encoder": body})
    header, _ = checkpoint.read(tmp_path / "file")
    assert header["identity"]["network"] == {"encoder": "body"}  # and no address of this process
    given = SETTINGS | {"network": {"encoder": body}}
    found = small(**given, checkpoint=tmp_path / "file").fit(small_digits)
    assert_same(found, small(**given).fit(small_digits))


@pytest.mark.parametrize("make", [lambda: None, lambda: np.random.RandomState(0)])
def test_a_seed_that_was_drawn_is_kept(small_digits, tmp_path, make):
    kill(small_digits, tmp_path / "file", 12, random_state=make())
    header, _ = checkpoint.read(tmp_path / "file")
    again = small(**SETTINGS, random_state=make(), checkpoint=tmp_path / "file")
    assert again.fit(small_digits).net_.seed == header["seed"]


def test_a_finished_training_is_loaded(small_digits, tmp_path):
    first = small(**SETTINGS, checkpoint=tmp_path / "file").fit(small_digits)
    never = small(**SETTINGS, checkpoint=tmp_path / "file", callbacks=[Kill(0)])
    assert_same(never.fit(small_digits), first)
    # and it can be trained further
    first.partial_fit(small_digits)
    never.set_params(callbacks=None).partial_fit(small_digits)
    np.testing.assert_array_equal(never.transform(small_digits), first.transform(small_digits))


@pytest.mark.parametrize("at", [0, 7, 25])
def test_ctrl_c_costs_no_step(small_digits, tmp_path, at):
    class CtrlC(Callback):
        def on_batch_begin(self, net, **kwargs):
            if net.n_updates_ == at:
                os.kill(os.getpid(), signal.SIGINT)

    given = SETTINGS | {"checkpoint": tmp_path / "file"}
    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        small(**given, callbacks=[CtrlC()]).fit(small_digits)
    assert signal.getsignal(signal.SIGINT) is handler
    header, _ = checkpoint.read(tmp_path / "file")
    assert header["n_updates"] == at + 1
    assert_same(small(**given).fit(small_digits), small(**SETTINGS).fit(small_digits))


def test_a_second_ctrl_c_does_not_wait(small_digits, tmp_path):
    class Impatient(Callback):
        def on_batch_begin(self, net, **kwargs):
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)
            raise AssertionError("the second was held back, too")

    with pytest.raises(KeyboardInterrupt):
        small(**SETTINGS, checkpoint=tmp_path / "file", callbacks=[Impatient()]).fit(small_digits)
    assert not (tmp_path / "file").exists()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"n_components": 3}, "latent_dim was 4 and is 3"),
        ({"cycle_weight": 1.5}, "cycle_weight was 100.0 and is 1.5"),
        ({"random_state": 1}, "random_state was 0 and is 1"),
        ({"max_epochs": 5, "batch_size": 16}, "batch_size was 32 and is 16; max_epochs was 3"),
    ],
    ids=str,
)
def test_another_training_is_refused_and_the_file_kept(small_digits, tmp_path, changed, message):
    kill(small_digits, tmp_path / "file", 12, random_state=0, n_components=4)
    before = (tmp_path / "file").read_bytes()
    given = SETTINGS | {"random_state": 0, "n_components": 4} | changed
    with pytest.raises(ValueError, match=message):
        small(**given, checkpoint=tmp_path / "file").fit(small_digits)
    assert (tmp_path / "file").read_bytes() == before


def test_other_rows_are_refused(small_digits, tmp_path):
    kill(small_digits, tmp_path / "file", 12)
    for other in (small_digits[::-1], small_digits[:-1], small_digits.astype(float)):
        with pytest.raises(ValueError, match="of another training: X was"):
            small(**SETTINGS, checkpoint=tmp_path / "file").fit(other)


def test_a_disk_that_is_full_costs_a_warning(small_digits, tmp_path, monkeypatch):
    kill(small_digits, tmp_path / "file", 12)
    before = (tmp_path / "file").read_bytes()

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.warns(RuntimeWarning, match=r"could not be written.*No space left.*continues"):
        found = small(**SETTINGS, checkpoint=tmp_path / "file").fit(small_digits)
    assert (tmp_path / "file").read_bytes() == before
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]
    assert_same(found, small(**SETTINGS).fit(small_digits))


@pytest.mark.parametrize(
    "value", [("file",), ("file", 0), ("file", "often"), (3, 3.0), ("a", 1, 2)], ids=str
)
def test_a_checkpoint_is_a_path_or_path_and_seconds(small_digits, value):
    with pytest.raises(ValueError, match="'checkpoint' parameter must be a path, or a path and"):
        small(**SETTINGS, checkpoint=value).fit(small_digits)


def test_the_directory_must_exist(small_digits, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"directory of checkpoint=.*does not exist"):
        small(**SETTINGS, checkpoint=tmp_path / "none" / "file").fit(small_digits)


@pytest.mark.parametrize("content", [b"", b"no such file", b"\x80\x04K\x01."], ids=str)
def test_other_files_are_refused_and_kept(small_digits, tmp_path, content):
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(ValueError, match="damaged, or no file that fit has written"):
        small(**SETTINGS, checkpoint=tmp_path / "file").fit(small_digits)
    assert (tmp_path / "file").read_bytes() == content


def test_a_training_that_goes_on_in_memory_writes_no_file(small_digits, tmp_path):
    estimator = small(**SETTINGS, checkpoint=tmp_path / "file").fit(small_digits)
    (tmp_path / "file").unlink()
    estimator.partial_fit(small_digits)
    estimator.set_params(warm_start=True).fit(small_digits)
    assert not list(tmp_path.iterdir())
