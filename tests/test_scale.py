import sys

import numpy as np
import pytest


@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from Linux's /proc")
def test_a_file_of_rows_is_made_and_trained_on(module, monkeypatch, tmp_path):
    scale = module("scale")
    monkeypatch.setattr(scale, "CHUNK", 1000)
    scale.make(tmp_path / "rows.npy", 2500)
    rows = np.load(tmp_path / "rows.npy")
    assert rows.shape == (2500, 32)
    assert (rows.std(axis=0) > 0.3).all()
    found = scale.train(tmp_path / "rows.npy")
    assert 0 < found["seconds_of_its_steps"] < found["seconds_an_epoch"]
    assert found["seconds_beside_epochs"] > 0
    assert found["megabytes_above_start"] >= 0


def test_a_search_has_the_same_scores_again(module, monkeypatch, small_digits):
    search = module("search")
    monkeypatch.setattr(search, "SETTINGS", {**search.SETTINGS, "max_epochs": 1})
    monkeypatch.setattr(search, "N_COMPONENTS", [2, 4])
    (seconds, scores), (_, again) = (search.search(small_digits, 1) for _ in range(2))
    assert seconds > 0
    assert len(set(scores)) == 6
    assert scores == again


def test_steps_of_one_process_are_timed_and_send_nothing(module, monkeypatch):
    processes = module("processes")
    monkeypatch.setitem(processes.CASES, "table 32", {"n_columns": 32, "steps": 2})
    found = processes.steps("table 32")
    assert found["step_seconds"] > 0
    assert found["all_reduce_megabytes"] == 0
    assert found["rows_a_step"] == 64
