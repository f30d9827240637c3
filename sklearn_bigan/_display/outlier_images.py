"""The oddest images, and what the networks make of them."""

from typing import TYPE_CHECKING, Any, Self

import numpy as np

from sklearn_bigan._display.arguments import check_number, check_rows, count_columns, take_rows
from sklearn_bigan._display.codec import Codec, with_transformer
from sklearn_bigan._display.images import ImagesDisplay, image_shape_of, in_turn, lines_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class OutlierImagesDisplay(ImagesDisplay):
    """The oddest images, their reconstructions, and where the two differ.

    Each line of images, the oddest first, is followed by a line of their reconstructions and a line
    of absolute differences: bright pixels are those that the networks do not expect.

    Parameters
    ----------
    images : ndarray of shape (3 * n_lines, n_columns, height, width, channels)
        Lines of images, reconstructions and differences in turn, from 0 (black) to 1 (white), NaN
        where there is no image; see `from_estimator`.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes with the images.
    figure_ : matplotlib Figure
        Figure containing the axes.

    See Also
    --------
    BiGANOutlierDetector.explain : What each pixel adds to the oddness of an image.
    OutlierDisplay : The columns that make a row odd.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn_bigan import BiGANOutlierDetector, BiGANTransformer, OutlierImagesDisplay
    >>> X, y = load_digits(return_X_y=True)
    >>> bigan = BiGANTransformer(8, image_shape=(8, 8), max_epochs=2, random_state=0)
    >>> detector = BiGANOutlierDetector(bigan, random_state=0).fit(X[y == 3] / 16)
    >>> display = OutlierImagesDisplay.from_estimator(detector, X[:100] / 16)
    >>> display.images.shape
    (3, 10, 8, 8, 1)
    """

    title = "The oddest images x, their reconstructions G(E(x)), and the difference"
    line_labels = ("x", "G(E(x))", "|x - G(E(x))|")

    @classmethod
    def from_estimator(
        cls,
        detector: Any,
        X: Any,
        *,
        n_images: int = 10,
        image_shape: tuple[int, ...] | None = None,
        n_columns: int = 10,
        ax: "Axes | None" = None,
    ) -> Self:
        """Plot the oddest images.

        Parameters
        ----------
        detector : BiGANOutlierDetector or Pipeline
            Fitted detector. A Pipeline must end in one; reconstructions are brought back to the
            units of X by the other steps' `inverse_transform`.
        X : array-like of shape (n_samples, n_features)
            Images.
        n_images : int, default=10
            The largest number of images. If X has more rows, those with the lowest scores.
        image_shape : tuple of 2 or 3 ints or None, default=None
            Height, width and channels of the images that the rows of X are. If None, the
            `image_shape` of the detector's transformer.
        n_columns : int, default=10
            Number of images in a line.
        ax : matplotlib Axes or None, default=None
            Axes to plot on. If None, a new figure is created.

        Returns
        -------
        display : OutlierImagesDisplay
            The plotted display.

        Raises
        ------
        ValueError
            If there is no `image_shape` or it does not fit X, if a number is too small, or if a
            step of the Pipeline has no `inverse_transform`.
        TypeError
            If `detector` does not end in a BiGANOutlierDetector, or `ax` is not a matplotlib Axes.
        """
        codec = Codec(with_transformer(detector))
        n_images = check_number("n_images", n_images, 1)
        n_columns = check_number("n_columns", n_columns, 1)
        shape = image_shape_of(codec.transformer, image_shape, count_columns(X))
        X = take_rows(X, np.argsort(detector.score_samples(X), kind="stable")[:n_images])
        rows, made = check_rows(X), codec.reconstruct(X)
        low, high = codec.limits(rows)
        # Where a pixel is outside of the limits, which are drawn black and white, it differs most.
        parts = ((rows, (low, high)), (made, (low, high)), (np.abs(rows - made), (0, high - low)))
        return cls(in_turn(*(lines_of(part, shape, n_columns, to) for part, to in parts))).plot(ax)
