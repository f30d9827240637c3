"""Convolutional networks in the style of DCGAN, for images of at least 8 x 8 pixels.

Radford, Metz and Chintala (2016, arXiv:1511.06434): strided convolutions, no pooling, more channels
as the maps get smaller. One description, `scales`, serves all three networks and every size: maps
are halved, rounding down, as long as 3 pixels are left in both directions. The encoder ends, like
ALI's, with a layer over the whole of the last maps. SimCLR's authors found that features one layer
before the contrastive loss are better. Here they were, too, in one run on MNIST and one on
CIFAR-10; codes lost up to one point of accuracy.
"""

import math
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import conv_transpose2d, linear, pad

from sklearn_bigan.networks.images import ImageEncoderBody, ImageShape, to_maps, to_rows
from sklearn_bigan.networks.mlp import SLOPE, layers

KERNEL, STRIDE, PADDING = 4, 2, 1
LEAST_SIZE = 3
# Channels of the first map, of small images and of large ones; each further map has twice as many.
# An encoder with half as many more, trained for the same time, gave no better features on MNIST.
FIRST_CHANNELS, FIRST_CHANNELS_LARGE, MOST_CHANNELS = 32, 16, 256
# Pixels of a large image. 16 channels are better at 64 x 64 and level at 32 x 32; sizes in between
# were not tried.
LARGE_IMAGE = 48 * 48

# Widths of the encoder's last layer, of the discriminator's layer for z, and of its joint layer.
ENCODER_WIDTH, CODE_WIDTH, JOINT_WIDTH = 256, 256, 256


def first_channels(image_shape: ImageShape) -> int:
    """Channels of the first map, from which the cost of an update follows.

    Images of 64 x 64 pixels get about three times as many updates in the same time with 16 as with
    32.
    """
    height, width, _ = image_shape
    return FIRST_CHANNELS if height * width < LARGE_IMAGE else FIRST_CHANNELS_LARGE


def scales(image_shape: ImageShape, n_first: int = FIRST_CHANNELS) -> list[ImageShape]:
    """Height, width and channels of the image and of each map after it."""
    shapes = [image_shape]
    while min(shapes[-1][:2]) >= STRIDE * LEAST_SIZE:
        height, width, _ = shapes[-1]
        channels = min(n_first * 2 ** (len(shapes) - 1), MOST_CHANNELS)
        shapes.append((height // STRIDE, width // STRIDE, channels))
    return shapes


def convolutions(
    image_shape: ImageShape, n_first: int = FIRST_CHANNELS, *, batch_norm: bool
) -> list[nn.Module]:
    """Strided convolution, optional BatchNorm, LeakyReLU: from each scale to the next."""
    steps: list[nn.Module] = []
    for (_, _, n_in), (_, _, n_out) in pairwise(scales(image_shape, n_first)):
        step = nn.Sequential(nn.Conv2d(n_in, n_out, KERNEL, STRIDE, PADDING, bias=not batch_norm))
        if batch_norm:
            step.append(nn.BatchNorm2d(n_out))
        steps.append(step.append(nn.LeakyReLU(SLOPE, inplace=True)))
    return steps


class WholeMapConvolution(nn.Conv2d):
    """A convolution whose kernel covers the whole map, computed as one matrix product.

    On CPUs torch takes four to eight times as long for it as a convolution.
    """

    def forward(self, maps: Tensor) -> Tensor:
        """Return maps of one pixel, (batch, n_out, 1, 1)."""
        return linear(maps.flatten(1), self.weight.flatten(1))[:, :, None, None]


def encoder_body(
    n_features: int, latent_dim: int, image_shape: ImageShape, n_first: int = FIRST_CHANNELS
) -> nn.Module:
    """From x (batch, height * width * channels) to hidden features, (batch, ENCODER_WIDTH)."""
    height, width, channels = scales(image_shape, n_first)[-1]
    whole = nn.Sequential(
        WholeMapConvolution(channels, ENCODER_WIDTH, (height, width), bias=False),
        nn.BatchNorm2d(ENCODER_WIDTH),
        nn.LeakyReLU(SLOPE, inplace=True),
    )
    return ImageEncoderBody(
        image_shape, [*convolutions(image_shape, n_first, batch_norm=True), whole]
    )


class Upsampling(nn.ConvTranspose2d):
    """Nearest-neighbour upsampling and a convolution of 3 x 3, as one transposed convolution.

    A free kernel of 4 x 4 treats the four pixels of a block differently and draws a grid (Odena et
    al. 2016, Deconvolution and Checkerboard Artifacts). Here the kernel of 4 x 4 holds the sums of
    the weights of 3 x 3 at four neighbouring places: the result is that of upsampling first, with
    4 multiplications for each output in place of 9.

    `weight` has shape (n_in, n_out, 3, 3). Models of earlier versions have free kernels there, of
    shape (n_in, n_out, 4, 4), which are used as they are.
    """

    def __init__(self, n_in: int, n_out: int, lost: tuple[int, int]) -> None:
        super().__init__(n_in, n_out, KERNEL, STRIDE, PADDING, output_padding=lost, bias=False)
        self.lost = lost
        bound = math.sqrt(3 / (9 * n_in))  # variance 1 / (9 n_in), as LeCun's
        self.weight = nn.Parameter(torch.empty(n_in, n_out, 3, 3).uniform_(-bound, bound))

    def kernel(self) -> Tensor:
        """Return the kernel of the transposed convolution, (n_in, n_out, 4, 4)."""
        if self.weight.shape[-1] == KERNEL:
            return self.weight
        wide = pad(self.weight, (0, 1)) + pad(self.weight, (1, 0))
        return pad(wide, (0, 0, 0, 1)) + pad(wide, (0, 0, 1, 0))

    def forward(self, maps: Tensor) -> Tensor:  # type: ignore[override]
        """Return maps of twice the size, (batch, n_out, height, width)."""
        return conv_transpose2d(maps, self.kernel(), None, STRIDE, PADDING, self.lost)

    def _load_from_state_dict(
        self, state: Mapping[str, Any], prefix: str, metadata: Mapping[str, Any], *others: Any
    ) -> None:
        """Make room for a free kernel where a whole model is loaded."""
        if metadata.get("assign_to_params_buffers"):
            given = torch.empty_like(state[f"{prefix}weight"], device="meta")
            self.weight = nn.Parameter(given, requires_grad=self.weight.requires_grad)
        super()._load_from_state_dict(state, prefix, metadata, *others)


class GeneratorBody(nn.Module):
    """From z (batch, latent_dim) to x before bias and activation, through the same scales."""

    def __init__(
        self,
        n_features: int,
        latent_dim: int,
        image_shape: ImageShape,
        n_first: int = FIRST_CHANNELS,
    ) -> None:
        super().__init__()
        upwards = scales(image_shape, n_first)[::-1]
        self.first_shape = height, width, channels = upwards[0]
        self.first = nn.Linear(latent_dim, height * width * channels, bias=False)
        self.layers = nn.Sequential(nn.BatchNorm2d(channels), nn.LeakyReLU(SLOPE, inplace=True))
        for small, large in pairwise(upwards):
            # An odd size was rounded down on the way to the smaller map.
            lost = large[0] - STRIDE * small[0], large[1] - STRIDE * small[1]
            self.layers.append(Upsampling(small[2], large[2], lost))
            if large != image_shape:
                self.layers.extend([nn.BatchNorm2d(large[2]), nn.LeakyReLU(SLOPE, inplace=True)])

    def forward(self, z: Tensor) -> Tensor:
        """Images, (batch, height * width * channels)."""
        return to_rows(self.layers(to_maps(self.first(z), self.first_shape)))


class DiscriminatorBody(nn.Module):
    """A tower for x, a layer for z, and one for both, to features (batch, JOINT_WIDTH).

    No batch norm, see `mlp.PairBody`.
    """

    row_independent = True

    def __init__(
        self,
        n_features: int,
        latent_dim: int,
        image_shape: ImageShape,
        n_first: int = FIRST_CHANNELS,
    ) -> None:
        super().__init__()
        self.image_shape = image_shape
        self.x_tower = nn.Sequential(*convolutions(image_shape, n_first, batch_norm=False))
        # A plain GAN's D sees no z.
        self.z_tower = nn.Sequential(
            *layers(latent_dim, [CODE_WIDTH] * (latent_dim > 0), batch_norm=False)
        )
        seen = math.prod(scales(image_shape, n_first)[-1]) + CODE_WIDTH * (latent_dim > 0)
        self.joint = nn.Sequential(*layers(seen, [JOINT_WIDTH], batch_norm=False))

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        """Features of the pairs (x, z)."""
        towers = [to_rows(self.x_tower(to_maps(x, self.image_shape))), self.z_tower(z)]
        return self.joint(torch.cat(towers, dim=1))
