import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from factories import small
from matplotlib import pyplot as plt
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, Normalizer, StandardScaler

from sklearn_bigan import (
    BiGANTransformer,
    InterpolationDisplay,
    LatentMapDisplay,
    ReconstructionDisplay,
    SampleDisplay,
    TrainingDisplay,
)

pytestmark = pytest.mark.usefixtures("no_figures")


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).random((40, 8 * 10 * 3)).astype(np.float32)


@pytest.fixture(scope="module")
def fitted(images):
    shape = {"image_shape": (8, 10, 3), "output_activation": "sigmoid"}
    return small(**shape, max_epochs=1).fit(images)


@pytest.fixture(scope="module")
def pipeline(digits):
    """A pipeline that learned images of 0 to 16 as plain columns in other units."""
    return make_pipeline(StandardScaler(), small(max_epochs=1)).fit(16 * digits)


def gray(rows, low=0, high=16):
    """Digits as they are drawn."""
    return ((rows - low) / (high - low)).clip(0, 1).reshape(-1, 8, 8, 1)


def drawn(display):
    """The pixels of the figure, (height, width), True where it is white."""
    display.figure_.canvas.draw()
    return (np.asarray(display.figure_.canvas.buffer_rgba()) == 255).all(axis=2)


def as_images(rows):
    return rows.reshape(-1, 8, 10, 3)


def test_each_line_of_images_has_its_reconstructions_below(fitted, images):
    display = ReconstructionDisplay.from_estimator(fitted, images[:7], n_columns=4)
    assert display.images.shape == (4, 4, 8, 10, 3)
    reconstructions = as_images(fitted.reconstruct(images[:7]))
    np.testing.assert_allclose(display.images[0], as_images(images[:4]))
    np.testing.assert_allclose(display.images[1], reconstructions[:4], rtol=1e-6)
    np.testing.assert_allclose(display.images[2, :3], as_images(images[4:7]))
    np.testing.assert_allclose(display.images[3, :3], reconstructions[4:], rtol=1e-6)
    assert np.isnan(display.images[2:, 3]).all()


def test_samples_are_those_of_the_seed(fitted):
    display = SampleDisplay.from_estimator(fitted, n_samples=6, random_state=3, n_columns=3)
    samples = as_images(fitted.sample(6, random_state=3))
    np.testing.assert_allclose(display.images.reshape(-1, 8, 10, 3), samples, rtol=1e-6)
    of_a_cluster = SampleDisplay.from_estimator(fitted, n_samples=6, random_state=3, cluster=2)
    expected = as_images(fitted.sample(6, random_state=3, cluster=2))
    np.testing.assert_allclose(of_a_cluster.images[0, :6], expected, rtol=1e-6)


def test_an_interpolation_goes_from_code_to_code(fitted, images):
    display = InterpolationDisplay.from_estimator(fitted, images[:2], images[2:4], n_steps=3)
    assert display.images.shape == (2, 5, 8, 10, 3)
    np.testing.assert_allclose(display.images[:, 0], as_images(images[:2]))
    np.testing.assert_allclose(display.images[:, 4], as_images(images[2:4]))
    codes = fitted.transform(images[:4])
    middle = fitted.inverse_transform((codes[:2] + codes[2:]) / 2)
    np.testing.assert_allclose(display.images[:, 2], as_images(middle), rtol=1e-5)
    ends = as_images(fitted.reconstruct(images[:4]))
    np.testing.assert_allclose(display.images[:, 1], ends[:2], rtol=1e-5)
    np.testing.assert_allclose(display.images[:, 3], ends[2:], rtol=1e-5)


@pytest.mark.parametrize("features", ["all", "hidden"])
def test_an_interpolation_needs_no_codes_from_transform_and_no_copy(
    fitted, images, features, monkeypatch
):
    def interpolation():
        return InterpolationDisplay.from_estimator(fitted, images[:2], images[2:4]).images

    expected = interpolation()
    monkeypatch.setattr(fitted, "features", features)
    monkeypatch.setattr(BiGANTransformer, "__getstate__", None)  # the networks are not copied
    np.testing.assert_array_equal(interpolation(), expected)
    assert fitted.features == features


def test_data_frames_are_plotted_as_arrays_are(images):
    names = [f"pixel{i}" for i in range(images.shape[1])]
    plain = small(image_shape=(8, 10, 3), max_epochs=0)
    named = clone(plain).set_output(transform="pandas")
    plain.fit(images)
    named.fit(pd.DataFrame(images, columns=names))
    X, X_end = (pd.DataFrame(rows, columns=names) for rows in (images[:2], images[2:4]))
    for display, arguments in ((InterpolationDisplay, (X, X_end)), (ReconstructionDisplay, (X,))):
        expected = display.from_estimator(plain, *(frame.to_numpy() for frame in arguments)).images
        np.testing.assert_array_equal(display.from_estimator(named, *arguments).images, expected)


def test_white_lies_between_images_and_not_around_them():
    images = np.zeros((2, 3, 4, 5, 1))
    images[1, 2] = np.nan
    grid = SampleDisplay(images).plot().ax_.images[0].get_array()
    assert grid.shape == (4 + 1 + 4, 5 + 1 + 5 + 1 + 5, 3)
    white = (grid == 1).all(axis=2)
    expected = np.zeros((9, 17), dtype=bool)
    expected[4] = expected[:, [5, 11]] = True
    expected[5:, 12:] = True  # there is no such image
    np.testing.assert_array_equal(white, expected)


@pytest.mark.parametrize(
    "shape", [(2, 10, 8, 8, 1), (4, 10, 28, 28, 1), (1, 4, 64, 64, 3), (2, 4, 8, 8, 1)]
)
@pytest.mark.parametrize("kind", [ReconstructionDisplay, SampleDisplay, InterpolationDisplay])
def test_a_new_figure_has_no_white_margins_and_square_pixels(kind, shape):
    display = kind(np.zeros(shape)).plot()
    white = drawn(display)
    for lines in (white, white.T):
        ink = np.flatnonzero(~lines.all(axis=1))
        assert ink[0] <= 6
        assert len(lines) - 1 - ink[-1] <= 6
    # The axes are as large as the images, and these are enlarged by a whole number.
    box, (height, width) = display.ax_.get_window_extent(), display.ax_.images[0].get_size()
    zoom = round(box.width / width)
    np.testing.assert_allclose([*box.size], [zoom * width, zoom * height])
    images_drawn = np.prod(shape[:4]) * zoom**2
    assert (~white).sum() > images_drawn
    assert images_drawn > 0.55 * white.size
    dpi = display.figure_.dpi
    assert 4 * dpi < display.figure_.get_size_inches()[0] * dpi < 8.5 * dpi


def test_a_figure_is_as_many_pixels_large_at_another_resolution():
    with plt.rc_context({"figure.dpi": 50, "figure.autolayout": True}):
        display = SampleDisplay(np.zeros((2, 10, 8, 8, 1))).plot()
        assert display.ax_.get_window_extent().width % display.ax_.images[0].get_size()[1] == 0
        assert 600 < drawn(display).shape[1] < 850


def test_a_title_that_is_wider_than_the_images_is_wrapped():
    display = SampleDisplay(np.zeros((1, 1, 8, 8, 1))).plot()
    width = drawn(display).shape[1]
    assert width <= display.ax_.get_window_extent().width + 30
    assert display.ax_.get_title(loc="left").split() == display.title.split()


def test_a_style_with_grid_lines_draws_none_over_images():
    with plt.rc_context({"axes.grid": True}):
        display = ReconstructionDisplay(np.zeros((2, 3, 8, 8, 1))).plot()
    assert not any(line.get_visible() for line in display.ax_.get_ygridlines())


def test_there_are_no_more_columns_than_images(fitted, images):
    assert ReconstructionDisplay.from_estimator(fitted, images[:2]).images.shape[:2] == (2, 2)


def test_lines_are_labelled_and_titles_say_what_is_shown(fitted, images):
    reconstruction = ReconstructionDisplay.from_estimator(fitted, images[:7], n_columns=4)
    samples = SampleDisplay.from_estimator(fitted, n_samples=4)
    nearest = SampleDisplay.from_estimator(fitted, n_samples=4, nearest=images)
    interpolation = InterpolationDisplay.from_estimator(fitted, images[:2], images[2:4])

    def labels(axis):
        return [label.get_text() for label in axis.get_ticklabels()]

    def title(display):
        return display.ax_.get_title(loc="left")

    assert labels(reconstruction.ax_.yaxis) == ["x", "G(E(x))"] * 2
    # In the middle of lines of eight pixels, with one in between.
    np.testing.assert_array_equal(reconstruction.ax_.get_yticks(), [3.5, 12.5, 21.5, 30.5])
    assert labels(samples.ax_.yaxis) == []
    assert labels(nearest.ax_.yaxis) == ["G(z)", "nearest"]
    assert labels(interpolation.ax_.xaxis) == ["x", "G(E(x))", "G(E(x'))", "x'"]
    np.testing.assert_array_equal(interpolation.ax_.get_xticks(), [4.5, 15.5, 114.5, 125.5])
    assert "reconstructions G(E(x))" in title(reconstruction)
    assert title(samples) == "Samples G(z), z drawn from the prior"
    assert "nearest" in title(nearest)
    assert "codes z from E(x) to E(x')" in title(interpolation)


@pytest.mark.parametrize("n_steps", [2, 3])
def test_a_pipeline_interpolates_between_codes_in_the_units_of_its_rows(pipeline, digits, n_steps):
    X = 16 * digits[:4]
    display = InterpolationDisplay.from_estimator(
        pipeline, X[:2], X[2:], n_steps=n_steps, image_shape=(8, 8)
    )
    codes = pipeline.transform(X)
    shares = np.linspace(0, 1, n_steps)
    ways = [pipeline.inverse_transform((1 - s) * codes[:2] + s * codes[2:]) for s in shares]
    expected = np.stack([gray(rows) for rows in (X[:2], *ways, X[2:])], axis=1)
    np.testing.assert_allclose(display.images, expected, atol=1e-5)


def test_a_pipeline_reconstructs_and_samples_in_the_units_of_its_rows(pipeline, digits):
    X, shape = 16 * digits[:6], {"image_shape": (8, 8)}
    display = ReconstructionDisplay.from_estimator(pipeline, X, **shape)
    np.testing.assert_allclose(display.images[0], gray(X))
    reconstructed = pipeline.inverse_transform(pipeline.transform(X))
    np.testing.assert_allclose(display.images[1], gray(reconstructed), atol=1e-5)
    samples = pipeline[0].inverse_transform(pipeline[-1].sample(6, random_state=1))
    display = SampleDisplay.from_estimator(pipeline, n_samples=6, random_state=1, **shape)
    expected = gray(samples, samples.min(), samples.max())
    np.testing.assert_allclose(display.images[0], expected, atol=1e-6)


@pytest.mark.parametrize("features", ["all", "hidden"])
def test_a_pipeline_needs_no_codes_from_its_transform(pipeline, digits, features):
    def interpolation():
        arguments = {"n_steps": 3, "image_shape": (8, 8)}
        return InterpolationDisplay.from_estimator(
            pipeline, digits[:2], digits[2:4], **arguments
        ).images

    expected = interpolation()
    pipeline.set_params(bigantransformer__features=features)
    try:
        np.testing.assert_array_equal(interpolation(), expected)
    finally:
        pipeline.set_params(bigantransformer__features="latent")


@pytest.mark.parametrize("first", [[], ["passthrough"]])
def test_a_pipeline_without_other_steps_draws_as_its_transformer(first, fitted, images):
    pipeline = make_pipeline(*first, fitted)
    for display, arguments in (
        (ReconstructionDisplay, (images[:3],)),
        (SampleDisplay, ()),
        (InterpolationDisplay, (images[:3], images[3:6])),
    ):
        expected, found = (
            display.from_estimator(model, *arguments, random_state=0).images
            for model in (fitted, pipeline)
        )
        np.testing.assert_array_equal(found, expected)


def test_the_range_of_the_generator_is_drawn_from_black_to_white(digits):
    pipeline = make_pipeline(MinMaxScaler(), small(max_epochs=1)).fit(16 * digits)
    samples = pipeline[0].inverse_transform(pipeline[-1].sample(6, random_state=1))
    assert samples.max() < 15.9
    display = SampleDisplay.from_estimator(
        pipeline, n_samples=6, random_state=1, image_shape=(8, 8)
    )
    np.testing.assert_allclose(display.images[0], gray(samples, 0, 16), atol=1e-6)


def test_a_pipeline_of_data_frames_is_drawn(digits):
    frame = pd.DataFrame(16 * digits[:100]).rename(columns="pixel{}".format)
    pipeline = make_pipeline(MinMaxScaler(), small(max_epochs=1)).set_output(transform="pandas")
    pipeline.fit(frame)
    display = ReconstructionDisplay.from_estimator(
        pipeline, frame, random_state=0, image_shape=(8, 8)
    )
    np.testing.assert_allclose(
        display.images[::2].reshape(-1, 64),
        gray(frame.iloc[chosen(100, 20)].to_numpy()).reshape(-1, 64),
    )


def chosen(n_rows, n_chosen):
    """The rows that random_state=0 draws."""
    return np.sort(np.random.RandomState(0).choice(n_rows, n_chosen, replace=False))


def test_steps_without_a_way_back_are_named(digits):
    pipeline = make_pipeline(StandardScaler(), Normalizer(), small(max_epochs=0)).fit(digits)
    for display, arguments in (
        (ReconstructionDisplay, (digits,)),
        (SampleDisplay, ()),
        (InterpolationDisplay, (digits, digits)),
    ):
        with pytest.raises(
            ValueError, match=r"'normalizer' \(Normalizer\) has no inverse_trans.*-1"
        ):
            display.from_estimator(pipeline, *arguments, image_shape=(8, 8))


def test_a_pipeline_that_does_not_end_in_a_transformer_is_refused(small_digits):
    labels = np.arange(len(small_digits)) % 2
    pipeline = make_pipeline(small(max_epochs=0), StandardScaler(), LogisticRegression())
    pipeline.fit(small_digits, labels)
    with pytest.raises(TypeError, match=r"ends in LogisticRegression; pass pipeline\[:-2\]"):
        SampleDisplay.from_estimator(pipeline, image_shape=(8, 8))
    assert SampleDisplay.from_estimator(pipeline[:-2], image_shape=(8, 8)).images.shape[1] == 10
    without = make_pipeline(StandardScaler(), LogisticRegression())
    with pytest.raises(TypeError, match=r"Got a Pipeline that ends in LogisticRegression\.$"):
        SampleDisplay.from_estimator(without)
    with pytest.raises(TypeError, match=r"must be a BiGANTransformer.*Got StandardScaler\(\)"):
        SampleDisplay.from_estimator(StandardScaler())


def test_columns_are_drawn_as_images_of_the_given_shape(small_digits):
    model = small(max_epochs=1).fit(small_digits)
    X, shape = small_digits[:5], {"image_shape": (8, 8)}
    found = ReconstructionDisplay.from_estimator(model, X, **shape).images
    np.testing.assert_allclose(found[0], gray(X, 0, 1))
    np.testing.assert_allclose(found[1], gray(model.reconstruct(X), 0, 1), rtol=1e-5)
    model.set_params(image_shape=(4, 16))
    assert ReconstructionDisplay.from_estimator(model, X).images.shape == (2, 5, 4, 16, 1)
    # What the display is given precedes the parameter.
    assert ReconstructionDisplay.from_estimator(model, X, **shape).images.shape == (2, 5, 8, 8, 1)


def test_random_rows_of_many_are_drawn(fitted, images):
    found = ReconstructionDisplay.from_estimator(fitted, images, n_images=6, random_state=0).images
    expected = images[chosen(40, 6)]
    np.testing.assert_allclose(found[0], as_images(expected))
    np.testing.assert_allclose(found[1], as_images(fitted.reconstruct(expected)), rtol=1e-6)
    assert len(ReconstructionDisplay.from_estimator(fitted, images).images) == 4
    found = InterpolationDisplay.from_estimator(
        fitted, images[:20], images[20:], n_pairs=3, random_state=0
    ).images
    np.testing.assert_allclose(found[:, 0], as_images(images[:20][chosen(20, 3)]))
    np.testing.assert_allclose(found[:, -1], as_images(images[20:][chosen(20, 3)]))


def test_rows_of_one_array_are_paired_at_random(fitted, images):
    display = InterpolationDisplay.from_estimator(fitted, images[:7], random_state=0)
    assert len(display.images) == 3
    ends = display.images[:, [0, -1]].reshape(6, -1)
    order = np.random.RandomState(0).permutation(7)[[0, 3, 1, 4, 2, 5]]
    np.testing.assert_allclose(ends, images[order])
    with pytest.raises(ValueError, match=r"two rows or more if X_end is None.*Got 1; pass more"):
        InterpolationDisplay.from_estimator(fitted, images[:1])


def test_the_nearest_training_image_is_below_each_sample(pipeline, digits):
    X = 16 * digits
    display = SampleDisplay.from_estimator(
        pipeline, n_samples=6, nearest=X, n_columns=3, random_state=0, image_shape=(8, 8)
    )
    samples = pipeline[0].inverse_transform(pipeline[-1].sample(6, random_state=0))
    distances = np.square(samples[:, None] - X).sum(axis=2)
    nearest = gray(X[distances.argmin(axis=1)]).reshape(2, 3, 8, 8, 1)
    np.testing.assert_allclose(display.nearest, nearest)
    np.testing.assert_allclose(display.images, gray(samples).reshape(2, 3, 8, 8, 1), atol=1e-6)
    grid = display.ax_.images[0].get_array()[..., 0]
    np.testing.assert_allclose(grid[9:17, :8], nearest[0, 0, ..., 0])
    np.testing.assert_allclose(grid[27:35, 18:26], nearest[1, 2, ..., 0])


def test_training_images_of_another_width_are_refused(pipeline, digits):
    with pytest.raises(
        ValueError, match=r"'nearest' parameter must have.* 64\. Got shape \(9, 3\)"
    ):
        SampleDisplay.from_estimator(pipeline, nearest=digits[:9, :3], image_shape=(8, 8))


@pytest.mark.parametrize(
    ("display", "name", "least"),
    [
        (ReconstructionDisplay, "n_images", 1),
        (ReconstructionDisplay, "n_columns", 1),
        (SampleDisplay, "n_columns", 1),
        (SampleDisplay, "n_samples", 1),
        (InterpolationDisplay, "n_pairs", 1),
        (InterpolationDisplay, "n_steps", 2),
    ],
)
def test_numbers_that_are_too_small_are_refused(fitted, images, display, name, least):
    arguments = () if display is SampleDisplay else (images,)
    for wrong in (least - 1, 2.5, "3"):
        message = (
            rf"'{name}' parameter must be an int in the range \[{least}, inf\)\. Got {wrong!r}"
        )
        with pytest.raises(ValueError, match=message):
            display.from_estimator(fitted, *arguments, **{name: wrong})
    assert plt.get_fignums() == []


@pytest.mark.parametrize(
    ("rows", "error", "message"),
    [
        (np.zeros((3, 8, 10, 3)), ValueError, r"X must have two axes.*X\.reshape\(len\(X\), -1\)"),
        (np.zeros((3, 60)), ValueError, r"needs rows of 240 columns.*X has 60"),
        (np.full((3, 240), np.nan), ValueError, "X contains NaN"),
        (np.zeros((0, 240)), ValueError, r"0 sample\(s\)"),
        (iter([]), TypeError, "X must be an array"),
    ],
)
def test_what_is_no_rows_of_images_is_refused(fitted, rows, error, message):
    for display, arguments in ((ReconstructionDisplay, ()), (InterpolationDisplay, (rows,))):
        with pytest.raises(error, match=message):
            display.from_estimator(fitted, rows, *arguments)


def test_lists_are_drawn_as_arrays_are(fitted, images):
    found, expected = (
        ReconstructionDisplay.from_estimator(fitted, rows, random_state=0).images
        for rows in (images.tolist(), images)
    )
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_unbounded_pixels_are_scaled_from_the_smallest_to_the_largest(images):
    rows = 5 * images - 2
    model = small(image_shape=(8, 10, 3), max_epochs=1).fit(rows)
    display = ReconstructionDisplay.from_estimator(model, rows[:4], n_columns=4)
    expected = (rows[:4] - rows[:4].min()) / np.ptp(rows[:4])
    np.testing.assert_allclose(display.images[0], as_images(expected), atol=1e-6)
    assert np.isfinite(display.images).all()


def test_images_are_plotted_on_the_given_axes(fitted, images):
    figure, ax = plt.subplots()
    display = ReconstructionDisplay.from_estimator(fitted, images[:2], ax=ax)
    assert display.ax_ is ax
    assert display.figure_ is figure
    again = display.plot()
    assert again is display
    assert display.ax_ is not ax


def test_given_axes_keep_their_size(fitted):
    figure, axes = plt.subplots(1, 2)
    before = figure.get_size_inches().tolist(), axes[0].get_position(original=True).bounds
    SampleDisplay.from_estimator(fitted, ax=axes[0])
    after = figure.get_size_inches().tolist(), axes[0].get_position(original=True).bounds
    assert before == after


@pytest.mark.parametrize("wrong", [3, [], "axes"])
def test_what_is_no_axes_is_refused(fitted, wrong):
    with pytest.raises(TypeError, match=r"'ax' parameter must be None or a matplotlib Axes.* Got"):
        SampleDisplay.from_estimator(fitted, ax=wrong)
    with pytest.raises(TypeError, match=r"Got 2: Axes, Axes\."):
        SampleDisplay.from_estimator(fitted, ax=plt.subplots(2)[1])


@pytest.mark.parametrize(
    ("image_shape", "message"),
    [
        (None, r"image_shape is None.*pass image_shape=.*see LatentMapDisplay and TrainingDisplay"),
        ((12, 10, 2), "1 or 3 channels can be plotted. Got 2"),
    ],
)
def test_rows_that_are_no_images_are_refused(images, image_shape, message):
    model = small(image_shape=image_shape, max_epochs=0).fit(images)
    for display, arguments in (
        (ReconstructionDisplay, (images,)),
        (SampleDisplay, ()),
        (InterpolationDisplay, (images, images)),
    ):
        with pytest.raises(ValueError, match=message):
            display.from_estimator(model, *arguments)


def test_an_interpolation_needs_as_many_ends_as_beginnings(fitted, images):
    with pytest.raises(ValueError, match=r"same shape.*\(2, 240\) and \(3, 240\)"):
        InterpolationDisplay.from_estimator(fitted, images[:2], images[:3])


def test_without_matplotlib_a_display_names_the_extra(fitted, images, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    message = r'plot needs matplotlib.* pip install "sklearn_bigan\[plot\]"'
    with pytest.raises(ImportError, match=message):
        TrainingDisplay.from_estimator(fitted)
    with pytest.raises(ImportError, match=message):
        LatentMapDisplay.from_estimator(fitted, images)
    with pytest.raises(ImportError, match=message):
        SampleDisplay.from_estimator(fitted)


def test_matplotlib_is_imported_when_something_is_plotted():
    code = """
import sys, numpy as np, sklearn_bigan
display = sklearn_bigan.SampleDisplay(np.zeros((1, 1, 2, 2, 1)))
print("matplotlib" in sys.modules)
display.plot()
print("matplotlib" in sys.modules)
"""
    command = [sys.executable, "-c", code]
    environment = {**os.environ, "MPLBACKEND": "agg"}
    run = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert run.stdout.split() == ["False", "True"]
