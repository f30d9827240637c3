"""Views of images: what E is shown in training, the same thing otherwise framed and lit.

Codes of two views of one image shall be alike, and unlike those of other images. That tells E what
an image is of, apart from where it lies and how bright it is, as distances of pixels do not.
Chen et al. (2020, SimCLR, arXiv:2002.05709) found that of many changes these two matter: frames,
and colours, without which E would know images by their colours alone.
"""

import math
from collections.abc import Collection

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

from sklearn_bigan._noise import Noise
from sklearn_bigan.networks.images import ImageShape, to_maps, to_rows

AUGMENTATIONS = ("crop", "flip", "color")

# A frame's sides, as shares of the image's, are uniform from this to 1, each by itself. It is
# turned by up to so many degrees, at times beyond the image's edge, which reflects: more helps with
# MNIST and harms on CIFAR-10.
LEAST_FRAME = 0.6
TURN = 10.0
# A channel's contrast changes by up to this share, its brightness by up to so many standard
# deviations of the data.
CONTRAST, BRIGHTNESS = 0.4, 0.8
# Share of colour images that lose their colours.
GREY = 0.2


def views(
    rows: Tensor,
    image_shape: ImageShape,
    augmentations: Collection[str],
    noise: Noise,
    x_unit: Tensor,
) -> Tensor:
    """Return a view of each image.

    Parameters
    ----------
    rows : Tensor of shape (batch, height * width * channels)
        The images.
    image_shape : tuple of int
        Height, width and channels.
    augmentations : collection of {"crop", "flip", "color"}
        What is changed. "crop": the frame, "flip": left and right, of every second image, "color":
        contrast and brightness, and the colours of images with three channels.
    noise : Noise
        Source of the changes.
    x_unit : Tensor of shape ()
        Root of the mean variance of the data's columns, the unit of brightness.

    Returns
    -------
    Tensor of shape (batch, height * width * channels)
        With values that may lie outside the range of X.
    """
    n, device = len(rows), rows.device

    def uniform(*shape: int) -> Tensor:
        """Draw from -1 to 1."""
        return 2 * noise.uniform(n, *shape) - 1

    maps = to_maps(rows, image_shape)
    if "crop" in augmentations or "flip" in augmentations:
        sides, shift = torch.ones(2, n, device=device), torch.zeros(2, n, device=device)
        angle, mirror = torch.zeros(n, device=device), torch.ones(n, device=device)
        if "crop" in augmentations:
            sides = 1 - (1 - LEAST_FRAME) * (1 + uniform(2).T) / 2
            shift = (1 - sides) * uniform(2).T
            angle = math.radians(TURN) * uniform()
        if "flip" in augmentations:
            mirror = uniform().sign()
        # Where to look for the view's point (u, v): at R (width u, height v) + shift.
        cos, sin = angle.cos(), angle.sin()
        across, down = (
            (cos * sides[0] * mirror, sin * sides[0] * mirror),
            (-sin * sides[1], cos * sides[1]),
        )
        frame = torch.stack([*across, *down, *shift], dim=1).view(n, 3, 2).transpose(1, 2)
        grid = affine_grid(frame, list(maps.shape), align_corners=False)
        maps = grid_sample(maps, grid, padding_mode="reflection", align_corners=False)
    if "color" in augmentations:
        channels = image_shape[2]
        if channels == 3:
            grey = uniform(1, 1, 1) < 2 * GREY - 1
            maps = torch.where(grey, maps.mean(1, keepdim=True), maps)
        middle = maps.mean((1, 2, 3), keepdim=True)
        contrast = 1 + CONTRAST * uniform(channels, 1, 1)
        maps = middle + contrast * (maps - middle) + BRIGHTNESS * x_unit * uniform(channels, 1, 1)
    return to_rows(maps)
