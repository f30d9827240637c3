"""Searches over parameters, here and on other processes."""

import distributed
import joblib
import numpy as np
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, HalvingGridSearchCV
from sklearn.pipeline import Pipeline

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
