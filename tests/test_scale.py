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
    assert found["seconds_an_epoch"] > 0
    assert found["megabytes_above_start"] >= 0
