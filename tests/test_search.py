"""Searches over parameters, here and on other processes."""

import distributed
import joblib
import numpy as np
import pytest
import torch
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, HalvingGridSearchCV
from sklearn.pipeline import Pipeline
from skorch.callbacks import Callback
from threadpoolctl import threadpool_info

from sklearn_bigan import BiGANTransformer


def bigan(**parameters) -> BiGANTransformer:
    defaults = {"n_components": 4, "hidden_layer_sizes": (32,), "random_state": 0}
    return BiGANTransformer(**{**defaults, **parameters})


def scores(X, **how) -> np.ndarray:
    search = GridSearchCV(
        bigan(max_epochs=2), {"n_components": [2, 6]}, cv=2, error_score="raise", **how
    )
    found = search.fit(X).cv_results_
    return np.array([found[f"split{i}_test_score"] for i in range(2)])


@pytest.mark.slow
def test_a_dask_cluster_finds_the_same_scores(small_digits):
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster),
        joblib.parallel_config("dask"),
    ):
        workers = scores(small_digits, n_jobs=2)
    np.testing.assert_array_equal(workers, scores(small_digits))


@pytest.fixture
def large(small_digits) -> np.ndarray:
    """More than the 1 MB from which on joblib hands its workers a read-only map of a file."""
    return np.tile(small_digits, (1, 14))


def test_a_search_over_mapped_rows_finds_the_same_scores(large):
    with joblib.parallel_config("loky"):
        workers = scores(large, n_jobs=2)
    np.testing.assert_array_equal(workers, scores(large))


def way_and_codes(X) -> tuple[bool, np.ndarray]:
    return isinstance(X, np.memmap), bigan(max_epochs=2).fit_transform(X)


def test_a_worker_trains_on_mapped_rows_as_this_process_on_the_array(large):
    _, here = way_and_codes(large)
    there = joblib.Parallel(n_jobs=2)(joblib.delayed(way_and_codes)(large) for _ in range(2))
    for mapped, codes in there:
        assert mapped
        np.testing.assert_array_equal(codes, here)


class Threads(Callback):
    """Counts threads in training."""

    def on_batch_end(self, net, **kwargs):
        net.threads_ = threads()


def threads() -> list[int]:
    """Of torch's kernels, and of each library beneath."""
    return [torch.get_num_threads(), *(library["num_threads"] for library in threadpool_info())]


def threads_around_and_in_training(X) -> tuple[list[int], list[int]]:
    torch.set_num_threads(2)
    model = bigan(max_epochs=1, callbacks=[Threads()]).fit(X)
    return threads(), model.net_.threads_


def test_a_worker_trains_on_one_thread_whatever_it_is_lent(small_digits):
    with joblib.parallel_config("loky", inner_max_num_threads=2):
        found = joblib.Parallel(n_jobs=2)(
            joblib.delayed(threads_around_and_in_training)(small_digits) for _ in range(2)
        )
    for around, within in found:
        assert set(around) == {2}
        assert set(within) == {1}


@pytest.mark.parametrize(
    ("n_jobs", "expected"), [(2, 2), (-1, joblib.cpu_count())], ids=["two", "all"]
)
def test_n_jobs_is_the_number_of_threads_that_train(n_jobs, expected, small_digits):
    around = torch.get_num_threads()
    model = bigan(max_epochs=1, n_jobs=n_jobs, callbacks=[Threads()]).fit(small_digits)
    assert model.net_.threads_[0] == expected
    assert torch.get_num_threads() == around
    longer = model.set_params(n_jobs=None).partial_fit(small_digits)
    assert longer.net_.threads_[0] == 1


def test_two_threads_give_the_same_bits_each_time(small_digits):
    # One epoch: threads that share their cores with other tests wait for each other.
    twice = [bigan(n_jobs=2, max_epochs=1, random_state=0) for _ in range(2)]
    codes = [model.fit_transform(small_digits) for model in twice]
    np.testing.assert_array_equal(*codes)


def test_a_halving_search_takes_epochs_for_its_resource_and_warm_start_goes_on(small_digits):
    steps = [("bigan", bigan()), ("classify", LogisticRegression(max_iter=500))]
    search = HalvingGridSearchCV(
        Pipeline(steps),
        {"bigan__n_components": [2, 4, 6, 8]},
        resource="bigan__max_epochs",
        min_resources=1,
        max_resources=4,
        factor=2,
        cv=2,
        random_state=0,
        error_score="raise",
    ).fit(small_digits, np.arange(300) % 3)
    assert search.n_resources_ == [1, 2, 4]
    best = search.best_estimator_["bigan"]
    assert best.n_iter_ == 4
    before = best.transform(small_digits)
    longer = best.set_params(warm_start=True, max_epochs=2).fit(small_digits)
    assert longer.n_iter_ == 6
    assert (longer.transform(small_digits) != before).any()
