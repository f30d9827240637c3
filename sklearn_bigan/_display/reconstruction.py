"""Images above their reconstructions."""

from typing import TYPE_CHECKING, Any, Self

import numpy as np

from sklearn_bigan._display.arguments import (
    check_number,
    check_rows,
    choose_rows,
    count_rows,
    take_rows,
)
from sklearn_bigan._display.codec import Codec
from sklearn_bigan._display.images import ImagesDisplay, image_shape_of, in_turn, lines_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class ReconstructionDisplay(ImagesDisplay):
    """Images and their reconstructions G(E(x)), as in the papers on BiGAN and ALI.

    Each line of images is followed by a line of their reconstructions, which show what the codes
    preserve. Use images that the estimator was not trained on.

    Parameters
    ----------
    images : ndarray of shape (2 * n_lines, n_columns, height, width, channels)
        Lines of images and of reconstructions in turn, from 0 (black) to 1 (white), NaN where there
        is no image; see `from_estimator`.

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
    >>> bigan = BiGANTransformer(8, max_epochs=1, random_state=0).fit(X[:1000])
    >>> display = ReconstructionDisplay.from_estimator(bigan, X[1000:1010], image_shape=(8, 8))
    >>> display.images.shape
    (2, 10, 8, 8, 1)
    """

    title = "Images x and their reconstructions G(E(x))"
    line_labels = ("x", "G(E(x))")

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        *,
        n_images: int = 20,
        image_shape: tuple[int, ...] | None = None,
        random_state: int | np.random.RandomState | None = None,
        n_columns: int = 10,
        ax: "Axes | None" = None,
    ) -> Self:
        """Plot images and their reconstructions.

        Parameters
        ----------
        estimator : BiGANTransformer or Pipeline
            Fitted estimator. A Pipeline must end in a BiGANTransformer; reconstructions are brought
            back to the units of X by the other steps' `inverse_transform`.
        X : array-like of shape (n_samples, n_features)
            Images.
        n_images : int, default=20
            The largest number of images. If X has more rows, random ones are drawn.
        image_shape : tuple of 2 or 3 ints or None, default=None
            Height, width and channels of the images that the rows of X are. If None, the
            `image_shape` of the BiGANTransformer.
        random_state : int, RandomState instance or None, default=None
            Determines which rows are drawn if X has more than `n_images`.
        n_columns : int, default=10
            Number of images in a line.
        ax : matplotlib Axes or None, default=None
            Axes to plot on. If None, a new figure is created.

        Returns
        -------
        display : ReconstructionDisplay
            The plotted display.

        Raises
        ------
        ValueError
            If there is no `image_shape` or it does not fit X, if a number is too small, or if a
            step of the Pipeline has no `inverse_transform`.
        TypeError
            If `estimator` does not end in a BiGANTransformer, or `ax` is not a matplotlib Axes.
        """
        codec = Codec(estimator)
        n_images = check_number("n_images", n_images, 1)
        n_columns = check_number("n_columns", n_columns, 1)
        X = take_rows(X, choose_rows(count_rows(X), n_images, random_state))
        rows = check_rows(X)
        shape = image_shape_of(codec.transformer, image_shape, rows.shape[1])
        limits = codec.limits(rows)
        parts = [lines_of(part, shape, n_columns, limits) for part in (rows, codec.reconstruct(X))]
        return cls(in_turn(*parts)).plot(ax)
