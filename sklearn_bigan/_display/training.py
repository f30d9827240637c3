"""The history of a training."""

from typing import Any, Self

import numpy as np

from sklearn_bigan._display.arguments import check_axes
from sklearn_bigan._display.codec import find_transformer
from sklearn_bigan._runtime.extras import require
from sklearn_bigan._training.diagnostics import (
    MAX_RECONSTRUCTION_RATIO,
    MAX_SPREAD,
    MIN_COVERAGE,
    MIN_SPREAD,
)

# Epochs are marked in curves of at most this number; more markers would merge.
MAX_MARKED_EPOCHS = 30

# On the logarithmic scale, what has vanished ends at the lower edge.
LEAST_SHOWN = 1e-3


class TrainingDisplay:
    """Losses and diagnostics by epoch, for images and tables.

    The adversarial losses show the balance between the players, but not whether the networks learn
    anything. The diagnostics do: how well E and G invert each other, and how well codes and samples
    cover the prior and the data. Spreads are best at 1, a solid line; the reconstruction ratio and
    the latent error are best at 0, and E and G have learned nothing at 1; coverage is best at .97,
    its value if samples and rows have one distribution.
    Dashed and dotted lines are the thresholds of the warnings of `fit`.

    Parameters
    ----------
    history : list of dict
        As `BiGANTransformer.history_`.

    Attributes
    ----------
    axes_ : ndarray of shape (2,)
        Axes with the losses and with the diagnostics.
    figure_ : matplotlib Figure
        Figure containing the axes.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn_bigan import BiGANTransformer, TrainingDisplay
    >>> bigan = BiGANTransformer(8, max_epochs=2, random_state=0).fit(load_digits().data / 16)
    >>> display = TrainingDisplay.from_estimator(bigan)
    """

    DIAGNOSTICS = (
        "reconstruction_ratio",
        "code_spread",
        "latent_error",
        "sample_spread",
        "coverage",
    )

    axes_: np.ndarray
    figure_: Any

    def __init__(self, history: list[dict[str, Any]]) -> None:
        self.history = history

    @classmethod
    def from_estimator(cls, estimator: Any, *, axes: Any = None) -> Self:
        """Plot the history of a fitted estimator.

        Parameters
        ----------
        estimator : BiGANTransformer or Pipeline
            Estimator fitted for at least one epoch. A Pipeline must end in a BiGANTransformer.
        axes : array-like of two matplotlib Axes or None, default=None
            Axes to plot on. If None, a new figure is created.

        Returns
        -------
        display : TrainingDisplay
            The plotted display.

        Raises
        ------
        ValueError
            If no epoch was trained.
        TypeError
            If `estimator` does not end in a BiGANTransformer, or `axes` are not two matplotlib
            Axes.
        """
        return cls(find_transformer(estimator).history_).plot(axes)

    def plot(self, axes: Any = None) -> Self:
        """Plot the losses on the first axes and the diagnostics on the second.

        Parameters
        ----------
        axes : array-like of two matplotlib Axes or None, default=None
            Axes to plot on. If None, a new figure is created.

        Returns
        -------
        self : TrainingDisplay
            The display, with `axes_` and `figure_`.

        Raises
        ------
        ValueError
            If the history is empty.
        TypeError
            If `axes` are not two matplotlib Axes.
        """
        require(f"{type(self).__name__}.plot", "plot", "matplotlib")
        import matplotlib.pyplot as plt
        from matplotlib.ticker import MaxNLocator

        if not self.history:
            raise ValueError("There is no history to plot: no epoch was trained (max_epochs=0).")
        if axes is None:
            _, axes = plt.subplots(1, 2, figsize=(10, 5), layout="constrained")
        self.axes_ = check_axes(axes, "axes", ("the losses", "the diagnostics"))
        self.figure_ = self.axes_[0].figure
        losses, diagnostics = self.axes_
        # Epochs differ in their losses if weights of terms changed in between.
        metrics = dict.fromkeys(name for epoch in self.history for name in epoch)
        self._plot_curves(losses, [name for name in metrics if name.endswith("_loss")])
        losses.set(title="Losses", ylabel="loss")
        self._plot_curves(diagnostics, list(self.DIAGNOSTICS))
        self._plot_thresholds(diagnostics)
        diagnostics.set(title="Diagnostics", ylabel="ratio, error or share")
        for ax in self.axes_:
            ax.set(xlabel="epoch", xlim=(0.5, len(self.history) + 0.5))
            ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
            ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.15), ncols=2, fontsize="small")
        return self

    def _plot_curves(self, ax: Any, names: list[str]) -> None:
        from matplotlib.ticker import LogLocator, NullFormatter

        epochs = np.arange(1, 1 + len(self.history))
        marker = "o" if len(epochs) <= MAX_MARKED_EPOCHS else None
        for name in names:
            values = [epoch.get(name, np.nan) for epoch in self.history]
            label = name.replace("_", " ")
            ax.plot(epochs, values, label=label, marker=marker, markersize=4)
        ax.set_yscale("log")
        ax.set_ylim(bottom=max(ax.get_ylim()[0], LEAST_SHOWN))
        ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        ax.yaxis.set_major_formatter("{x:g}")
        ax.yaxis.set_minor_formatter(NullFormatter())

    def _plot_thresholds(self, ax: Any) -> None:
        """Draw a line at 1, and lines where `fit` warns."""
        low, high = ax.get_ylim()
        thin: dict[str, Any] = {"color": "0.4", "linewidth": 1, "zorder": 1}
        ax.axhline(1, **thin)
        for threshold in sorted({MIN_SPREAD, MIN_COVERAGE, MAX_SPREAD}):
            ax.axhline(threshold, linestyle="--", **thin)
        ax.axhline(MAX_RECONSTRUCTION_RATIO, linestyle=":", **thin)
        for style, warns in (
            ("--", f"spread < {MIN_SPREAD:g} or > {MAX_SPREAD:g}, coverage < {MIN_COVERAGE:g}"),
            (":", f"reconstruction ratio > {MAX_RECONSTRUCTION_RATIO:g}"),
        ):
            ax.plot([], linestyle=style, label=f"fit warns: {warns}", **thin)
        # The upper threshold would flatten curves that are far below it, so that it is only shown
        # if a curve comes near it.
        ax.set_ylim(min(low, 0.9 * min(MIN_SPREAD, MIN_COVERAGE)), max(high, 1.2))
