import copy
import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt

from sklearn_bigan import (
    BiGANTransformer,
    InterpolationDisplay,
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
    return BiGANTransformer(
        3, image_shape=(8, 10, 3), output_activation="sigmoid", max_epochs=1, random_state=0
    ).fit(images)


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


@pytest.mark.parametrize("features", ["latent", "hidden"])
def test_an_interpolation_goes_from_code_to_code(fitted, images, features):
    fitted.set_params(features=features)
    try:
        display = InterpolationDisplay.from_estimator(fitted, images[:2], images[2:4], n_steps=3)
    finally:
        assert fitted.features == features
        fitted.set_params(features="latent")
    assert display.images.shape == (2, 5, 8, 10, 3)
    np.testing.assert_allclose(display.images[:, 0], as_images(images[:2]))
    np.testing.assert_allclose(display.images[:, 4], as_images(images[2:4]))
    codes = fitted.transform(images[:4])
    middle = fitted.inverse_transform((codes[:2] + codes[2:]) / 2)
    np.testing.assert_allclose(display.images[:, 2], as_images(middle), rtol=1e-5)
    ends = as_images(fitted.reconstruct(images[:4]))
    np.testing.assert_allclose(display.images[:, 1], ends[:2], rtol=1e-5)
    np.testing.assert_allclose(display.images[:, 3], ends[2:], rtol=1e-5)


def test_pictures_are_the_same_of_data_frames(fitted, images):
    names = [f"pixel{i}" for i in range(images.shape[1])]
    named = copy.copy(fitted).set_output(transform="pandas")
    named.feature_names_in_ = np.array(names, dtype=object)
    X, X_end = (pd.DataFrame(rows, columns=names) for rows in (images[:2], images[2:4]))
    for display, arguments, plain in (
        (InterpolationDisplay, (X, X_end), (images[:2], images[2:4])),
        (ReconstructionDisplay, (X,), (images[:2],)),
    ):
        drawn = display.from_estimator(named, *arguments).images
        np.testing.assert_array_equal(drawn, display.from_estimator(fitted, *plain).images)


def test_a_picture_has_a_white_frame_round_each_image():
    images = np.zeros((2, 3, 4, 5, 1))
    images[1, 2] = np.nan
    picture = SampleDisplay(images).plot().ax_.images[0].get_array()
    assert picture.shape == (2 * (4 + 2), 3 * (5 + 2), 3)
    assert picture[:, [0, 6, 7, 13, 14, 20]].min() == picture[[0, 5, 6, 11]].min() == 1
    assert picture[1:5, 1:6].max() == 0
    assert picture[6:, 14:].min() == 1  # there is no such image


def test_unbounded_pixels_are_drawn_from_the_least_to_the_greatest(images):
    rows = 5 * images - 2
    model = BiGANTransformer(3, image_shape=(8, 10, 3), max_epochs=1, random_state=0).fit(rows)
    display = ReconstructionDisplay.from_estimator(model, rows[:4], n_columns=4)
    expected = (rows[:4] - rows[:4].min()) / np.ptp(rows[:4])
    np.testing.assert_allclose(display.images[0], as_images(expected), atol=1e-6)
    assert np.isfinite(display.images).all()


def test_a_picture_is_drawn_where_one_says(fitted, images):
    figure, ax = plt.subplots()
    display = ReconstructionDisplay.from_estimator(fitted, images[:2], ax=ax)
    assert display.ax_ is ax
    assert display.figure_ is figure
    again = display.plot()
    assert again is display
    assert display.ax_ is not ax


def test_tables_have_no_images(images):
    table = BiGANTransformer(3, max_epochs=1, random_state=0).fit(images)
    for draw in (
        lambda: ReconstructionDisplay.from_estimator(table, images),
        lambda: SampleDisplay.from_estimator(table),
        lambda: InterpolationDisplay.from_estimator(table, images, images),
    ):
        with pytest.raises(ValueError, match=r"image_shape is None.*see TrainingDisplay"):
            draw()


def test_images_of_two_channels_have_no_colour(images):
    model = BiGANTransformer(3, image_shape=(12, 10, 2), max_epochs=1).fit(images)
    with pytest.raises(ValueError, match=r"1 or 3 channels can be drawn. Got 2"):
        SampleDisplay.from_estimator(model)


def test_an_interpolation_needs_as_many_ends_as_beginnings(fitted, images):
    with pytest.raises(ValueError, match=r"same shape.*\(2, 240\) and \(3, 240\)"):
        InterpolationDisplay.from_estimator(fitted, images[:2], images[:3])


def test_training_is_drawn_as_losses_and_health(small_digits):
    model = BiGANTransformer(3, max_epochs=3, random_state=0).fit(small_digits)
    display = TrainingDisplay.from_estimator(model)
    for ax, name in ((display.axes_[0], "cycle_loss"), (display.axes_[1], "coverage")):
        (line,) = [line for line in ax.lines if line.get_label() == name.replace("_", " ")]
        np.testing.assert_array_equal(line.get_xdata(), [1, 2, 3])
        np.testing.assert_array_equal(line.get_ydata(), [e[name] for e in model.history_])
    figure, axes = plt.subplots(2)
    assert display.plot(axes).figure_ is figure


def test_losses_are_drawn_of_the_epochs_that_had_them(small_digits):
    model = BiGANTransformer(3, max_epochs=1, random_state=0).fit(small_digits)
    model.set_params(cycle_weight=0).partial_fit(small_digits)
    display = TrainingDisplay.from_estimator(model)
    lines = {line.get_label(): line.get_ydata() for line in display.axes_[0].lines}
    assert np.isnan(lines["cycle loss"]).tolist() == [False, True]


def test_no_training_cannot_be_drawn(small_digits):
    untrained = BiGANTransformer(3, max_epochs=0).fit(small_digits)
    with pytest.raises(ValueError, match="no epoch was trained"):
        TrainingDisplay.from_estimator(untrained)


def test_the_package_does_without_matplotlib_until_something_is_drawn():
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
