import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from factories import small
from matplotlib import pyplot as plt
from sklearn.base import clone

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
    shape = {"image_shape": (8, 10, 3), "output_activation": "sigmoid"}
    return small(**shape, max_epochs=1).fit(images)


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


def test_each_image_has_a_white_frame():
    images = np.zeros((2, 3, 4, 5, 1))
    images[1, 2] = np.nan
    grid = SampleDisplay(images).plot().ax_.images[0].get_array()
    assert grid.shape == (2 * (4 + 2), 3 * (5 + 2), 3)
    assert grid[:, [0, 6, 7, 13, 14, 20]].min() == grid[[0, 5, 6, 11]].min() == 1
    assert grid[1:5, 1:6].max() == 0
    assert grid[6:, 14:].min() == 1  # there is no such image


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


@pytest.mark.parametrize(
    ("image_shape", "message"),
    [
        (None, r"image_shape is None.*see TrainingDisplay"),
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


def test_training_is_plotted_as_losses_and_diagnostics(small_digits):
    model = small(max_epochs=3).fit(small_digits)
    display = TrainingDisplay.from_estimator(model)
    for ax, name in ((display.axes_[0], "cycle_loss"), (display.axes_[1], "coverage")):
        (line,) = [line for line in ax.lines if line.get_label() == name.replace("_", " ")]
        np.testing.assert_array_equal(line.get_xdata(), [1, 2, 3])
        np.testing.assert_array_equal(line.get_ydata(), [e[name] for e in model.history_])
    figure, axes = plt.subplots(2)
    assert display.plot(axes).figure_ is figure


def test_a_loss_is_plotted_for_the_epochs_that_have_it(small_digits):
    model = small(max_epochs=1).fit(small_digits)
    model.set_params(cycle_weight=0).partial_fit(small_digits)
    display = TrainingDisplay.from_estimator(model)
    lines = {line.get_label(): line.get_ydata() for line in display.axes_[0].lines}
    assert np.isnan(lines["cycle loss"]).tolist() == [False, True]


def test_an_empty_history_is_refused(small_digits):
    with pytest.raises(ValueError, match="no epoch was trained"):
        TrainingDisplay.from_estimator(small(max_epochs=0).fit(small_digits))


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
