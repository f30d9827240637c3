import numpy as np
import pytest
from factories import small
from matplotlib import pyplot as plt
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_bigan import TrainingDisplay

pytestmark = pytest.mark.usefixtures("no_figures")


def made_up(n_epochs, **metrics):
    """A history in which every metric is 0.5 but for those given."""
    names = ("discriminator_loss", "encoder_generator_loss", *TrainingDisplay.DIAGNOSTICS)
    return [dict.fromkeys(names, 0.5) | metrics for _ in range(n_epochs)]


def levels(ax):
    """The values at which lines cross the axes, by their style."""
    found = [(line.get_linestyle(), set(line.get_ydata())) for line in ax.lines]
    return {(style, *values) for style, values in found if len(values) == 1}


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


def test_a_pipeline_is_plotted_as_its_transformer(small_digits):
    pipeline = make_pipeline(StandardScaler(), small()).fit(small_digits)
    assert TrainingDisplay.from_estimator(pipeline).history == pipeline[-1].history_


def test_thresholds_of_the_warnings_are_drawn_among_the_diagnostics():
    history = made_up(1) + made_up(1, **dict.fromkeys(made_up(1)[0], 0.6))
    losses, diagnostics = TrainingDisplay(history).plot().axes_
    assert levels(losses) == set()
    assert levels(diagnostics) == {("-", 1), ("--", 0.1), ("--", 10), (":", 0.95)}
    labels = [text.get_text() for text in diagnostics.get_legend().get_texts()]
    assert "fit warns: spread < 0.1 or > 10, coverage < 0.1" in labels
    assert "fit warns: reconstruction ratio > 0.95" in labels


def test_the_upper_threshold_is_shown_only_if_a_curve_comes_near_it():
    low, high = TrainingDisplay(made_up(2)).plot().axes_[1].get_ylim()
    assert low < 0.1
    assert 1 < high < 2
    _, high = TrainingDisplay(made_up(1) + made_up(1, code_spread=30)).plot().axes_[1].get_ylim()
    assert high > 30


def test_one_epoch_is_drawn_as_markers():
    display = TrainingDisplay(made_up(1)).plot()
    for ax, n_curves in zip(display.axes_, (2, 5), strict=True):
        curves = [line for line in ax.lines if len(line.get_xdata()) == 1]
        assert [line.get_marker() for line in curves] == ["o"] * n_curves
        display.figure_.canvas.draw()
        ticks = [tick for tick in ax.get_xticks() if ax.get_xlim()[0] <= tick <= ax.get_xlim()[1]]
        assert ticks == [1]


def test_curves_of_many_epochs_have_no_markers():
    curves = [line for line in TrainingDisplay(made_up(50)).plot().axes_[0].lines]
    assert {line.get_marker() for line in curves} == {"None"}


def test_axes_have_titles_and_labels():
    losses, diagnostics = TrainingDisplay(made_up(3)).plot().axes_
    assert (losses.get_title(), losses.get_ylabel()) == ("Losses", "loss")
    assert diagnostics.get_title() == "Diagnostics"
    assert diagnostics.get_ylabel() == "ratio, error or share"
    assert losses.get_xlabel() == diagnostics.get_xlabel() == "epoch"


def test_legends_lie_below_the_axes_within_the_figure():
    display = TrainingDisplay(made_up(3)).plot()
    display.figure_.canvas.draw()
    figure = display.figure_.bbox
    boxes = [ax.get_legend().get_window_extent() for ax in display.axes_]
    for ax, legend in zip(display.axes_, boxes, strict=True):
        assert legend.y1 < ax.xaxis.get_tightbbox().y0
        assert legend.y0 >= figure.y0
        assert figure.x0 <= legend.x0 < legend.x1 <= figure.x1
    assert boxes[0].x1 < boxes[1].x0


@pytest.mark.parametrize("n_axes", [1, 3])
def test_other_than_two_axes_are_refused(n_axes):
    axes = plt.subplots(n_axes)[1]
    message = (
        rf"'axes' parameter must be None or 2 matplotlib Axes, for the losses.*Got {n_axes}: Axes"
    )
    with pytest.raises(TypeError, match=message):
        TrainingDisplay(made_up(1)).plot(axes)
    with pytest.raises(TypeError, match="Got 2: int, int"):
        TrainingDisplay(made_up(1)).plot([1, 2])
    assert all(not ax.lines for ax in np.ravel(axes))
