"""A grid of images, with a title and labelled lines, in a figure that fits it."""

import textwrap
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from sklearn_bigan._display.arguments import check_axes
from sklearn_bigan._parameters import parse_image_shape
from sklearn_bigan._runtime.extras import require
from sklearn_bigan.networks.images import ImageShape

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Pixels of the images, before they are enlarged, that lie between two of them.
GAP = 1

# Pixels on the screen. Images are enlarged by a whole number, so that all of their pixels have the
# same size: grids to about this width, single images not beyond the largest height, and lines to at
# least the height of their label.
GRID_WIDTH, LARGEST_IMAGE, LOWEST_LINE = 720, 160, 16

# Pixels on the screen between the edge of the figure and what is drawn.
BORDER = 4


class ImagesDisplay:
    """A grid of images."""

    title: str
    # Of the lines from above, and again after the last label.
    line_labels: tuple[str, ...] = ()

    ax_: "Axes"
    figure_: Any

    def __init__(self, images: np.ndarray) -> None:
        self.images = images

    def plot(self, ax: "Axes | None" = None) -> Self:
        """Plot the images.

        Parameters
        ----------
        ax : matplotlib Axes or None, default=None
            Axes to plot on. If None, a new figure is created, as large as the images need.

        Returns
        -------
        self : object
            The display, with `ax_` and `figure_`.

        Raises
        ------
        TypeError
            If `ax` is neither None nor a matplotlib Axes.
        """
        require(f"{type(self).__name__}.plot", "plot", "matplotlib")
        import matplotlib.pyplot as plt

        given = None if ax is None else check_axes(ax, "ax", ("the images",))[0]
        lines = self._lines()
        grid = tile(lines)
        self.ax_ = given or plt.figure(layout="none").add_axes((0, 0, 1, 1))
        self.figure_ = self.ax_.figure
        grey = grid.shape[2] == 1
        # Pixels are drawn as squares if they are enlarged by a whole number, as in a new figure,
        # or by more than three; otherwise the enlargement is smooth.
        self.ax_.imshow(np.repeat(grid, 3, axis=2) if grey else grid, interpolation="antialiased")
        title = self.ax_.set_title(self.title, loc="left", fontsize="medium")
        self.ax_.grid(False)
        self.ax_.tick_params(length=0, labelsize="small")
        self.ax_.spines[:].set_visible(False)
        self._label(lines)
        if given is None:
            self._fit_figure(grid, lines.shape[2], title)
        return self

    def _lines(self) -> np.ndarray:
        """Return the lines of images as they are drawn."""
        return self.images

    def _label(self, lines: np.ndarray) -> None:
        """Label the lines of images."""
        n_lines, _, height = lines.shape[:3]
        labels = self.line_labels * n_lines
        centers = [center(number, height) for number in range(n_lines)]
        self.ax_.set_yticks(centers if labels else [], labels[:n_lines])
        self.ax_.set_xticks([])

    def _fit_figure(self, grid: np.ndarray, image_height: int, title: Any) -> None:
        """Give the figure the size of the enlarged grid and its labels, without white margins."""
        height, width = grid.shape[:2]
        zoom = min(GRID_WIDTH // width, LARGEST_IMAGE // image_height)
        zoom = max(zoom, -(-LOWEST_LINE // image_height), 1)
        size = np.array([width, height]) * zoom
        dpi = self.figure_.dpi
        self.figure_.set_size_inches(size / dpi)
        title_width = title.get_window_extent().width
        if title_width > size[0]:
            n_characters = int(len(self.title) * size[0] / title_width)
            title.set_text(textwrap.fill(self.title, max(n_characters, 1)))
        self.figure_.draw_without_rendering()
        box: Any = self.ax_.get_tightbbox()
        before = np.ceil(np.maximum(-box.min, 0)) + BORDER
        total = before + size + np.ceil(np.maximum(box.max - size, 0)) + BORDER
        self.figure_.set_size_inches(total / dpi)
        self.ax_.set_position((*(before / total), *(size / total)))


def center(number: int, size: int) -> float:
    """Return where in the grid the middle of a line or column is, given the size of its images."""
    return number * (size + GAP) + (size - 1) / 2


def image_shape_of(transformer: Any, given: Any, n_features: int) -> ImageShape:
    """Return height, width and channels of the images, if they can be drawn.

    `given` is what the display was given and precedes the transformer's own `image_shape`.
    """
    wanted = transformer.image_shape if given is None else given
    if wanted is None:
        raise ValueError(
            "There are no images to plot: image_shape is None. If the rows of X are images, pass "
            "image_shape=(height, width) or (height, width, channels) to from_estimator; for "
            "tables, see LatentMapDisplay and TrainingDisplay."
        )
    shape = parse_image_shape(wanted, n_features)
    assert shape is not None
    if shape[2] not in (1, 3):
        raise ValueError(
            f"Only images with 1 or 3 channels can be plotted. Got {shape[2]}, "
            f"image_shape={wanted}."
        )
    return shape


def lines_of(
    rows: np.ndarray, image_shape: ImageShape, n_columns: int, limits: tuple[float, float]
) -> np.ndarray:
    """Return rows of X as lines of images in [0, 1]; the last line is filled up with NaN."""
    low, high = limits
    n_columns = min(n_columns, len(rows))
    n_lines = -(-len(rows) // n_columns)
    images = np.full((n_lines * n_columns, *image_shape), np.nan)
    images[: len(rows)] = rows.reshape(-1, *image_shape)
    images = ((images - low) / ((high - low) or 1)).clip(0, 1)
    return images.reshape(n_lines, n_columns, *image_shape)


def in_turn(*parts: np.ndarray) -> np.ndarray:
    """Return the first line of each part, then the second of each, and so on."""
    return np.stack(parts, axis=1).reshape(-1, *parts[0].shape[1:])


def tile(images: np.ndarray) -> np.ndarray:
    """Return lines of images as one image, (height, width, channels), with white between them."""
    gaps = ((0, 0), (0, 0), (0, GAP), (0, GAP), (0, 0))
    framed = np.nan_to_num(np.pad(images, gaps, constant_values=1.0), nan=1.0)
    n_lines, n_columns, height, width, channels = framed.shape
    grid = framed.swapaxes(1, 2).reshape(n_lines * height, n_columns * width, channels)
    return grid[:-GAP, :-GAP]
