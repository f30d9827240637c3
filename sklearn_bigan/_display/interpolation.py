"""Images between images."""

from typing import TYPE_CHECKING, Any, Self

import numpy as np
from sklearn.utils import check_random_state

from sklearn_bigan._display.arguments import (
    check_number,
    check_rows,
    choose_rows,
    count_rows,
    take_rows,
)
from sklearn_bigan._display.codec import Codec
from sklearn_bigan._display.images import ImagesDisplay, center, image_shape_of, lines_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class InterpolationDisplay(ImagesDisplay):
    """Linear interpolations between the codes of two images.

    Each line begins and ends with an image; between them are G's outputs for equally spaced codes
    on the line that connects the two images' codes, the means of q(z | x). Plausible images in
    between suggest that the estimator has not memorised its training data (ALI [1]_, section 4.2).
    With a mixture prior, codes between two clusters were rare in training, and the images generated
    from them may be poor.

    Parameters
    ----------
    images : ndarray of shape (n_pairs, n_steps + 2, height, width, channels)
        One line for each pair of images, from 0 (black) to 1 (white); see `from_estimator`.

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
    >>> bigan = BiGANTransformer(8, max_epochs=1, random_state=0).fit(X[:1000])
    >>> display = InterpolationDisplay.from_estimator(
    ...     bigan, X[1000:1005], X[1005:1010], image_shape=(8, 8)
    ... )
    >>> display.images.shape
    (5, 12, 8, 8, 1)
    """

    title = "Two images x, x', and G(z) for codes z from E(x) to E(x')"

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        X_end: Any = None,
        *,
        n_pairs: int = 10,
        n_steps: int = 10,
        image_shape: tuple[int, ...] | None = None,
        random_state: int | np.random.RandomState | None = None,
        ax: "Axes | None" = None,
    ) -> Self:
        """Interpolate between rows of X and the corresponding rows of `X_end`.

        Parameters
        ----------
        estimator : BiGANTransformer or Pipeline
            Fitted estimator. A Pipeline must end in a BiGANTransformer; generated images are
            brought back to the units of X by the other steps' `inverse_transform`.
        X : array-like of shape (n_samples, n_features)
            First images.
        X_end : array-like of shape (n_samples, n_features) or None, default=None
            Last images. If None, X is split into random pairs.
        n_pairs : int, default=10
            The largest number of pairs. If there are more, random ones are drawn.
        n_steps : int, default=10
            Number of generated images in a line, at least 2: the reconstructions of both images
            and those in between.
        image_shape : tuple of 2 or 3 ints or None, default=None
            Height, width and channels of the images that the rows of X are. If None, the
            `image_shape` of the BiGANTransformer.
        random_state : int, RandomState instance or None, default=None
            Determines which pairs are drawn.
        ax : matplotlib Axes or None, default=None
            Axes to plot on. If None, a new figure is created.

        Returns
        -------
        display : InterpolationDisplay
            The plotted display.

        Raises
        ------
        ValueError
            If X and `X_end` differ in shape, if there is no pair, if there is no `image_shape` or
            it does not fit X, if a number is too small, or if a step of the Pipeline has no
            `inverse_transform`.
        TypeError
            If `estimator` does not end in a BiGANTransformer, or `ax` is not a matplotlib Axes.
        """
        codec = Codec(estimator)
        n_pairs = check_number("n_pairs", n_pairs, 1)
        n_steps = check_number("n_steps", n_steps, 2)
        n_rows = count_rows(X)
        if X_end is None:
            X_end = X
            order = check_random_state(random_state).permutation(n_rows)
            n_pairs = min(n_pairs, n_rows // 2)
            if n_pairs == 0:
                raise ValueError(
                    f"X must have two rows or more if X_end is None, since its rows are paired. "
                    f"Got {n_rows}; pass more rows, or the last images as X_end."
                )
            chosen = order[:n_pairs], order[n_pairs : 2 * n_pairs]
        else:
            n_ends = count_rows(X_end, "X_end")
            if n_rows != n_ends:
                raise ValueError(_different(np.shape(X), np.shape(X_end)))
            chosen = (choose_rows(n_rows, n_pairs, random_state),) * 2
        ends = take_rows(X, chosen[0]), take_rows(X_end, chosen[1])
        first, last = check_rows(ends[0]), check_rows(ends[1], "X_end")
        if first.shape != last.shape:
            raise ValueError(_different(first.shape, last.shape))
        shape = image_shape_of(codec.transformer, image_shape, first.shape[1])
        limits = codec.limits(np.concatenate([first, last]))
        start, stop = (codec.encode(end)[:, None] for end in ends)
        shares = np.linspace(0, 1, n_steps, dtype=np.float32)[:, None]
        codes = start + shares * (stop - start)
        generated = codec.decode(codes.reshape(-1, codes.shape[2]))
        generated = generated.reshape(len(codes), n_steps, -1)
        lines = np.concatenate([first[:, None], generated, last[:, None]], axis=1)
        return cls(lines_of(lines.reshape(-1, lines.shape[2]), shape, n_steps + 2, limits)).plot(ax)

    def _label(self, lines: np.ndarray) -> None:
        """Label the columns of images and of their reconstructions."""
        n_columns, _, width = lines.shape[1:4]
        columns = (0, 1, n_columns - 2, n_columns - 1)
        labels = ("x", "G(E(x))", "G(E(x'))", "x'")
        self.ax_.set_xticks([center(column, width) for column in columns], labels)
        self.ax_.set_yticks([])


def _different(first: tuple[int, ...], last: tuple[int, ...]) -> str:
    return (
        f"X and X_end must have the same shape: a first and a last image for each pair. Got "
        f"{first} and {last}."
    )
