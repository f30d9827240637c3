import numpy as np
import pandas as pd
import pytest
from factories import small
from matplotlib import pyplot as plt
from matplotlib.colors import to_rgb
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer, StandardScaler

from sklearn_bigan import LatentMapDisplay

pytestmark = pytest.mark.usefixtures("no_figures")


@pytest.fixture(scope="module")
def model(digits):
    return small(max_epochs=1).fit(digits[:300])


def points(display):
    """Positions and colours of all points, as they are drawn."""
    drawn = display.ax_.collections
    positions = np.concatenate([part.get_offsets() for part in drawn])
    return positions, np.concatenate([part.get_facecolors()[:, :3] for part in drawn])


def legend(display):
    """Names, and colour and marker of each, in the legend."""
    shown = display.ax_.get_legend()
    return {
        text.get_text(): (to_rgb(handle.get_color()), handle.get_marker())
        for text, handle in zip(shown.get_texts(), shown.legend_handles, strict=True)
    }


def test_the_map_is_of_the_first_two_principal_components(model, digits):
    display = LatentMapDisplay.from_estimator(model, digits[:50])
    codes = model.transform(digits[:50])
    pca = PCA(2).fit(codes)
    np.testing.assert_allclose(display.positions, pca.transform(codes), atol=1e-5)
    np.testing.assert_allclose(points(display)[0], display.positions)
    first, second = pca.explained_variance_ratio_
    assert display.ax_.get_xlabel() == f"PCA 1 ({first:.0%} of the variance)"
    assert display.ax_.get_ylabel() == f"PCA 2 ({second:.0%} of the variance)"
    assert display.ax_.get_title() == "Codes E(x) of 50 rows"
    assert display.ax_.get_aspect() == 1


def test_the_map_is_of_t_sne(model, digits):
    display, again = (
        LatentMapDisplay.from_estimator(model, digits[:40], method="tsne", random_state=seed)
        for seed in (0, np.random.RandomState(0))
    )
    tsne = TSNE(perplexity=13, init="pca", random_state=0)
    expected = tsne.fit_transform(model.transform(digits[:40]))
    np.testing.assert_array_equal(display.positions, expected)
    assert again.positions.shape == (40, 2)
    assert (display.ax_.get_xlabel(), display.ax_.get_ylabel()) == ("t-SNE 1", "t-SNE 2")


def test_the_map_is_of_the_first_two_components(model, digits):
    display = LatentMapDisplay.from_estimator(model, digits[:50], method="first")
    np.testing.assert_array_equal(display.positions, model.transform(digits[:50])[:, :2])
    assert display.ax_.get_xlabel() == "component 1 of z"
    assert display.ax_.get_ylabel() == "component 2 of z"


@pytest.mark.parametrize("features", ["all", "hidden"])
@pytest.mark.parametrize("piped", [False, True])
def test_the_map_is_of_codes_whatever_transform_returns(digits, features, piped):
    # Rows of a Normalizer cannot be brought back, which a map does not need.
    model = small(max_epochs=1)
    estimator = make_pipeline(Normalizer(), model) if piped else model
    estimator.fit(digits[:100] + 1)
    expected = estimator.transform(digits[:50] + 1)[:, :2]
    model.set_params(features=features)
    display = LatentMapDisplay.from_estimator(estimator, digits[:50] + 1, method="first")
    np.testing.assert_array_equal(display.positions, expected)


def test_a_table_in_a_data_frame_is_mapped():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(60, 3)), columns=["a", "b", "c"])
    pipeline = make_pipeline(StandardScaler(), small()).set_output(transform="pandas").fit(frame)
    display = LatentMapDisplay.from_estimator(pipeline, frame, method="first")
    np.testing.assert_array_equal(display.positions, pipeline.transform(frame).to_numpy()[:, :2])


@pytest.mark.parametrize(
    ("values", "names"),
    [
        (["cat", "dog", "ant"], ["ant", "cat", "dog"]),
        ([3, 10, -1], ["-1", "3", "10"]),
        ([3.0, 10.0, -1.0], ["-1", "3", "10"]),
        ([True, False], ["False", "True"]),
        ([None, "cat"], ["None", "cat"]),
    ],
)
def test_classes_have_colours_and_a_legend(model, digits, values, names):
    y = [values[i % len(values)] for i in range(30)]
    display = LatentMapDisplay.from_estimator(model, digits[:30], y)
    shown = legend(display)
    assert list(shown) == names
    assert len(set(shown.values())) == len(names)
    of_each = [f"{label:g}" if isinstance(label, float) else str(label) for label in y]
    np.testing.assert_allclose(points(display)[1], [shown[name][0] for name in of_each])
    np.testing.assert_allclose(points(display)[0], display.positions)


def test_the_legend_lies_beside_the_axes_and_leaves_the_map_its_size(model, digits):
    y = np.array([f"a long name of a class {i % 45}" for i in range(300)])
    plain, colored = (LatentMapDisplay.from_estimator(model, digits[:300], of) for of in (None, y))
    for display in (plain, colored):
        display.figure_.canvas.draw()
    box = colored.ax_.get_legend().get_window_extent()
    assert box.x0 > colored.ax_.bbox.x1
    assert box.x1 <= colored.figure_.bbox.x1
    assert box.y0 >= colored.figure_.bbox.y0
    assert colored.ax_.bbox.width == pytest.approx(plain.ax_.bbox.width, rel=0.05)
    assert plain.ax_.get_legend() is None
    assert len(np.unique(points(plain)[1], axis=0)) == 1


def test_more_classes_than_colours_differ_by_their_markers(model, digits):
    y = np.array([f"{i % 45:02}" for i in range(300)])
    display = LatentMapDisplay.from_estimator(model, digits[:300], y)
    shown = legend(display)
    assert len(set(shown.values())) == 45
    assert len({marker for _, marker in shown.values()}) == 3
    assert [len(part.get_offsets()) for part in display.ax_.collections] == [
        np.sum(y < "20"), np.sum((y >= "20") & (y < "40")), np.sum(y >= "40"),
    ]  # fmt: skip


@pytest.mark.parametrize("y", [np.linspace(0, 2, 100), np.arange(100), np.arange(100) % 31])
def test_other_numbers_have_a_colour_bar(model, digits, y):
    display = LatentMapDisplay.from_estimator(model, digits[:100], pd.Series(y, name="age"))
    assert display.ax_.get_legend() is None
    (drawn,) = display.ax_.collections
    np.testing.assert_array_equal(drawn.get_array(), y)
    assert drawn.colorbar.ax.get_ylabel() == "age"


def test_the_legend_has_the_name_of_y(model, digits):
    y = pd.Series(np.arange(100) % 3, name="species")
    display = LatentMapDisplay.from_estimator(model, digits[:100], y)
    assert display.ax_.get_legend().get_title().get_text() == "species"


def test_markers_of_many_points_are_small_and_translucent():
    rng = np.random.default_rng(0)
    few, many = (LatentMapDisplay(rng.normal(size=(n, 2))).plot() for n in (100, 20_000))
    (few,), (many,) = few.ax_.collections, many.ax_.collections
    assert many.get_sizes()[0] < few.get_sizes()[0] / 4
    assert many.get_alpha() < few.get_alpha() < 1


def test_points_are_drawn_with_the_keywords_of_scatter(model, digits):
    display = LatentMapDisplay.from_estimator(model, digits[:20], np.arange(20) % 2)
    figure, ax = plt.subplots()
    assert display.plot(ax, scatter_kwargs={"s": 7, "alpha": 0.1}) is display
    assert display.ax_ is ax
    assert display.figure_ is figure
    (drawn,) = ax.collections
    assert drawn.get_sizes().tolist() == [7]
    assert drawn.get_alpha() == 0.1
    assert figure.get_size_inches().tolist() == [6.4, 4.8]


def test_equal_codes_are_mapped(model, digits):
    display = LatentMapDisplay.from_estimator(model, np.tile(digits[:1], (5, 1)))
    np.testing.assert_allclose(display.positions, 0, atol=1e-6)


@pytest.mark.parametrize("n_rows", [2, 3, 5])
def test_t_sne_of_a_few_rows_is_drawn(model, digits, n_rows):
    display = LatentMapDisplay.from_estimator(model, digits[:n_rows], method="tsne")
    assert np.isfinite(display.positions).all()


@pytest.mark.parametrize(
    ("n_rows", "arguments", "message"),
    [
        (9, {"method": "umap"}, r"'method' parameter must be one of .*'tsne'.*Got 'umap'"),
        (9, {"y": [1, 2]}, "one value for each row of X. Got 2 values for 9 rows"),
        (3, {"y": [1, np.nan, 2]}, "'y' parameter must not have NaN.*Leave out these rows"),
        (3, {"y": np.zeros((3, 2))}, "y should be a 1d array"),
        (1, {}, "two or more rows of X. Got 1"),
    ],
)
def test_what_cannot_be_mapped_is_refused(model, digits, n_rows, arguments, message):
    with pytest.raises(ValueError, match=message):
        LatentMapDisplay.from_estimator(model, digits[:n_rows], **arguments)
    assert plt.get_fignums() == []


def test_codes_of_one_component_are_refused(digits):
    model = small(n_components=1, max_epochs=0).fit(digits[:20])
    with pytest.raises(
        ValueError, match=r"two or more components. Got n_components=1; a histogram"
    ):
        LatentMapDisplay.from_estimator(model, digits[:20])


def test_what_is_no_axes_is_refused(model, digits):
    with pytest.raises(
        TypeError, match=r"'ax' parameter must be None or a matplotlib Axes.*Got 1: int"
    ):
        LatentMapDisplay.from_estimator(model, digits[:20], ax=3)
