"""Data augmentation for images: random crops, mirroring and colour changes.

E is trained with a contrastive loss to give an image and a view of it similar codes, and other
images and views different ones. This teaches E what an image shows, apart from its position and
brightness, which distances between pixels do not. Chen et al. (2020, SimCLR, arXiv:2002.05709)
found crops and colour changes the most useful augmentations: without the latter E would recognise
images by their colours alone.
"""

import math
from collections.abc import Collection
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

from sklearn_bigan.networks.images import ImageShape, to_maps, to_rows

AUGMENTATIONS = ("crop", "flip", "color")

# Each side of a crop is uniform between this share of the image's side and all of it. The crop is
# rotated by up to MAX_ROTATION degrees; beyond the edge the image is reflected. More rotation helps
# on MNIST and hurts on CIFAR-10.
MIN_CROP = 0.6
MAX_ROTATION = 10.0
# The contrast of a channel changes by up to this share, its brightness by up to this multiple of
# the data's standard deviation.
CONTRAST, BRIGHTNESS = 0.4, 0.8
# Probability that a colour image becomes grey, before contrast and brightness change by channel.
GREY_PROBABILITY = 0.2


class ViewDraws(NamedTuple):
    """Random numbers of the views of a batch, each uniform on [-1, 1]; None where not used."""

    crop: Tensor | None  # (..., batch, 5): width, height, position across and down, angle
    flip: Tensor | None  # (..., batch): mirrored where negative
    color: Tensor | None  # (..., batch, 1 + 2 * channels): grey, contrasts, brightnesses


def draw_views(
    shape: tuple[int, ...],
    channels: int,
    augmentations: Collection[str],
    generator: torch.Generator,
) -> ViewDraws:
    """Draw the random numbers of `shape` views of images with `channels` channels."""

    def uniform(*sizes: int) -> Tensor:
        drawn = torch.rand((*shape, *sizes), generator=generator, device=generator.device)
        return 2 * drawn - 1

    return ViewDraws(
        crop=uniform(5) if "crop" in augmentations else None,
        flip=uniform() if "flip" in augmentations else None,
        color=uniform(1 + 2 * channels) if "color" in augmentations else None,
    )


def apply_views(rows: Tensor, image_shape: ImageShape, draws: ViewDraws, x_std: float) -> Tensor:
    """Return a view of each image, as rows; values may lie outside the range of X.

    `draws` has one set of random numbers for each image. `x_std`, the root of the mean variance of
    the data's columns, is the unit of brightness.
    """
    maps = to_maps(rows, image_shape)
    if draws.crop is not None or draws.flip is not None:
        maps = _crop_and_flip(maps, draws)
    if draws.color is not None:
        maps = _change_colors(maps, draws.color, x_std)
    return to_rows(maps)


def _crop_and_flip(maps: Tensor, draws: ViewDraws) -> Tensor:
    n, device = len(maps), maps.device
    width = height = torch.ones(n, device=device)
    across = down = angle = torch.zeros(n, device=device)
    if draws.crop is not None:
        width, height, across, down, angle = draws.crop.unbind(-1)
        width, height = (1 - (1 - MIN_CROP) * (1 + side) / 2 for side in (width, height))
        across, down = (1 - width) * across, (1 - height) * down
        angle = math.radians(MAX_ROTATION) * angle
    mirror = torch.ones(n, device=device)
    if draws.flip is not None:
        mirror = torch.where(draws.flip < 0, -1.0, mirror)
    # Point (u, v) of the view is point R (width u, height v) + (across, down) of the image, where
    # both sides of an image go from -1 to 1: rotating takes their ratio.
    cos, sin, ratio = angle.cos(), angle.sin(), maps.shape[2] / maps.shape[3]
    frame = torch.stack(
        [
            torch.stack([cos * width * mirror, -sin * height * ratio, across], dim=1),
            torch.stack([sin * width * mirror / ratio, cos * height, down], dim=1),
        ],
        dim=1,
    )
    grid = affine_grid(frame, list(maps.shape), align_corners=False)
    return grid_sample(maps, grid, padding_mode="reflection", align_corners=False)


def _change_colors(maps: Tensor, color: Tensor, x_std: float) -> Tensor:
    channels = maps.shape[1]
    grey, contrast, brightness = torch.split(
        color[:, :, None, None], [1, channels, channels], dim=1
    )
    if channels == 3:
        maps = torch.where(grey < 2 * GREY_PROBABILITY - 1, maps.mean(1, keepdim=True), maps)
    middle = maps.mean((1, 2, 3), keepdim=True)
    maps = middle + (1 + CONTRAST * contrast) * (maps - middle)
    return maps + BRIGHTNESS * x_std * brightness
