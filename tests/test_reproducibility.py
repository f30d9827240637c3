import pickle
import random
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import joblib
import numpy as np
import pytest
import torch
from factories import small
from skorch.callbacks import Callback
from threadpoolctl import threadpool_info, threadpool_limits
from torch import nn

from sklearn_bigan import BiGANTransformer


class Dropping(nn.Sequential):
    """A body with dropout, which draws from torch's default generator."""

    def __init__(self, n_features, latent_dim):
        super().__init__(nn.Linear(n_features, 16), nn.Dropout(0.5))


VARIANTS = {
    "default": {},
    "published": {"method": "bigan"},
    "gaussian": {"method": "ali"},
    "regressor": {"method": "joint_latent_regression"},
    "dropout": {"network": {"encoder": Dropping}},
    "images": {"image_shape": (8, 8), "max_epochs": 1},
}
variants = pytest.mark.parametrize("parameters", VARIANTS.values(), ids=VARIANTS)


def codes(X: np.ndarray, **parameters) -> np.ndarray:
    return small(**{"hidden_layer_sizes": (256,), "max_epochs": 3} | parameters).fit(X).transform(X)


@contextmanager
def threads(n_threads: int):
    before = torch.get_num_threads()
    torch.set_num_threads(n_threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@variants
def test_the_same_seed_gives_the_same_bits(small_digits, parameters):
    np.testing.assert_array_equal(
        codes(small_digits, **parameters), codes(small_digits, **parameters)
    )


def test_fitting_an_object_twice_gives_the_same_bits(small_digits):
    estimator = small()
    first = estimator.fit_transform(small_digits)
    np.testing.assert_array_equal(estimator.fit_transform(small_digits), first)


@variants
def test_different_seeds_differ(small_digits, parameters):
    first, second = (codes(small_digits, random_state=s, **parameters) for s in (0, 1))
    assert (first != second).any()


@variants
def test_the_number_of_threads_does_not_show(small_digits, parameters):
    found = []
    for n_threads in (1, 2):
        with threads(n_threads):
            found.append(codes(small_digits, **parameters))
    np.testing.assert_array_equal(*found)


def test_initial_weights_and_clusters_are_the_same_on_many_threads(small_digits):
    states = []
    for n_threads in (1, 8):
        with threads(n_threads):
            fitted = BiGANTransformer(50, max_epochs=0, random_state=0, device="cpu")
            states.append(fitted.fit(small_digits).net_.module_.state_dict())
    for name, value in states[0].items():
        assert torch.equal(value, states[1][name]), name


@pytest.mark.parametrize("backend", ["loky", "threading"])
def test_workers_give_the_same_bits_as_this_process(small_digits, backend):
    here = [codes(small_digits, random_state=seed) for seed in range(4)]
    with joblib.parallel_config(backend):
        there = joblib.Parallel(n_jobs=2)(
            joblib.delayed(codes)(small_digits, random_state=seed) for seed in range(4)
        )
    np.testing.assert_array_equal(here, there)


def test_threads_with_dropout_do_not_disturb_one_another(small_digits):
    parameters = VARIANTS["dropout"]
    here = [codes(small_digits, random_state=seed, **parameters) for seed in range(4)]
    with joblib.parallel_config("threading"):
        there = joblib.Parallel(n_jobs=4)(
            joblib.delayed(codes)(small_digits, random_state=seed, **parameters)
            for seed in range(4)
        )
    np.testing.assert_array_equal(here, there)


def test_another_process_gives_the_same_bits(small_digits):
    script = """
import sys
from sklearn.datasets import load_digits
from sklearn_bigan import BiGANTransformer
X = load_digits().data[:300] / 16
Z = BiGANTransformer(4, max_epochs=2, random_state=0).fit_transform(X)
sys.stdout.buffer.write(Z.tobytes())
"""
    there = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True).stdout
    here = BiGANTransformer(4, max_epochs=2, random_state=0).fit_transform(small_digits)
    assert there == here.tobytes()


def test_a_random_state_object_is_drawn_from(small_digits):
    state = np.random.RandomState(0)
    first, second = (codes(small_digits, random_state=state) for _ in range(2))
    assert (first != second).any()
    again = codes(small_digits, random_state=np.random.RandomState(0))
    np.testing.assert_array_equal(again, first)


def test_without_a_seed_fits_differ(small_digits):
    first, second = (codes(small_digits, random_state=None) for _ in range(2))
    assert (first != second).any()


@pytest.mark.parametrize("random_state", [0, None])
@variants
def test_the_callers_generators_are_neither_read_nor_moved(small_digits, parameters, random_state):
    def states():
        numpys = np.random.get_state()  # noqa: NPY002 (the global generator is what is tested)
        return repr((random.getstate(), numpys, torch.get_rng_state().tolist()))

    np.random.seed(3)  # noqa: NPY002
    before = states()
    fitted = small(**{"random_state": random_state} | parameters).fit(small_digits)
    fitted.partial_fit(small_digits)
    fitted.inverse_transform(fitted.transform(small_digits))
    fitted.sample(3)
    fitted.score(small_digits)
    fitted.score_samples(small_digits)
    assert states() == before


def test_fit_gives_the_threads_back(small_digits):
    with threads(2):  # not the 1 that fit takes
        small().fit(small_digits)
        assert torch.get_num_threads() == 2


def test_torchs_default_dtype_makes_no_difference(small_digits):
    model = small().fit(small_digits)
    expected = model.transform(small_digits), model.sample(5, random_state=0)
    torch.set_default_dtype(torch.float64)
    try:
        for other in (small().fit(small_digits), pickle.loads(pickle.dumps(model))):
            np.testing.assert_array_equal(other.transform(small_digits), expected[0])
            np.testing.assert_array_equal(other.sample(5, random_state=0), expected[1])
        assert torch.get_default_dtype() == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)


class Meet(Callback):
    """Starts another fit when its own begins, and lets it begin, or end, before its own ends."""

    def __init__(self, start, wait_for):
        self.start = start
        self.wait_for = wait_for

    def on_train_begin(self, net, **kwargs):
        self.start()

    def on_train_end(self, net, **kwargs):
        assert self.wait_for.wait(60)
        self.dtype = torch.get_default_dtype()


def test_fits_that_overlap_give_the_settings_of_the_process_back(small_digits):
    def settings():
        pools = [(pool["filepath"], pool["num_threads"]) for pool in threadpool_info()]
        return torch.get_default_dtype(), torch.backends.cudnn.deterministic, pools

    begun, first_done = threading.Event(), threading.Event()
    second = Meet(start=begun.set, wait_for=first_done)
    torch.set_default_dtype(torch.float64)
    try:
        with threadpool_limits(2), ThreadPoolExecutor() as pool:
            before, jobs = settings(), []
            later = small(callbacks=[second]).fit
            first = Meet(lambda: jobs.append(pool.submit(later, small_digits)), wait_for=begun)
            pool.submit(small(callbacks=[first]).fit, small_digits).result()
            first_done.set()
            jobs[0].result()
            assert settings() == before
    finally:
        torch.set_default_dtype(torch.float32)
    assert second.dtype == torch.float32  # the first fit was done
