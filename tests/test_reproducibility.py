import pickle
import random
import subprocess
import sys

import joblib
import numpy as np
import pytest
import torch
from torch import nn

from sklearn_bigan import BiGANTransformer
from sklearn_bigan._randomness import float32_by_default, repeatable


class Dropping(nn.Sequential):
    """A body with dropout, which draws from torch's default generator."""

    def __init__(self, n_features, latent_dim):
        super().__init__(nn.Linear(n_features, 16), nn.Dropout(0.5))


VARIANTS = {
    "default": {},
    "gaussian": {"posterior": "gaussian"},
    "regressor": {"inference": "joint_latent_regression"},
    "dropout": {"network": {"encoder": Dropping}},
}
variants = pytest.mark.parametrize("parameters", VARIANTS.values(), ids=VARIANTS)


def bigan(random_state=0, **parameters) -> BiGANTransformer:
    return BiGANTransformer(
        n_components=4,
        hidden_layer_sizes=(256,),
        max_epochs=3,
        random_state=random_state,
        **parameters,
    )


def codes(X: np.ndarray, **parameters) -> np.ndarray:
    return bigan(**parameters).fit(X).transform(X)


def codes_on_threads(X: np.ndarray, n_threads: int, **parameters) -> np.ndarray:
    before = torch.get_num_threads()
    torch.set_num_threads(n_threads)
    try:
        fitted = bigan(**parameters).fit(X)
    finally:
        torch.set_num_threads(before)
    return fitted.transform(X)


@variants
def test_the_same_seed_gives_the_same_bits(small_digits, parameters):
    np.testing.assert_array_equal(
        codes(small_digits, **parameters), codes(small_digits, **parameters)
    )


def test_fitting_an_object_twice_gives_the_same_bits(small_digits):
    estimator = bigan()
    first = estimator.fit_transform(small_digits)
    np.testing.assert_array_equal(estimator.fit_transform(small_digits), first)


@variants
def test_different_seeds_differ(small_digits, parameters):
    first, second = (codes(small_digits, random_state=s, **parameters) for s in (0, 1))
    assert (first != second).any()


@variants
def test_the_number_of_threads_does_not_show(small_digits, parameters):
    np.testing.assert_array_equal(
        codes_on_threads(small_digits, 1, **parameters),
        codes_on_threads(small_digits, 2, **parameters),
    )


def test_initial_weights_and_clusters_are_the_same_on_many_threads(small_digits):
    states = []
    before = torch.get_num_threads()
    for n_threads in (1, 8):
        torch.set_num_threads(n_threads)
        try:
            fitted = BiGANTransformer(50, max_epochs=0, random_state=0).fit(small_digits)
        finally:
            torch.set_num_threads(before)
        states.append(fitted.net_.module_.state_dict())
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


def test_the_mean_of_a_gaussian_posterior_is_no_draw(small_digits):
    fitted = bigan(posterior="gaussian").fit(small_digits)
    np.testing.assert_array_equal(fitted.transform(small_digits), fitted.transform(small_digits))


@pytest.mark.parametrize("random_state", [0, None])
@variants
def test_the_callers_generators_are_neither_read_nor_moved(small_digits, parameters, random_state):
    def states():
        numpys = np.random.get_state()  # noqa: NPY002 (the global generator is what is tested)
        return repr((random.getstate(), numpys, torch.get_rng_state().tolist()))

    np.random.seed(3)  # noqa: NPY002
    before = states()
    fitted = bigan(random_state=random_state, **parameters).fit(small_digits)
    fitted.partial_fit(small_digits)
    fitted.inverse_transform(fitted.transform(small_digits))
    fitted.sample(3)
    fitted.score(small_digits)
    fitted.score_samples(small_digits)
    assert states() == before


def test_fit_gives_the_threads_back(small_digits):
    before = torch.get_num_threads()
    torch.set_num_threads(2)  # not the 1 that fit takes
    try:
        bigan().fit(small_digits)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_fits_that_overlap_give_the_threads_back():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        first, second = repeatable(), repeatable()
        first.__enter__()
        second.__enter__()
        first.__exit__(None, None, None)
        assert torch.get_num_threads() == 2  # here; a thread has a number of its own
        second.__exit__(None, None, None)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_torchs_default_dtype_makes_no_difference(small_digits):
    model = bigan().fit(small_digits)
    expected = model.transform(small_digits), model.sample(5, random_state=0)
    torch.set_default_dtype(torch.float64)
    try:
        for other in (bigan().fit(small_digits), pickle.loads(pickle.dumps(model))):
            np.testing.assert_array_equal(other.transform(small_digits), expected[0])
            np.testing.assert_array_equal(other.sample(5, random_state=0), expected[1])
        assert torch.get_default_dtype() == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)


def test_fits_that_overlap_give_the_default_dtype_back():
    torch.set_default_dtype(torch.float64)
    try:
        first, second = float32_by_default(), float32_by_default()
        first.__enter__()
        second.__enter__()
        first.__exit__(None, None, None)
        assert torch.get_default_dtype() == torch.float32  # the second is not done
        second.__exit__(None, None, None)
        assert torch.get_default_dtype() == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)
