import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from factories import raises_in_step, small
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_bigan import (
    BiGANOutlierDetector,
    BiGANTransformer,
    OutlierDisplay,
    OutlierImagesDisplay,
)
from sklearn_bigan._anomaly import Encoded, HiddenDistance, robust_units
from sklearn_bigan._forest import ForestScore
from sklearn_bigan._parameters import draw_seed

NETWORKS = {"hidden_layer_sizes": (32,), "max_epochs": 30, "random_state": 0}


def detector(**parameters) -> BiGANOutlierDetector:
    given = {"transformer": BiGANTransformer(3, **NETWORKS), "random_state": 0} | parameters
    return BiGANOutlierDetector(**given)


def correlated(n_rows: int, seed: int = 0) -> np.ndarray:
    """Rows whose columns are two hidden quantities in six mixtures, with some noise."""
    random = np.random.default_rng(seed)
    mixed = random.normal(size=(n_rows, 2)) @ np.random.default_rng(0).normal(size=(2, 6))
    return mixed + 0.1 * random.normal(size=(n_rows, 6))


def shuffled(n_rows: int, seed: int = 1) -> np.ndarray:
    """Rows with the same columns, which do not go together."""
    random = np.random.default_rng(seed)
    return np.column_stack([random.permutation(column) for column in correlated(n_rows, seed).T])


@pytest.fixture(scope="module")
def contaminated() -> tuple[np.ndarray, np.ndarray]:
    return np.vstack([correlated(400), shuffled(40)]), np.repeat([0, 1], [400, 40])


@pytest.fixture(scope="module")
def trained(contaminated) -> BiGANOutlierDetector:
    return detector().fit(contaminated[0])


def test_rows_whose_columns_do_not_go_together_are_found_among_the_training_rows(
    trained, contaminated
):
    X, is_odd = contaminated
    assert roc_auc_score(is_odd, -trained.score_samples(X)) > 0.9


def test_new_rows_are_judged_by_normal_ones():
    of_normal = detector().fit(correlated(400))
    assert np.mean(of_normal.predict(correlated(400, seed=2)) == 1) > 0.9
    assert np.mean(of_normal.predict(shuffled(400)) == -1) > 0.7


@pytest.mark.parametrize(("trim", "n_trained"), [(0, 440), (0.25, 330), (0.35, 286)])
def test_the_networks_are_trained_on_the_rows_that_are_not_trimmed(contaminated, trim, n_trained):
    fitted = detector(trim=trim).fit(contaminated[0])
    assert fitted.transformer_.n_samples_seen_ == n_trained


def test_most_of_the_outliers_are_trimmed(contaminated):
    X = contaminated[0].copy()
    X[400:] *= 5
    forest = ForestScore.fit(X, draw_seed(0))
    kept = np.sort(np.argsort(-forest(X))[154:])
    assert np.sum(kept >= 400) <= 4
    fitted = detector(trim=0.35).fit(X)
    np.testing.assert_allclose(fitted.transformer_.mean_, X[kept].mean(axis=0))


def test_two_rows_are_left_to_train_on():
    assert detector(trim=0.49).fit(correlated(3)).transformer_.n_samples_seen_ == 2


@pytest.mark.parametrize("share", [0.01, 0.1, 0.5])
def test_the_contamination_is_the_share_of_training_rows_that_are_outliers(contaminated, share):
    X, _ = contaminated
    labels = detector(contamination=share).fit_predict(X)
    assert set(labels) == {-1, 1}
    assert np.mean(labels == -1) == pytest.approx(share, abs=1 / len(X))


def test_the_threshold_is_tukeys_fence_unless_a_share_is_given(trained, contaminated):
    scores = trained.score_samples(contaminated[0])
    low, high = np.percentile(scores, (25, 75))
    assert trained.offset_ == pytest.approx(low - 1.5 * (high - low))


def test_the_sign_of_the_decision_is_the_prediction(trained, contaminated):
    X, _ = contaminated
    decision = trained.decision_function(X)
    np.testing.assert_array_equal(trained.predict(X), np.where(decision < 0, -1, 1))
    np.testing.assert_array_equal(decision, trained.score_samples(X) - trained.offset_)


def test_a_row_is_scored_alike_alone_and_among_others(trained, contaminated):
    X, _ = contaminated
    alone = np.concatenate([trained.score_samples(X[i : i + 1]) for i in range(20)])
    np.testing.assert_array_equal(alone, trained.score_samples(X)[:20])


def test_unit_and_origin_of_the_table_do_not_matter(contaminated):
    X, _ = contaminated
    other = X * 1024 + np.arange(6)
    labels = detector(contamination=0.1).fit_predict(X)
    assert np.mean(detector(contamination=0.1).fit_predict(other) == labels) > 0.97


def test_the_forest_tells_values_far_from_the_origin_apart():
    near, far = correlated(400), correlated(400) + 1.7e9  # as seconds since 1970
    scores = [ForestScore.fit(X, 0)(X) for X in (near, far)]
    np.testing.assert_allclose(*scores, rtol=1e-3)
    in_float32 = IsolationForest(random_state=0).fit(far).score_samples(far)
    assert np.corrcoef(scores[0], -in_float32)[0, 1] < 0.5  # what scikit-learn's own would give


def test_egbads_score_orders_rows_as_the_transformers_score_does(contaminated):
    X, _ = contaminated
    fitted = detector(distance="egbad").fit(X)
    by_transformer = fitted.transformer_.score_samples(X)
    order = np.argsort(by_transformer)
    assert (np.diff(fitted.score_samples(X)[order]) >= -1e-5).all()


def test_the_hidden_distance_is_mahalanobis_with_ledoit_and_wolfs_covariance(small_digits):
    from sklearn.covariance import LedoitWolf

    net = small(features="hidden", hidden_layer_sizes=(8,)).fit(small_digits).net_
    bigan = net.module_
    distance = HiddenDistance.fit(net, small_digits)
    hidden = net.map_rows(
        lambda x: bigan.averaged.encoder.features(x, "hidden"), small_digits
    ).astype(np.float64)
    found = net.map_rows(
        lambda x: distance(bigan, Encoded.of(bigan, x)).unsqueeze(1), small_digits
    ).ravel()
    expected = np.sqrt(LedoitWolf().fit(hidden).mahalanobis(hidden))
    np.testing.assert_allclose(found, expected, rtol=1e-3)


def test_images_are_scored_by_hidden_features_and_tables_by_all_distances(small_digits):
    of_images = BiGANOutlierDetector(small(image_shape=(8, 8))).fit(small_digits)
    assert [type(one) for one in of_images._score.distances] == [HiddenDistance]
    of_columns = BiGANOutlierDetector(small()).fit(small_digits)
    assert len(of_columns._score.distances) == 3
    assert (of_images._score.forest is None, of_columns._score.forest is None) == (True, False)


@pytest.mark.parametrize("n_rows", [2, 3, 40, 1000])
def test_the_forests_score_is_scikit_learns(n_rows):
    X = correlated(n_rows)
    rows, center = np.vstack([X, 1e6 * X, shuffled(50)]), np.median(X, axis=0)
    forest = IsolationForest(random_state=0).fit(X - center)
    expected = -forest.score_samples(rows - center)
    np.testing.assert_allclose(ForestScore.fit(X, 0)(rows), expected, 1e-12)


def test_the_forest_scores_values_that_overflow_or_underflow_float32():
    score = ForestScore.fit(correlated(40), 0)
    with np.errstate(all="raise"):
        tiny, huge = score(np.full((1, 6), 1e-300)), score(np.full((1, 6), 1e300))
    assert 0 < tiny[0] < huge[0]


@pytest.mark.parametrize("column", range(6))
def test_the_column_that_was_spoiled_explains_the_row(trained, column):
    X = correlated(50, seed=3)
    X[:, column] += 8 * X[:, column].std()
    gains = trained.explain(X)
    assert gains.shape == X.shape
    assert np.mean(gains.argmax(axis=1) == column) >= 0.9


def test_a_gain_is_the_mean_of_two_changes_by_the_value_and_the_median(trained, contaminated):
    X, _ = contaminated
    row, median = X[405:406], trained._median[None]
    without, alone = np.repeat(row, 6, axis=0), np.repeat(median, 6, axis=0)
    np.fill_diagonal(without, median)
    np.fill_diagonal(alone, row)
    gained = trained.score_samples(without) - trained.score_samples(row)
    quartile = np.percentile(X, 75, axis=0)
    usual = np.repeat(median, 6, axis=0)
    np.fill_diagonal(usual, quartile)
    lost = np.median(trained.score_samples(usual)) - trained.score_samples(alone)
    np.testing.assert_array_equal(trained.explain(row)[0], (gained + lost) / 2)


def test_a_row_that_is_odd_in_columns_that_go_together_is_explained_by_them():
    random = np.random.default_rng(0)
    size, others = random.normal(size=(400, 1)), random.normal(size=(400, 4))
    X = np.hstack([size + 0.05 * random.normal(size=(400, 4)), others])
    huge = np.zeros((1, 8))
    huge[0, :4] = 6
    gains = detector().fit(X).explain(huge)[0]
    assert gains[:4].min() > 0
    assert gains[4:].max() < 0  # values at their medians


def test_wide_rows_are_explained_in_parts(trained, contaminated, monkeypatch):
    X = contaminated[0][:3]
    expected = trained.explain(X)
    monkeypatch.setattr("sklearn_bigan._outlier.chunk_rows", lambda n_columns: 4)
    np.testing.assert_array_equal(trained.explain(X), expected)


@pytest.mark.parametrize("dtype", [int, bool, np.uint8, np.float32])
def test_rows_of_any_dtype_are_explained_as_rows_of_floats_are(dtype):
    random = np.random.default_rng(0)
    X = np.column_stack([random.normal(size=200), random.integers(0, 2, size=(200, 3))])
    fitted = detector().fit(X)
    row = np.array([[1, 0, 1, 1]])
    np.testing.assert_array_equal(fitted.explain(row.astype(dtype)), fitted.explain(row * 1.0))


def test_the_score_is_fitted_to_some_of_many_rows(contaminated, monkeypatch):
    monkeypatch.setattr("sklearn_bigan._anomaly.MAX_ROWS", 50)
    X, _ = contaminated
    one, same, other = (detector(random_state=seed).fit(X) for seed in (0, 0, 1))
    assert np.isfinite(one.score_samples(X)).all()
    np.testing.assert_array_equal(one._score.center, same._score.center)
    assert (one._score.center != other._score.center).any()


def test_a_checkpoint_is_resumed_without_a_random_state(contaminated, tmp_path):
    X, _ = contaminated
    given = {"checkpoint": (tmp_path / "rows.checkpoint", 1e-9), "random_state": None}
    bigan = BiGANTransformer(3, **NETWORKS | given)
    broken = clone(bigan).set_params(callbacks=[raises_in_step(20, RuntimeError)])
    with pytest.raises(RuntimeError):
        BiGANOutlierDetector(broken).fit(X)
    assert (tmp_path / "rows.checkpoint").exists()
    BiGANOutlierDetector(bigan).fit(X)  # an error if the file were of another random_state


def test_rows_cannot_be_weighted(contaminated):
    with pytest.raises(TypeError, match=r"BiGANOutlierDetector\.fit takes no sample_weight"):
        detector().fit(contaminated[0], sample_weight=np.ones(440))


@pytest.mark.parametrize("method", ["score_samples", "predict", "explain"])
def test_too_little_memory_for_a_score_is_explained(trained, contaminated, monkeypatch, method):
    def no_memory(*_):
        raise torch.OutOfMemoryError("out of memory")

    monkeypatch.setattr(type(trained.transformer_.net_), "map_rows", no_memory)
    with pytest.raises(MemoryError, match="fewer rows at a time"):
        getattr(trained, method)(contaminated[0])


def test_the_given_transformer_stays_as_it_is(contaminated):
    bigan = BiGANTransformer(3, **NETWORKS)
    fitted = BiGANOutlierDetector(bigan).fit(contaminated[0])
    assert not hasattr(bigan, "net_")
    assert fitted.transformer_ is not bigan
    assert fitted.transformer_.n_components == 3


def test_a_fit_that_fails_leaves_the_detector_as_it_was(contaminated):
    X, _ = contaminated
    fitted = detector().fit(X)
    expected = fitted.decision_function(X)
    fitted.set_params(transformer__callbacks=[raises_in_step(3, RuntimeError)])
    with pytest.raises(RuntimeError):
        fitted.fit(X[:, :3])
    np.testing.assert_array_equal(fitted.decision_function(X), expected)


def test_without_a_transformer_the_seed_is_the_detectors(contaminated, monkeypatch):
    monkeypatch.setattr("sklearn_bigan._parameters.default_n_updates", lambda *_, **__: 10)
    X, _ = contaminated
    one, same, other = (BiGANOutlierDetector(random_state=seed).fit(X) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one.score_samples(X), same.score_samples(X))
    assert (one.score_samples(X) != other.score_samples(X)).any()


def test_a_pickle_and_a_clone_are_what_they_should_be(trained, contaminated):
    X, _ = contaminated
    loaded = pickle.loads(pickle.dumps(trained))
    np.testing.assert_array_equal(loaded.decision_function(X), trained.decision_function(X))
    np.testing.assert_array_equal(loaded.explain(X[:2]), trained.explain(X[:2]))
    again = clone(trained).fit(X)
    np.testing.assert_array_equal(again.decision_function(X), trained.decision_function(X))


def test_a_grid_search_with_a_scorer_chooses_among_detectors_in_a_pipeline(contaminated):
    order = np.random.default_rng(0).permutation(len(contaminated[0]))
    X, is_odd = (part[order] for part in contaminated)
    pipe = make_pipeline(StandardScaler(), detector())
    grid = {"biganoutlierdetector__transformer__n_components": [1, 3]}
    search = GridSearchCV(pipe, grid, scoring="roc_auc", cv=2, error_score="raise")
    search.fit(X, 1 - is_odd)
    assert search.best_score_ > 0.8
    assert set(search.predict(X)) == {-1, 1}


def test_data_frames_keep_their_names(contaminated):
    X = pd.DataFrame(contaminated[0], columns=list("abcdef"))
    fitted = detector().fit(X)
    assert list(fitted.feature_names_in_) == list("abcdef")
    with pytest.raises(ValueError, match="feature names"):
        fitted.predict(X[list("fedcba")])
    assert fitted.transformer_.transform(X).shape == (440, 3)  # no warning that names are unknown
    assert not hasattr(fitted.fit(X.to_numpy()).transformer_, "feature_names_in_")


@pytest.mark.parametrize("n_distinct", [1, 2])
def test_rows_that_are_nearly_all_equal_get_finite_scores(n_distinct):
    X = np.repeat(np.arange(n_distinct)[:, None], [40 // n_distinct] * n_distinct, axis=0)
    X = np.repeat(X, 4, axis=1).astype(float)
    fitted = detector().fit(X)
    assert np.isfinite(fitted.score_samples(X)).all()
    assert (fitted.predict(X) == 1).all()


def test_columns_that_hardly_vary_have_a_spread_above_zero():
    x = np.zeros((10, 3), np.float32)
    x[0, 1] = 5
    x[:, 2] = np.arange(10)
    center, spread = robust_units(x)
    np.testing.assert_allclose(center, [0, 0, 4.5])
    np.testing.assert_allclose(spread, [1, 1.5, 4.5 / 1.349], rtol=1e-6)


@pytest.mark.parametrize(
    ("parameters", "rule"),
    [
        ({"trim": 0.5}, r"'trim' parameter .* a float in the range \[0.0, 0.5\)"),
        ({"trim": -0.1}, "'trim' parameter"),
        ({"contamination": 0.0}, "'contamination' parameter"),
        ({"contamination": 0.6}, r"'contamination' parameter .* \(0.0, 0.5\]"),
        ({"contamination": "some"}, "'contamination' parameter"),
        ({"distance": "alad"}, "'distance' parameter of BiGANOutlierDetector must be a str"),
        ({"transformer": StandardScaler()}, "'transformer' parameter .*BiGANTransformer"),
    ],
)
def test_a_parameter_out_of_range_is_named_with_the_rule(parameters, rule, contaminated):
    with pytest.raises(ValueError, match=rule):
        detector(**parameters).fit(contaminated[0])


@pytest.mark.usefixtures("no_figures")
def test_the_display_draws_the_columns_with_the_largest_gains_first(trained, contaminated):
    row = contaminated[0][405:406]
    display = OutlierDisplay.from_estimator(trained, row, n_columns=3)
    gains = trained.explain(row)[0]
    order = np.argsort(-gains)[:3]
    np.testing.assert_array_equal(display.gains, gains[order])
    np.testing.assert_array_equal(display.values, row[0, order])
    assert display.names == [f"x{i}" for i in order]
    labels = [label.get_text() for label in display.ax_.get_yticklabels()]
    assert labels == [f"x{i} = {row[0, i]:.4g}" for i in order]
    assert [bar.get_width() for bar in display.ax_.patches] == list(display.gains)
    again = OutlierDisplay(display.gains, display.names, display.values).plot(display.ax_)
    assert again.ax_ is display.ax_


@pytest.mark.usefixtures("no_figures")
def test_the_display_takes_names_from_a_data_frame_or_from_the_caller(contaminated):
    X = pd.DataFrame(contaminated[0], columns=list("abcdef"))
    fitted = detector().fit(X)
    assert set(OutlierDisplay.from_estimator(fitted, X[:1]).names) == set("abcdef")
    given = OutlierDisplay.from_estimator(fitted, X[:1], feature_names=list("uvwxyz"))
    assert set(given.names) == set("uvwxyz")


@pytest.mark.usefixtures("no_figures")
def test_the_display_of_a_pipeline_shows_the_values_of_x_where_steps_keep_its_columns(contaminated):
    X = pd.DataFrame(1000 * contaminated[0], columns=list("abcdef"))
    row = X.iloc[[405]]
    scaled = make_pipeline(StandardScaler(), detector()).fit(X)
    display = OutlierDisplay.from_estimator(scaled, row)
    np.testing.assert_array_equal(display.values, row[display.names].to_numpy()[0])
    rotated = make_pipeline(PCA(3), detector()).fit(X)
    display = OutlierDisplay.from_estimator(rotated, row)
    assert set(display.names) == {"x0", "x1", "x2"}
    by_name = dict(zip(display.names, display.values, strict=True))
    codes = rotated[:-1].transform(row)[0]
    np.testing.assert_array_equal([by_name[f"x{i}"] for i in range(3)], codes)


@pytest.mark.parametrize("display", [OutlierDisplay, OutlierImagesDisplay])
def test_the_displays_need_a_detector(display, contaminated, small_digits):
    with pytest.raises(TypeError, match="'detector' parameter must be a BiGANOutlierDetector, or"):
        display.from_estimator(small().fit(small_digits), contaminated[0][:1])


@pytest.mark.parametrize(
    ("rows", "parameters", "rule"),
    [
        (2, {}, r"one row, such as X\[\[0\]\]. Got 2 rows"),
        (1, {"n_columns": 0}, r"'n_columns' parameter must be an int in the range \[1"),
        (1, {"feature_names": ["a"]}, "a name for each of the 6 columns. Got 1"),
    ],
)
def test_the_display_says_what_is_wrong(trained, contaminated, rows, parameters, rule):
    with pytest.raises(ValueError, match=rule):
        OutlierDisplay.from_estimator(trained, contaminated[0][:rows], **parameters)


def test_the_display_needs_axes_of_matplotlib(trained, contaminated):
    with pytest.raises(TypeError, match="'ax' parameter must be None or a matplotlib Axes"):
        OutlierDisplay.from_estimator(trained, contaminated[0][:1], ax=3)


@pytest.mark.usefixtures("no_figures")
def test_the_oddest_images_are_drawn_first_above_what_the_networks_make_of_them(small_digits):
    fitted = BiGANOutlierDetector(small(image_shape=(8, 8)), random_state=0).fit(small_digits)
    display = OutlierImagesDisplay.from_estimator(fitted, small_digits, n_images=6, n_columns=3)
    oddest = small_digits[np.argsort(fitted.score_samples(small_digits), kind="stable")[:6]]
    images, made, gap = (display.images[i::3].reshape(6, 64) for i in range(3))
    np.testing.assert_allclose(images, oddest, atol=1e-6)
    np.testing.assert_allclose(made, fitted.transformer_.reconstruct(oddest), atol=1e-6)
    np.testing.assert_allclose(gap, np.abs(images - made))
    labels = [label.get_text() for label in display.ax_.get_yticklabels()]
    assert labels == ["x", "G(E(x))", "|x - G(E(x))|"] * 2


@pytest.mark.usefixtures("no_figures")
def test_a_pixel_beyond_white_differs_from_a_white_one(small_digits):
    fitted = BiGANOutlierDetector(small(image_shape=(8, 8)), random_state=0).fit(small_digits)
    glaring = np.full((1, 64), 1.09)
    gap = OutlierImagesDisplay.from_estimator(fitted, glaring).images[2].ravel()
    expected = np.abs(glaring - fitted.transformer_.reconstruct(glaring))[0].clip(0, 1)
    np.testing.assert_allclose(gap, expected, atol=1e-6)
    assert (expected > 1.0 - fitted.transformer_.reconstruct(glaring)[0]).any()


@pytest.mark.usefixtures("no_figures")
def test_images_of_a_pipeline_are_drawn_in_the_units_of_a_data_frame(small_digits):
    X = pd.DataFrame(16 * small_digits)
    X.columns = [f"pixel{i}" for i in range(64)]
    networks = small(image_shape=(8, 8))
    pipe = make_pipeline(StandardScaler(with_std=False), BiGANOutlierDetector(networks)).fit(X)
    display = OutlierImagesDisplay.from_estimator(pipe, X, n_images=5)
    oddest = X.iloc[np.argsort(pipe.score_samples(X), kind="stable")[:5]].to_numpy()
    low, high = oddest.min(), oddest.max()
    np.testing.assert_allclose(display.images[0].reshape(5, 64), (oddest - low) / (high - low))


@pytest.mark.parametrize(
    ("parameters", "rule"),
    [
        ({"n_images": 0}, r"'n_images' parameter must be an int in the range \[1"),
        ({"image_shape": None}, "There are no images to plot: image_shape is None"),
        ({"image_shape": (2, 4)}, "height \\* width"),
    ],
)
def test_the_display_of_images_says_what_is_wrong(trained, contaminated, parameters, rule):
    given = {"image_shape": (2, 3)} | parameters
    with pytest.raises(ValueError, match=rule):
        OutlierImagesDisplay.from_estimator(trained, contaminated[0], **given)
