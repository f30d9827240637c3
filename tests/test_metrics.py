"""Scores without labels: known answers, and their use in model selection."""

import pickle
from functools import partial

import numpy as np
import pytest
from factories import small, table
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_bigan import metrics

SCORES = {name: getattr(metrics, name) for name in metrics.__all__}
SEEDED = {name: score for name, score in SCORES.items() if name != "reconstruction_score"}
every_score = pytest.mark.parametrize("score", SCORES.values(), ids=SCORES)
every_seeded_score = pytest.mark.parametrize("score", SEEDED.values(), ids=SEEDED)


@pytest.fixture(scope="module")
def digits(digits):
    return np.random.default_rng(0).permutation(digits)  # the rows are ordered by writer


@pytest.fixture(scope="module")
def trained(digits):
    return small(max_epochs=40).fit(digits[:600])


@pytest.fixture(scope="module")
def held_out(digits):
    return digits[600:1200]


@pytest.mark.parametrize("score", [metrics.reconstruction_score, metrics.sample_score,
                                   metrics.trustworthiness_score])  # fmt: skip
def test_training_raises_the_score(score, trained, digits, held_out):
    untrained = small(max_epochs=0).fit(digits[:600])
    # Measured: reconstruction -0.03 and 0.56, samples 0.01 and 0.16, trustworthiness 0.79 and 0.97.
    assert score(trained, held_out) > score(untrained, held_out) + 0.05


def test_reconstruction_is_the_score_of_the_estimator(trained, held_out):
    assert metrics.reconstruction_score(trained, held_out) == trained.score(held_out)


@pytest.mark.parametrize(
    ("made", "least", "most"),
    [
        (lambda digits, n: digits[1200 : 1200 + n], 0.85, 1),  # rows of the same distribution
        (lambda digits, n: np.tile(digits.mean(0), (n, 1)), 0, 0.01),  # one sample, repeated
        (lambda digits, n: digits[600 : 600 + n] + 1e-3, 0, 0.05),  # copies of the rows
    ],
    ids=["rows", "constant", "copies"],
)
def test_samples_have_known_scores(made, least, most, trained, digits, held_out, monkeypatch):
    sampled = partial(made, digits)
    monkeypatch.setattr(
        type(trained), "sample", lambda self, n_samples, random_state: sampled(n_samples)
    )
    score = metrics.sample_score(trained, held_out[:590])
    assert least <= score <= most


def test_a_far_origin_changes_no_score_of_samples():
    X = table(400)
    near, far = (small(max_epochs=20).fit(X + shift) for shift in (0, 2.0**30))
    expected = metrics.sample_score(near, X)
    assert metrics.sample_score(far, X + 2.0**30) == pytest.approx(expected, abs=0.05)


@pytest.mark.parametrize("posterior", ["deterministic", "gaussian"])
def test_codes_that_are_draws_of_the_prior_match_it(posterior, digits, monkeypatch):
    fitted = small(max_epochs=1, prior="normal", posterior=posterior).fit(digits[:600])
    random = np.random.default_rng(1)
    moments = np.repeat(np.float32([[0, 1]]), fitted.n_components, axis=1)
    monkeypatch.setattr(fitted.net_, "predict", lambda X: random.standard_normal((len(X), 4)))
    monkeypatch.setattr(fitted.net_, "map_rows", lambda _, X: np.tile(moments, (len(X), 1)))
    assert metrics.prior_score(fitted, digits) > 0.85


def test_codes_far_from_the_prior_do_not_match_it(trained, held_out, monkeypatch):
    codes = trained.net_.predict(held_out)
    assert metrics.prior_score(trained, held_out) > 0.1  # measured 0.85
    monkeypatch.setattr(trained.net_, "predict", lambda X: codes[: len(X)] + 100)
    assert metrics.prior_score(trained, held_out) == 0


def test_codes_at_random_are_not_trustworthy(trained, held_out, monkeypatch):
    random = np.random.default_rng(0)
    assert metrics.trustworthiness_score(trained, held_out) > 0.8
    monkeypatch.setattr(trained.net_, "predict", lambda X: random.normal(size=(len(X), 4)))
    assert metrics.trustworthiness_score(trained, held_out) == pytest.approx(0.5, abs=0.05)


@every_score
def test_a_pickled_score_is_the_same(score, trained, held_out):
    again = pickle.loads(pickle.dumps(score))
    assert again(trained, held_out) == score(trained, held_out)


@every_seeded_score
def test_random_state_determines_the_score(score, trained, digits):
    assert score(trained, digits) == score(trained, digits)  # 1797 rows, of which some are drawn
    assert score(trained, digits, random_state=1) != score(trained, digits)


@every_score
def test_features_do_not_change_a_score(score, held_out, digits):
    fitted = small().fit(digits[:300])
    expected = score(fitted, held_out)
    assert score(fitted.set_params(features="hidden"), held_out) == expected


@every_score
def test_a_pipeline_scores_what_its_last_step_sees(score, digits, held_out):
    pipe = make_pipeline(StandardScaler(), small()).fit(digits[:300])
    assert score(pipe, held_out) == score(pipe[-1], pipe[0].transform(held_out))
    assert score(make_pipeline(pipe), held_out) == score(pipe, held_out)


@every_score
def test_a_search_without_labels_takes_the_score(score, small_digits):
    grid = {"n_components": [2, 6]}
    search = GridSearchCV(small(), grid, scoring=score, cv=2).fit(small_digits)
    found = search.cv_results_["mean_test_score"]
    assert np.isfinite(found).all()
    assert search.best_params_["n_components"] == grid["n_components"][np.argmax(found)]
    pipe = make_pipeline(StandardScaler(), small())
    assert np.isfinite(cross_val_score(pipe, small_digits, scoring=score, cv=2)).all()


@every_score
def test_what_cannot_be_scored_is_refused(score, small_digits):
    with pytest.raises(TypeError, match=r"must be a BiGANTransformer or a Pipeline .*Got PCA"):
        score(PCA().fit(small_digits), small_digits)
    with pytest.raises(NotFittedError):
        score(small(), small_digits)
