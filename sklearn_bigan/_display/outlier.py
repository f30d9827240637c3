"""The columns that make a row odd, as bars."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from sklearn.base import OneToOneFeatureMixin

from sklearn_bigan._display.arguments import check_axes, check_number, count_rows
from sklearn_bigan._display.codec import find_detector, steps_before
from sklearn_bigan._runtime.extras import require

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class OutlierDisplay:
    """The columns that make a row odd, with their values.

    A bar is the contribution of a column to the outlier score of the row; see
    `BiGANOutlierDetector.explain`.

    Parameters
    ----------
    gains : ndarray of shape (n_columns,)
        Gains of the columns that are drawn, the largest first.
    names : sequence of str
        Their names.
    values : ndarray of shape (n_columns,)
        Their values in the row, in the units of X.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes with the bars.
    figure_ : matplotlib Figure
        Figure containing the axes.

    See Also
    --------
    BiGANOutlierDetector.explain : The gains of all columns.
    ReconstructionDisplay : Images above what the networks make of them.

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from sklearn_bigan import BiGANOutlierDetector, BiGANTransformer, OutlierDisplay
    >>> X = load_wine(as_frame=True).data
    >>> bigan = BiGANTransformer(4, max_epochs=20, random_state=0)
    >>> detector = BiGANOutlierDetector(bigan, random_state=0).fit(X)
    >>> oddest = detector.score_samples(X).argmin()
    >>> display = OutlierDisplay.from_estimator(detector, X.iloc[[oddest]], n_columns=3)
    >>> len(display.names)
    3
    """

    ax_: "Axes"
    figure_: Any

    def __init__(self, gains: np.ndarray, names: Sequence[str], values: np.ndarray) -> None:
        self.gains = gains
        self.names = names
        self.values = values

    @classmethod
    def from_estimator(
        cls,
        detector: Any,
        X: Any,
        *,
        n_columns: int = 8,
        feature_names: Sequence[str] | None = None,
        ax: "Axes | None" = None,
    ) -> Self:
        """Plot the columns that make a row odd.

        Parameters
        ----------
        detector : BiGANOutlierDetector or Pipeline
            Fitted detector. A Pipeline must end in one; names and values are those of X where the
            other steps keep the columns of X, and else those that the detector gets.
        X : array-like of shape (1, n_features)
            The row.
        n_columns : int, default=8
            The largest number of columns that are drawn.
        feature_names : sequence of str or None, default=None
            Names of all columns that the detector gets. If None, those that it was fitted with, or
            x0, x1 and so on.
        ax : matplotlib Axes or None, default=None
            Axes to plot on. If None, a new figure is created.

        Returns
        -------
        display : OutlierDisplay
            The plotted display.

        Raises
        ------
        ValueError
            If X is not one row, if `n_columns` is below 1, or if there are more or fewer names than
            columns.
        TypeError
            If `detector` does not end in a BiGANOutlierDetector, or `ax` is not a matplotlib Axes.
        """
        last, before = find_detector(detector), steps_before(detector)
        n_columns = check_number("n_columns", n_columns, 1)
        if count_rows(X) != 1:
            raise ValueError(f"X must be one row, such as X[[0]]. Got {count_rows(X)} rows.")
        if feature_names is not None and len(feature_names) != last.n_features_in_:
            raise ValueError(
                f"feature_names must have a name for each of the {last.n_features_in_} columns. "
                f"Got {len(feature_names)}."
            )
        scaled = X if before is None else before.transform(X)
        gains = last.explain(scaled)[0]
        first, shown = last, scaled
        if before is not None and _keep_columns(before):
            first, shown = before, X
        if feature_names is None:
            unnamed = [f"x{number}" for number in range(len(gains))]
            feature_names = getattr(first, "feature_names_in_", unnamed)
        most = np.argsort(-gains, kind="stable")[:n_columns]
        values = np.asarray(shown, dtype=np.float64)[0, most]
        return cls(gains[most], [str(feature_names[i]) for i in most], values).plot(ax)

    def plot(self, ax: "Axes | None" = None) -> Self:
        """Plot the bars.

        Parameters
        ----------
        ax : matplotlib Axes or None, default=None
            Axes to plot on. If None, a new figure is created.

        Returns
        -------
        self : object
            The display, with `ax_` and `figure_`.

        Raises
        ------
        TypeError
            If `ax` is neither None nor a matplotlib Axes.
        """
        require("OutlierDisplay.plot", "plot", "matplotlib")
        import matplotlib.pyplot as plt

        if ax is None:
            size = (6.4, 0.8 + 0.3 * len(self.gains))
            ax = plt.subplots(figsize=size, layout="constrained")[1]
        self.ax_ = check_axes(ax, "ax", ("the bars",))[0]
        self.figure_ = self.ax_.figure
        pairs = zip(self.names, self.values, strict=True)
        labels = [f"{name} = {value:.4g}" for name, value in pairs]
        self.ax_.barh(np.arange(len(labels)), self.gains, tick_label=labels)
        self.ax_.invert_yaxis()
        self.ax_.set(title="What makes the row odd", xlabel="contribution to the outlier score")
        return self


def _keep_columns(before: Any) -> bool:
    """Return whether the steps of a Pipeline keep the columns of X, as scalers do."""
    return all(
        step in (None, "passthrough") or isinstance(step, OneToOneFeatureMixin)
        for _, step in before.steps
    )
