"""Generated images."""

from typing import TYPE_CHECKING, Any, Self

import numpy as np
from sklearn.metrics import pairwise_distances_argmin

from sklearn_bigan._display.arguments import check_number, check_rows
from sklearn_bigan._display.codec import Codec
from sklearn_bigan._display.images import ImagesDisplay, image_shape_of, in_turn, lines_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class SampleDisplay(ImagesDisplay):
    """Samples G(z), with z drawn from the prior, alone or above the nearest training images.

    A sample that equals its nearest training image was memorised.

    Parameters
    ----------
    images : ndarray of shape (n_lines, n_columns, height, width, channels)
        Samples from 0 (black) to 1 (white), NaN where there is no image; see `from_estimator`.
    nearest : ndarray of the same shape or None, default=None
        The training image nearest to each sample.

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
    >>> bigan = BiGANTransformer(8, max_epochs=1, random_state=0).fit(X)
    >>> display = SampleDisplay.from_estimator(
    ...     bigan, n_samples=20, nearest=X, image_shape=(8, 8), random_state=0
    ... )
    >>> display.images.shape, display.nearest.shape
    ((2, 10, 8, 8, 1), (2, 10, 8, 8, 1))
    """

    def __init__(self, images: np.ndarray, nearest: np.ndarray | None = None) -> None:
        super().__init__(images)
        self.nearest = nearest

        if nearest is None:
            self.title = "Samples G(z), z drawn from the prior"
        else:
            self.title = "Samples G(z), and the training images nearest to them"
            self.line_labels = ("G(z)", "nearest")

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        *,
        n_samples: int = 100,
        nearest: Any = None,
        image_shape: tuple[int, ...] | None = None,
        random_state: int | np.random.RandomState | None = None,
        cluster: int | None = None,
        n_columns: int = 10,
        ax: "Axes | None" = None,
    ) -> Self:
        """Plot samples.

        Parameters
        ----------
        estimator : BiGANTransformer or Pipeline
            Fitted estimator. A Pipeline must end in a BiGANTransformer; samples are brought back to
            the units of X by the other steps' `inverse_transform`.
        n_samples : int, default=100
            Number of samples.
        nearest : array-like of shape (n_rows, n_features) or None, default=None
            Training images. Below each sample is the one at the least Euclidean distance.
        image_shape : tuple of 2 or 3 ints or None, default=None
            Height, width and channels of the images that the rows of X are. If None, the
            `image_shape` of the BiGANTransformer.
        random_state : int, RandomState instance or None, default=None
            Determines z.
        cluster : int or None, default=None
            With a mixture prior, the cluster to draw from; see `BiGANTransformer.sample`.
        n_columns : int, default=10
            Number of images in a line.
        ax : matplotlib Axes or None, default=None
            Axes to plot on. If None, a new figure is created.

        Returns
        -------
        display : SampleDisplay
            The plotted display.

        Raises
        ------
        ValueError
            If there is no `image_shape` or it does not fit the samples, if a number is too small,
            if `nearest` has another number of columns than the samples, or if a step of the
            Pipeline has no `inverse_transform`.
        TypeError
            If `estimator` does not end in a BiGANTransformer, or `ax` is not a matplotlib Axes.
        """
        codec = Codec(estimator)
        n_columns = check_number("n_columns", n_columns, 1)
        samples = codec.sample(n_samples, random_state, cluster)
        shape = image_shape_of(codec.transformer, image_shape, samples.shape[1])
        if nearest is None:
            return cls(lines_of(samples, shape, n_columns, codec.limits(samples))).plot(ax)
        rows = check_rows(nearest, "nearest")
        if rows.shape[1] != samples.shape[1]:
            raise ValueError(
                f"The 'nearest' parameter must have the columns of the rows passed to fit, "
                f"{samples.shape[1]}. Got shape {rows.shape}."
            )
        found = rows[pairwise_distances_argmin(samples, rows)]
        limits = codec.limits(found)
        parts = (lines_of(part, shape, n_columns, limits) for part in (samples, found))
        return cls(*parts).plot(ax)

    def _lines(self) -> np.ndarray:
        return self.images if self.nearest is None else in_turn(self.images, self.nearest)
