"""Pictures of a fitted estimator, in the manner of scikit-learn's displays."""

import copy
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from sklearn.utils._optional_dependencies import check_matplotlib_support

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Pixels of background round each image of a picture.
MARGIN = 1

RANGES = {"sigmoid": (0.0, 1.0), "tanh": (-1.0, 1.0)}


class _ImagesDisplay:
    """Rows of images, drawn as one picture.

    Parameters
    ----------
    images : ndarray of shape (n_lines, n_columns, height, width, channels)
        With values from 0 to 1, 1 or 3 channels; nan is drawn as background.
    """

    ax_: "Axes"
    figure_: Any

    def __init__(self, images: np.ndarray) -> None:
        self.images = images

    def plot(self, ax: "Axes | None" = None) -> Self:
        """Draw the picture.

        Parameters
        ----------
        ax : matplotlib Axes or None, default=None
            Where to draw. None: on a figure of its own.

        Returns
        -------
        self
            With `ax_` and `figure_`.
        """
        self.ax_, self.figure_ = _axes(self, ax)
        picture = _tiled(self.images)
        grey = picture.shape[2] == 1
        self.ax_.imshow(np.repeat(picture, 3, axis=2) if grey else picture, interpolation="nearest")
        self.ax_.set_axis_off()
        return self


class ReconstructionDisplay(_ImagesDisplay):
    """Images, and below each its reconstruction G(E(x)), as both papers show them.

    Read it for what the code keeps. Use images that the estimator was not trained on.

    Parameters
    ----------
    images : ndarray of shape (2 * n_lines, n_columns, height, width, channels)
        Lines of images and of reconstructions in turn; see `from_estimator`.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Where it is drawn.
    figure_ : matplotlib Figure
        The figure around it.

    See Also
    --------
    BiGANTransformer.reconstruct : The reconstructions as rows.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn_bigan import BiGANTransformer, ReconstructionDisplay
    >>> X = load_digits().data / 16
    >>> bigan = BiGANTransformer(
    ...     8, image_shape=(8, 8), output_activation="sigmoid", max_epochs=1, random_state=0
    ... ).fit(X[:1000])
    >>> display = ReconstructionDisplay.from_estimator(bigan, X[1000:1010])
    """

    @classmethod
    def from_estimator(
        cls, estimator: Any, X: Any, *, n_columns: int = 10, ax: "Axes | None" = None
    ) -> Self:
        """Reconstruct rows of X and draw both.

        Parameters
        ----------
        estimator : BiGANTransformer
            Fitted, with an `image_shape`.
        X : array-like of shape (n_images, n_features)
            The images.
        n_columns : int, default=10
            Images in a line.
        ax : matplotlib Axes or None, default=None
            Where to draw. None: on a figure of its own.

        Returns
        -------
        display : ReconstructionDisplay
            What is drawn.
        """
        images = np.asarray(X)
        limits = _limits(estimator, images)
        lines = [
            _lines(estimator, rows, n_columns, limits)
            for rows in (images, estimator.reconstruct(X))
        ]
        return cls(np.stack(lines, axis=1).reshape(-1, *lines[0].shape[1:])).plot(ax)


class SampleDisplay(_ImagesDisplay):
    """Samples G(z), z drawn from the prior.

    Parameters
    ----------
    images : ndarray of shape (n_lines, n_columns, height, width, channels)
        The samples; see `from_estimator`.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Where it is drawn.
    figure_ : matplotlib Figure
        The figure around it.

    See Also
    --------
    BiGANTransformer.sample : The samples as rows.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn_bigan import BiGANTransformer, SampleDisplay
    >>> X = load_digits().data / 16
    >>> bigan = BiGANTransformer(
    ...     8, image_shape=(8, 8), output_activation="sigmoid", max_epochs=1, random_state=0
    ... ).fit(X)
    >>> display = SampleDisplay.from_estimator(bigan, n_samples=20, random_state=0)
    """

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        *,
        n_samples: int = 100,
        random_state: int | np.random.RandomState | None = None,
        cluster: int | None = None,
        n_columns: int = 10,
        ax: "Axes | None" = None,
    ) -> Self:
        """Draw samples.

        Parameters
        ----------
        estimator : BiGANTransformer
            Fitted, with an `image_shape`.
        n_samples, random_state, cluster
            As for `BiGANTransformer.sample`.
        n_columns : int, default=10
            Images in a line.
        ax : matplotlib Axes or None, default=None
            Where to draw. None: on a figure of its own.

        Returns
        -------
        display : SampleDisplay
            What is drawn.
        """
        rows = estimator.sample(n_samples, random_state, cluster=cluster)
        return cls(_lines(estimator, rows, n_columns, _limits(estimator, rows))).plot(ax)


class InterpolationDisplay(_ImagesDisplay):
    """What G makes of the codes on the straight way from one row's code to another's.

    Codes are means of q(z | x). Each line begins and ends with the two images themselves. If what
    lies between are images, too, the estimator has not learned its training rows by heart (ALI,
    section 4.2). The codes of a prior with clusters leave gaps between these, which nothing was
    trained to fill.

    Parameters
    ----------
    images : ndarray of shape (n_pairs, n_steps + 2, height, width, channels)
        A line for each pair; see `from_estimator`.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Where it is drawn.
    figure_ : matplotlib Figure
        The figure around it.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn_bigan import BiGANTransformer, InterpolationDisplay
    >>> X = load_digits().data / 16
    >>> bigan = BiGANTransformer(
    ...     8, image_shape=(8, 8), output_activation="sigmoid", max_epochs=1, random_state=0
    ... ).fit(X[:1000])
    >>> display = InterpolationDisplay.from_estimator(bigan, X[1000:1005], X[1005:1010])
    """

    @classmethod
    def from_estimator(
        cls, estimator: Any, X: Any, X_end: Any, *, n_steps: int = 10, ax: "Axes | None" = None
    ) -> Self:
        """Go from each row of X to the row of `X_end` at the same place.

        Parameters
        ----------
        estimator : BiGANTransformer
            Fitted, with an `image_shape`.
        X, X_end : array-like of shape (n_pairs, n_features)
            Where to begin, and where to end.
        n_steps : int, default=10
            Generated images in a line, at least 2: of both codes, and of those between.
        ax : matplotlib Axes or None, default=None
            Where to draw. None: on a figure of its own.

        Returns
        -------
        display : InterpolationDisplay
            What is drawn.
        """
        ends = np.asarray(X), np.asarray(X_end)
        if ends[0].shape != ends[1].shape:
            raise ValueError(
                f"X and X_end must have the same shape, a row to begin and a row to end for each "
                f"pair. Got {ends[0].shape} and {ends[1].shape}."
            )
        coder = copy.copy(estimator).set_params(features="latent")
        first, last = (np.asarray(coder.transform(rows)) for rows in (X, X_end))
        way = np.linspace(0, 1, n_steps, dtype=np.float32)
        codes = first[:, None] + way[:, None] * (last - first)[:, None]
        between = coder.inverse_transform(codes.reshape(-1, codes.shape[2]))
        lines = np.concatenate(
            [
                ends[0][:, None],
                between.reshape(len(codes), n_steps, -1),
                ends[1][:, None],
            ],
            axis=1,
        )
        limits = _limits(estimator, np.concatenate(ends))
        images = _lines(estimator, lines.reshape(-1, lines.shape[2]), n_steps + 2, limits)
        return cls(images).plot(ax)


class TrainingDisplay:
    """How training went: losses, and the figures of health, epoch by epoch. For tables, too.

    The adversarial losses say how the game stands, not whether anything is learned; the figures of
    health look at that.

    Parameters
    ----------
    history : list of dict
        As `BiGANTransformer.history_`.

    Attributes
    ----------
    axes_ : ndarray of shape (2,)
        Where it is drawn, losses and health.
    figure_ : matplotlib Figure
        The figure around it.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn_bigan import BiGANTransformer, TrainingDisplay
    >>> bigan = BiGANTransformer(8, max_epochs=2, random_state=0).fit(load_digits().data / 16)
    >>> display = TrainingDisplay.from_estimator(bigan)
    """

    HEALTH = ("reconstruction_ratio", "code_spread", "latent_error", "sample_spread", "coverage")

    axes_: np.ndarray
    figure_: Any

    def __init__(self, history: list[dict[str, Any]]) -> None:
        self.history = history

    @classmethod
    def from_estimator(cls, estimator: Any, *, axes: Any = None) -> Self:
        """Draw the history of a fitted estimator.

        Parameters
        ----------
        estimator : BiGANTransformer
            Fitted, for an epoch at least.
        axes : array-like of two matplotlib Axes or None, default=None
            Where to draw. None: on a figure of its own.

        Returns
        -------
        display : TrainingDisplay
            What is drawn.
        """
        return cls(estimator.history_).plot(axes)

    def plot(self, axes: Any = None) -> Self:
        """Draw the losses on the first axes and the figures of health on the second.

        Parameters
        ----------
        axes : array-like of two matplotlib Axes or None, default=None
            Where to draw. None: on a figure of its own.

        Returns
        -------
        self
            With `axes_` and `figure_`.
        """
        check_matplotlib_support(f"{type(self).__name__}.plot")
        import matplotlib.pyplot as plt

        if not self.history:
            raise ValueError("There is nothing to draw: no epoch was trained (max_epochs=0).")
        if axes is None:
            _, axes = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
        self.axes_ = np.asarray(axes)
        self.figure_ = self.axes_[0].figure
        # An epoch has the losses of what was minimised in it.
        figures = dict.fromkeys(name for epoch in self.history for name in epoch)
        losses = [name for name in figures if name.endswith("_loss")]
        epochs = range(1, 1 + len(self.history))
        for ax, names in zip(self.axes_, (losses, self.HEALTH), strict=True):
            for name in names:
                values = [epoch.get(name, np.nan) for epoch in self.history]
                ax.plot(epochs, values, label=name.replace("_", " "))
            ax.set(xlabel="epoch", yscale="log")
            ax.legend()
        return self


def _axes(display: Any, ax: "Axes | None") -> tuple["Axes", Any]:
    check_matplotlib_support(f"{type(display).__name__}.plot")
    import matplotlib.pyplot as plt

    if ax is None:
        _, ax = plt.subplots(layout="constrained")
    return ax, ax.figure


def _limits(estimator: Any, rows: np.ndarray) -> tuple[float, float]:
    """Return what is drawn black and white: the ends of G's range, where it has any."""
    return RANGES.get(estimator.output_activation, (float(rows.min()), float(rows.max())))


def _lines(
    estimator: Any, rows: np.ndarray, n_columns: int, limits: tuple[float, float]
) -> np.ndarray:
    """Rows of X as lines of images with values from 0 to 1; what is missing in the last is nan."""
    if estimator.image_shape is None:
        raise ValueError(
            "There are no images to draw: image_shape is None. Pictures are drawn of an estimator "
            "that was told how to read a row as one; of tables, see TrainingDisplay."
        )
    height, width, channels = (*estimator.image_shape, 1)[:3]
    if channels not in (1, 3):
        raise ValueError(
            f"Only images of 1 or 3 channels can be drawn. Got {channels}, "
            f"image_shape={estimator.image_shape}."
        )
    low, high = limits
    n_lines = -(-len(rows) // n_columns)
    lines = np.full((n_lines * n_columns, height, width, channels), np.nan)
    lines[: len(rows)] = rows.reshape(-1, height, width, channels)
    lines = ((lines - low) / ((high - low) or 1)).clip(0, 1)
    return lines.reshape(n_lines, n_columns, height, width, channels)


def _tiled(images: np.ndarray) -> np.ndarray:
    """Lines of images as one picture, (height, width, channels), on white."""
    room = ((0, 0), (0, 0), (MARGIN, MARGIN), (MARGIN, MARGIN), (0, 0))
    framed = np.nan_to_num(np.pad(images, room, constant_values=1.0), nan=1.0)
    n_lines, n_columns, height, width, channels = framed.shape
    return framed.swapaxes(1, 2).reshape(n_lines * height, n_columns * width, channels)
