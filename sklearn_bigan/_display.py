"""Plots of a fitted estimator, with the interface of scikit-learn's displays."""

from typing import TYPE_CHECKING, Any, Self

import numpy as np
from sklearn.utils._optional_dependencies import check_matplotlib_support
from sklearn.utils.validation import check_is_fitted

from sklearn_bigan._parameters import parse_image_shape
from sklearn_bigan.networks.generator import OUTPUT_RANGES
from sklearn_bigan.networks.images import ImageShape

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Pixels of background around each image.
MARGIN = 1


class _ImagesDisplay:
    """A grid of images."""

    ax_: "Axes"
    figure_: Any

    def __init__(self, images: np.ndarray) -> None:
        self.images = images

    def plot(self, ax: "Axes | None" = None) -> Self:
        """Plot the images.

        Parameters
        ----------
        ax : matplotlib Axes or None, default=None
            Axes to plot on. If None, a new figure is created.

        Returns
        -------
        self : object
            The display, with `ax_` and `figure_`.
        """
        check_matplotlib_support(f"{type(self).__name__}.plot")
        import matplotlib.pyplot as plt

        if ax is None:
            _, ax = plt.subplots(layout="constrained")
        grid = _tile(self.images)
        grey = grid.shape[2] == 1
        ax.imshow(np.repeat(grid, 3, axis=2) if grey else grid, interpolation="nearest")
        self.ax_, self.figure_ = ax, ax.figure
        self.ax_.set_axis_off()
        return self


class ReconstructionDisplay(_ImagesDisplay):
    """Images and their reconstructions G(E(x)), as in the papers on BiGAN and ALI.

    Each line of images is followed by a line of their reconstructions, which show what the codes
    preserve. Use images that the estimator was not trained on.

    Parameters
    ----------
    images : ndarray of shape (2 * n_lines, n_columns, height, width, channels)
        Lines of images and of reconstructions in turn; see `from_estimator`.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes with the images.
    figure_ : matplotlib Figure
        Figure containing the axes.

    See Also
    --------
    BiGANTransformer.reconstruct : The reconstructions as rows.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn_bigan import BiGANTransformer, ReconstructionDisplay
    >>> X = load_digits().data / 16
    >>> bigan = BiGANTransformer(8, image_shape=(8, 8), max_epochs=1, random_state=0)
    >>> bigan = bigan.fit(X[:1000])
    >>> display = ReconstructionDisplay.from_estimator(bigan, X[1000:1010])
    """

    @classmethod
    def from_estimator(
        cls, estimator: Any, X: Any, *, n_columns: int = 10, ax: "Axes | None" = None
    ) -> Self:
        """Plot images and their reconstructions.

        Parameters
        ----------
        estimator : BiGANTransformer
            Fitted estimator with an `image_shape`.
        X : array-like of shape (n_images, n_features)
            Images.
        n_columns : int, default=10
            Number of images in a line.
        ax : matplotlib Axes or None, default=None
            Axes to plot on. If None, a new figure is created.

        Returns
        -------
        display : ReconstructionDisplay
            The plotted display.
        """
        images = np.asarray(X)
        shape, limits = _image_shape(estimator), _limits(estimator, images)
        lines = [
            _lines(rows, shape, n_columns, limits) for rows in (images, estimator.reconstruct(X))
        ]
        return cls(np.stack(lines, axis=1).reshape(-1, *lines[0].shape[1:])).plot(ax)


class SampleDisplay(_ImagesDisplay):
    """Samples G(z), with z drawn from the prior.

    Parameters
    ----------
    images : ndarray of shape (n_lines, n_columns, height, width, channels)
        Samples; see `from_estimator`.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes with the images.
    figure_ : matplotlib Figure
        Figure containing the axes.

    See Also
    --------
    BiGANTransformer.sample : The samples as rows.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn_bigan import BiGANTransformer, SampleDisplay
    >>> X = load_digits().data / 16
    >>> bigan = BiGANTransformer(8, image_shape=(8, 8), max_epochs=1, random_state=0).fit(X)
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
        """Plot samples.

        Parameters
        ----------
        estimator : BiGANTransformer
            Fitted estimator with an `image_shape`.
        n_samples, random_state, cluster
            Passed to `BiGANTransformer.sample`.
        n_columns : int, default=10
            Number of images in a line.
        ax : matplotlib Axes or None, default=None
            Axes to plot on. If None, a new figure is created.

        Returns
        -------
        display : SampleDisplay
            The plotted display.
        """
        shape = _image_shape(estimator)
        rows = estimator.sample(n_samples, random_state, cluster=cluster)
        return cls(_lines(rows, shape, n_columns, _limits(estimator, rows))).plot(ax)


class InterpolationDisplay(_ImagesDisplay):
    """Linear interpolations between the codes of two images.

    Each line begins and ends with an image of X; between them are G's outputs for equally spaced
    codes on the line that connects the two images' codes, the means of q(z | x). Plausible images
    in between suggest that the estimator has not memorised its training data (ALI [1]_, section
    4.2). With a mixture prior, codes between two clusters were rare in training, and the images
    generated from them may be poor.

    Parameters
    ----------
    images : ndarray of shape (n_pairs, n_steps + 2, height, width, channels)
        One line for each pair of images; see `from_estimator`.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes with the images.
    figure_ : matplotlib Figure
        Figure containing the axes.

    References
    ----------
    .. [1] Dumoulin et al. Adversarially Learned Inference. ICLR 2017, arXiv:1606.00704.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn_bigan import BiGANTransformer, InterpolationDisplay
    >>> X = load_digits().data / 16
    >>> bigan = BiGANTransformer(8, image_shape=(8, 8), max_epochs=1, random_state=0)
    >>> bigan = bigan.fit(X[:1000])
    >>> display = InterpolationDisplay.from_estimator(bigan, X[1000:1005], X[1005:1010])
    """

    @classmethod
    def from_estimator(
        cls, estimator: Any, X: Any, X_end: Any, *, n_steps: int = 10, ax: "Axes | None" = None
    ) -> Self:
        """Interpolate between rows of X and the corresponding rows of `X_end`.

        Parameters
        ----------
        estimator : BiGANTransformer
            Fitted estimator with an `image_shape`.
        X, X_end : array-like of shape (n_pairs, n_features)
            First and last images.
        n_steps : int, default=10
            Number of generated images in a line, at least 2: the reconstructions of both images
            and those in between.
        ax : matplotlib Axes or None, default=None
            Axes to plot on. If None, a new figure is created.

        Returns
        -------
        display : InterpolationDisplay
            The plotted display.
        """
        ends = np.asarray(X), np.asarray(X_end)
        if ends[0].shape != ends[1].shape:
            raise ValueError(
                f"X and X_end must have the same shape: a first and a last image for each pair. "
                f"Got {ends[0].shape} and {ends[1].shape}."
            )
        shape, limits = _image_shape(estimator), _limits(estimator, np.concatenate(ends))
        coder = _with_latent_features(estimator)
        first, last = (np.asarray(coder.transform(rows)) for rows in (X, X_end))
        shares = np.linspace(0, 1, n_steps, dtype=np.float32)[:, None]
        codes = first[:, None] + shares * (last - first)[:, None]
        generated = coder.inverse_transform(codes.reshape(-1, codes.shape[2]))
        generated = generated.reshape(len(codes), n_steps, -1)
        lines = np.concatenate([ends[0][:, None], generated, ends[1][:, None]], axis=1)
        return cls(_lines(lines.reshape(-1, lines.shape[2]), shape, n_steps + 2, limits)).plot(ax)


class TrainingDisplay:
    """Losses and diagnostics by epoch, for images and tables.

    The adversarial losses show the balance between the players, but not whether the networks learn
    anything. The diagnostics do: how well E and G invert each other, and how well codes and samples
    cover the prior and the data.

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
        estimator : BiGANTransformer
            Estimator fitted for at least one epoch.
        axes : array-like of two matplotlib Axes or None, default=None
            Axes to plot on. If None, a new figure is created.

        Returns
        -------
        display : TrainingDisplay
            The plotted display.
        """
        check_is_fitted(estimator)
        return cls(estimator.history_).plot(axes)

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
        """
        check_matplotlib_support(f"{type(self).__name__}.plot")
        import matplotlib.pyplot as plt

        if not self.history:
            raise ValueError("There is no history to plot: no epoch was trained (max_epochs=0).")
        if axes is None:
            _, axes = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
        self.axes_ = np.asarray(axes)
        self.figure_ = self.axes_[0].figure
        # Epochs differ in their losses if weights of terms changed in between.
        metrics = dict.fromkeys(name for epoch in self.history for name in epoch)
        losses = [name for name in metrics if name.endswith("_loss")]
        epochs = range(1, 1 + len(self.history))
        for ax, names in zip(self.axes_, (losses, self.DIAGNOSTICS), strict=True):
            for name in names:
                values = [epoch.get(name, np.nan) for epoch in self.history]
                ax.plot(epochs, values, label=name.replace("_", " "))
            ax.set(xlabel="epoch", yscale="log")
            ax.legend()
        return self


def _with_latent_features(estimator: Any) -> Any:
    """Return an estimator on the same fitted networks whose `transform` returns codes."""
    view = object.__new__(type(estimator))
    vars(view).update(vars(estimator), features="latent")
    return view


def _image_shape(estimator: Any) -> ImageShape:
    """Return height, width and channels of the estimator's images, if they can be drawn."""
    check_is_fitted(estimator)
    shape = parse_image_shape(estimator.image_shape, estimator.n_features_in_)
    if shape is None:
        raise ValueError(
            "There are no images to plot: image_shape is None. Set image_shape before fitting if "
            "the rows of X are images; for tables, see TrainingDisplay."
        )
    if shape[2] not in (1, 3):
        raise ValueError(
            f"Only images with 1 or 3 channels can be plotted. Got {shape[2]}, "
            f"image_shape={estimator.image_shape}."
        )
    return shape


def _limits(estimator: Any, rows: np.ndarray) -> tuple[float, float]:
    """Return the values drawn black and white: G's output range, or that of the rows."""
    bounds = OUTPUT_RANGES[estimator.output_activation_]
    return bounds or (float(rows.min()), float(rows.max()))


def _lines(
    rows: np.ndarray, image_shape: ImageShape, n_columns: int, limits: tuple[float, float]
) -> np.ndarray:
    """Return rows of X as lines of images in [0, 1]; the last line is filled up with NaN."""
    low, high = limits
    n_lines = -(-len(rows) // n_columns)
    images = np.full((n_lines * n_columns, *image_shape), np.nan)
    images[: len(rows)] = rows.reshape(-1, *image_shape)
    images = ((images - low) / ((high - low) or 1)).clip(0, 1)
    return images.reshape(n_lines, n_columns, *image_shape)


def _tile(images: np.ndarray) -> np.ndarray:
    """Return lines of images as one image, (height, width, channels), on a white background."""
    margins = ((0, 0), (0, 0), (MARGIN, MARGIN), (MARGIN, MARGIN), (0, 0))
    framed = np.nan_to_num(np.pad(images, margins, constant_values=1.0), nan=1.0)
    n_lines, n_columns, height, width, channels = framed.shape
    return framed.swapaxes(1, 2).reshape(n_lines * height, n_columns * width, channels)
