"""Codes as points in a plane."""

from typing import TYPE_CHECKING, Any, Self

import numpy as np
from sklearn.decomposition import PCA
from sklearn.utils import column_or_1d

from sklearn_bigan._display.arguments import check_axes
from sklearn_bigan._display.codec import Codec
from sklearn_bigan._runtime.extras import require

if TYPE_CHECKING:
    from matplotlib.axes import Axes

METHODS = ("pca", "tsne", "first")

# Numbers with more distinct values than these are no classes: they are drawn on a continuous scale.
MAX_CLASSES = 30

# Each marker is used with every colour before the next one is.
MARKERS = "os^DvPX*"
LEGEND_LINES = 20

# Areas of a marker in square points. Beyond CROWDED points markers become smaller, and then
# translucent.
LARGEST_MARKER, SMALLEST_MARKER, CROWDED = 24, 3, 1000


class LatentMapDisplay:
    """The codes of rows as points in a plane.

    Each point is the code E(x) of one row. Classes that form separate clouds can be told apart from
    the codes; with PCA, a linear classifier sees at least what the map shows. Distances between the
    clouds of t-SNE mean little.

    Parameters
    ----------
    positions : ndarray of shape (n_samples, 2)
        Where the points are; see `from_estimator`.
    y : array-like of shape (n_samples,) or None, default=None
        Class labels or numbers that the points are coloured by.
    axis_labels : tuple of 2 str, default=("", "")
        What the axes are.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes with the map.
    figure_ : matplotlib Figure
        Figure containing the axes.

    See Also
    --------
    BiGANTransformer.transform : The codes.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn_bigan import BiGANTransformer, LatentMapDisplay
    >>> X, y = load_digits(return_X_y=True)
    >>> bigan = BiGANTransformer(8, max_epochs=1, random_state=0).fit(X[:1000] / 16)
    >>> display = LatentMapDisplay.from_estimator(bigan, X[1000:] / 16, y[1000:])
    >>> display.positions.shape
    (797, 2)
    """

    ax_: "Axes"
    figure_: Any

    def __init__(
        self, positions: np.ndarray, y: Any = None, axis_labels: tuple[str, str] = ("", "")
    ) -> None:
        self.positions = positions
        self.y = y
        self.axis_labels = axis_labels

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: Any = None,
        *,
        method: str = "pca",
        random_state: int | np.random.RandomState | None = None,
        ax: "Axes | None" = None,
    ) -> Self:
        """Plot the codes of X.

        Parameters
        ----------
        estimator : BiGANTransformer or Pipeline
            Fitted estimator with two components or more. A Pipeline must end in a BiGANTransformer.
        X : array-like of shape (n_samples, n_features)
            Rows to encode.
        y : array-like of shape (n_samples,) or None, default=None
            What the points are coloured by: strings, bools, or numbers with at most 30 distinct
            values, all of them whole, are class labels and have a legend; other numbers have a
            colour bar. If None, all points have one colour.
        method : {"pca", "tsne", "first"}, default="pca"
            How the codes are brought to two dimensions: the first two principal components, t-SNE,
            which is slow for tens of thousands of rows, or the first two components of the code.
        random_state : int, RandomState instance or None, default=None
            Determines the result of t-SNE.
        ax : matplotlib Axes or None, default=None
            Axes to plot on. If None, a new figure is created.

        Returns
        -------
        display : LatentMapDisplay
            The plotted display.

        Raises
        ------
        ValueError
            If `method` is none of the above, if the codes have fewer than two components, if X has
            fewer than two rows, or if y is not one finite value for each row.
        TypeError
            If `estimator` does not end in a BiGANTransformer, or `ax` is not a matplotlib Axes.
        """
        codec = Codec(estimator)
        if method not in METHODS:
            raise ValueError(
                f"The 'method' parameter must be one of {METHODS}. Got {method!r} instead."
            )
        codes = codec.encode(X)
        n_rows, n_components = codes.shape
        if n_components < 2:
            raise ValueError(
                "A map needs codes of two or more components. Got n_components=1; a histogram of "
                "transform(X) shows such codes."
            )
        if n_rows < 2:
            raise ValueError("A map needs two or more rows of X. Got 1.")
        if y is not None:
            _check_y(y, n_rows)
        positions, labels = _project(codes, method, random_state)
        return cls(positions, y, labels).plot(ax)

    def plot(
        self, ax: "Axes | None" = None, *, scatter_kwargs: dict[str, Any] | None = None
    ) -> Self:
        """Plot the map.

        Parameters
        ----------
        ax : matplotlib Axes or None, default=None
            Axes to plot on. If None, a new figure is created.
        scatter_kwargs : dict or None, default=None
            Keywords for `matplotlib.axes.Axes.scatter`, such as ``{"s": 4, "alpha": 0.5}``.

        Returns
        -------
        self : LatentMapDisplay
            The display, with `ax_` and `figure_`.

        Raises
        ------
        ValueError
            If y is not one finite value for each point.
        TypeError
            If `ax` is neither None nor a matplotlib Axes.
        """
        require(f"{type(self).__name__}.plot", "plot", "matplotlib")
        import matplotlib.pyplot as plt

        n_points = len(self.positions)
        labels = None if self.y is None else _check_y(self.y, n_points)
        given = None if ax is None else check_axes(ax, "ax", ("the map",))[0]
        self.ax_ = given or plt.subplots(layout="constrained")[1]
        self.figure_ = self.ax_.figure
        crowding = CROWDED / n_points
        style: Any = {
            "s": np.clip(LARGEST_MARKER * crowding, SMALLEST_MARKER, LARGEST_MARKER),
            "alpha": np.clip(np.sqrt(4 * crowding), 0.3, 0.8),
            "linewidths": 0,
            **(scatter_kwargs or {}),
        }
        if labels is None:
            self.ax_.scatter(*self.positions.T, **style)
        elif _are_classes(labels):
            legend = self._plot_classes(labels, style)
            if given is None:
                # The map keeps its size beside a legend of any width.
                width, height = self.figure_.get_size_inches()
                width += legend.get_window_extent().width / self.figure_.dpi
                self.figure_.set_size_inches(width, height)
        else:
            points = self.ax_.scatter(*self.positions.T, **{"c": labels, **style})
            bar = self.figure_.colorbar(
                points, ax=self.ax_, label=getattr(self.y, "name", None) or "y"
            )
            bar.solids.set_alpha(1)
        self.ax_.set(
            xlabel=self.axis_labels[0],
            ylabel=self.axis_labels[1],
            title=f"Codes E(x) of {n_points:,} rows",
        )
        # One unit is as long on both axes, so that distances are not distorted.
        self.ax_.set_aspect("equal", adjustable="datalim")
        return self

    def _plot_classes(self, labels: np.ndarray, style: dict[str, Any]) -> Any:
        """Plot each class in a colour and marker of its own; return the legend beside the axes."""
        import matplotlib.pyplot as plt
        from matplotlib.lines import Line2D

        classes, numbers = np.unique(labels, return_inverse=True)
        palette: Any = plt.get_cmap("tab10" if len(classes) <= 10 else "tab20")
        colors = palette.colors
        markers = np.resize(list(MARKERS), -(-len(classes) // len(colors)))
        handles = []
        for first, marker in zip(range(0, len(classes), len(colors)), markers, strict=True):
            of_marker = (first <= numbers) & (numbers < first + len(colors))
            # The points of all classes in one call: none covers the others as a whole.
            chosen = [colors[number - first] for number in numbers[of_marker]]
            own = {"c": chosen, "marker": marker, **style}
            self.ax_.scatter(*self.positions[of_marker].T, **own)
            handles += [
                Line2D(
                    [],
                    [],
                    linestyle="",
                    marker=marker,
                    color=color,
                    label=f"{name:g}" if labels.dtype.kind == "f" else str(name),
                )
                for name, color in zip(classes[first:], colors, strict=False)
            ]
        return self.ax_.legend(
            handles=handles,
            title=getattr(self.y, "name", None),
            loc="upper left",
            bbox_to_anchor=(1.01, 1),
            borderaxespad=0,
            frameon=False,
            ncols=-(-len(classes) // LEGEND_LINES),
        )


def _check_y(y: Any, n_rows: int) -> np.ndarray:
    """Return y as one finite number or one str for each row."""
    labels = column_or_1d(y)
    if len(labels) != n_rows:
        raise ValueError(
            f"The 'y' parameter must have one value for each row of X. Got {len(labels)} values "
            f"for {n_rows} rows."
        )
    if labels.dtype.kind not in "biuf":
        return labels.astype(str)
    if not np.isfinite(labels).all():
        raise ValueError(
            "The 'y' parameter must not have NaN or infinite values. Leave out these rows of X and "
            "y, or pass class labels as strings."
        )
    return labels


def _are_classes(labels: np.ndarray) -> bool:
    if labels.dtype.kind not in "iuf":
        return True
    return bool((labels == np.round(labels)).all()) and len(np.unique(labels)) <= MAX_CLASSES


def _project(
    codes: np.ndarray, method: str, random_state: Any
) -> tuple[np.ndarray, tuple[str, str]]:
    """Return codes in two dimensions, and what these are."""
    if method == "first":
        return codes[:, :2], ("component 1 of z", "component 2 of z")
    if method == "tsne":
        from sklearn.manifold import TSNE  # importing it takes a while

        # t-SNE needs more rows than the perplexity; 30 is its default.
        perplexity = min(30.0, (len(codes) - 1) / 3)
        tsne = TSNE(perplexity=perplexity, init="pca", random_state=random_state)
        return tsne.fit_transform(codes), ("t-SNE 1", "t-SNE 2")
    pca = PCA(2, svd_solver="full")
    with np.errstate(invalid="ignore"):  # the variance is 0 if all codes are equal
        positions = pca.fit_transform(codes)
    shares = np.nan_to_num(pca.explained_variance_ratio_)
    first, second = (f"PCA {i} ({share:.0%} of the variance)" for i, share in enumerate(shares, 1))
    return positions, (first, second)
