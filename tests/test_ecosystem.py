import pickle
import tempfile

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from factories import small
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_digits
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import check_is_fitted

LABELS = load_digits().target[:300]


def pipeline() -> Pipeline:
    return Pipeline([("bigan", small()), ("classify", LogisticRegression(max_iter=500))])


def test_a_pipeline_with_a_classifier_fits_and_predicts(small_digits):
    model = pipeline().fit(small_digits, LABELS)
    assert model.predict(small_digits).shape == (300,)
    assert model.score(small_digits, LABELS) > 0.3  # 0.1 is chance; measured 0.6


def test_inverse_transform_runs_back_through_a_pipeline(small_digits):
    model = make_pipeline(StandardScaler(), small()).fit(small_digits)
    scaler, bigan = model[0], model[1]
    np.testing.assert_array_equal(
        model.inverse_transform(model.transform(small_digits)),
        scaler.inverse_transform(bigan.reconstruct(scaler.transform(small_digits))),
    )


@pytest.mark.parametrize("target", [LABELS, None], ids=["classifier", "own score"])
@pytest.mark.parametrize(
    "grid",
    [{"n_components": [2, 6]}, {"posterior": ["deterministic", "gaussian"]}],
    ids=lambda grid: next(iter(grid)),
)
def test_a_grid_search_finds_the_same_scores_however_it_is_run(small_digits, grid, target):
    def scores(**how):
        estimator = small() if target is None else pipeline()
        prefix = "" if target is None else "bigan__"
        named = {prefix + name: values for name, values in grid.items()}
        found = GridSearchCV(estimator, named, cv=2, error_score="raise", **how)
        results = found.fit(small_digits, target).cv_results_
        return [results[f"split{i}_test_score"] for i in range(2)]

    alone, workers = scores(n_jobs=1), scores(n_jobs=2)
    with joblib.parallel_config("threading"):
        threads = scores(n_jobs=2)
    np.testing.assert_array_equal(alone, workers)
    np.testing.assert_array_equal(alone, threads)


def test_cross_val_score_uses_our_score(small_digits):
    halves = small_digits[:150], small_digits[150:]
    expected = [small().fit(a).score(b) for a, b in (halves[::-1], halves)]
    np.testing.assert_array_equal(cross_val_score(small(), small_digits, cv=2), expected)


def test_unions_and_column_transformers_put_codes_side_by_side(small_digits):
    union = FeatureUnion([("a", small()), ("b", small(n_components=3))])
    assert union.fit_transform(small_digits).shape == (300, 7)
    assert union.get_feature_names_out()[0] == "a__bigantransformer0"
    columns = ColumnTransformer([("codes", small(), slice(0, 60))], remainder="passthrough")
    np.testing.assert_array_equal(
        columns.fit_transform(small_digits),
        np.hstack([small().fit_transform(small_digits[:, :60]), small_digits[:, 60:]]),
    )


def test_a_cached_pipeline_step_is_loaded_and_still_transforms(small_digits, tmp_path):
    def make():
        steps = [("bigan", small()), ("classify", LogisticRegression(max_iter=500))]
        return Pipeline(steps, memory=str(tmp_path)).fit(small_digits, LABELS)

    first, second = make(), make()
    assert len(list(tmp_path.rglob("output.pkl"))) == 1
    np.testing.assert_array_equal(first.predict(small_digits), second.predict(small_digits))
    np.testing.assert_array_equal(
        first["bigan"].transform(small_digits), second["bigan"].transform(small_digits)
    )


def test_a_clone_has_the_parameters_and_nothing_learned(small_digits):
    fitted = small(posterior="gaussian").fit(small_digits)
    copy = clone(fitted)
    assert copy.get_params() == fitted.get_params()
    with pytest.raises(NotFittedError):
        check_is_fitted(copy)


@pytest.mark.parametrize(("name", "frame"), [("pandas", pd.DataFrame), ("polars", pl.DataFrame)])
def test_set_output_gives_frames_with_names(small_digits, name, frame):
    out = small().set_output(transform=name).fit_transform(small_digits)
    assert isinstance(out, frame)
    assert list(out.columns) == [f"bigantransformer{i}" for i in range(4)]


@pytest.mark.parametrize(("features", "width"), [("latent", 4), ("hidden", 32), ("all", 36)])
def test_there_is_a_name_for_every_column(small_digits, features, width):
    fitted = small(features=features).fit(small_digits)
    assert len(fitted.get_feature_names_out()) == width
    assert fitted.transform(small_digits).shape[1] == width


def test_reprs_are_short_and_the_html_names_the_class(small_digits):
    unfitted, fitted = small(), small().fit(small_digits)
    for estimator in (unfitted, fitted):
        assert repr(estimator).startswith("BiGANTransformer(")
        assert len(repr(estimator)) < 200
        assert "BiGANTransformer" in estimator._repr_html_()


def test_the_html_says_what_was_fitted_also_within_a_pipeline(small_digits):
    fitted = small().fit(small_digits)
    seconds = sum(epoch["dur"] for epoch in fitted.history_)
    caption = (
        f"fitted on cpu: components 4, epochs 2, updates 10, seconds {seconds:.1f}, "
        "output from 0 to 1"
    )
    for shown in (
        fitted,
        make_pipeline(StandardScaler(), fitted),
        pickle.loads(pickle.dumps(fitted)),
    ):
        assert caption in shown._repr_html_()
        assert caption in shown._repr_mimebundle_()["text/html"]
    assert "fitted on" not in clone(fitted)._repr_html_()
    assert "output unbounded" in small().fit(small_digits - 3)._repr_html_()


def mapped(X: np.ndarray) -> np.memmap:
    """Rows in a file that is only read."""
    with tempfile.TemporaryDirectory() as folder:
        np.save(f"{folder}/X.npy", X)
        return np.load(f"{folder}/X.npy", mmap_mode="r")


@pytest.mark.parametrize(
    "convert",
    [
        lambda X: X.astype(np.float64),
        lambda X: X.astype(np.float16),
        lambda X: X.astype(np.int64),
        lambda X: X.astype(np.uint8),
        np.asfortranarray,
        lambda X: pd.DataFrame(X, columns=[f"pixel{i}" for i in range(64)]),
        lambda X: pl.DataFrame(X, schema=[f"pixel{i}" for i in range(64)]),
        torch.from_numpy,
        np.ndarray.tolist,
        mapped,
    ],
    ids="float64 float16 int64 uint8 fortran pandas polars tensor list memmap".split(),
)
def test_the_container_of_x_does_not_matter(small_digits, convert):
    rows = 16 * small_digits  # whole numbers are exact in all of these types
    X = convert(rows)
    np.testing.assert_array_equal(small().fit(X).transform(X), small().fit_transform(rows))


def test_fit_leaves_x_as_it_was_and_fit_transform_is_fit_then_transform(small_digits):
    before = small_digits.copy()
    codes = small().fit(small_digits).transform(small_digits)
    np.testing.assert_array_equal(small_digits, before)
    np.testing.assert_array_equal(small().fit_transform(small_digits), codes)
