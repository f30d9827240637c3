"""The convolutional networks of ALI, layer by layer as in its appendix.

Dumoulin et al. (2017, arXiv:1606.00704): the table of CIFAR-10 for images up to 32 x 32, that of
CelebA for larger ones. For other sizes than the tables', a layer whose kernel does not fit is left
out, the last kernel is as large as the map it is applied to, and images of more than 64 pixels are
halved first.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from sklearn_bigan.networks.images import ImageEncoderBody, ImageShape, to_maps, to_rows

WEIGHT_STD = 0.01
MAXOUT_PIECES = 2


class Layer(NamedTuple):
    """A convolution of E and D, and the transposed one in G that undoes it."""

    kernel: int
    stride: int
    channels: int
    undone_channels: int  # output channels of G's transposed convolution


@dataclass(frozen=True)
class Table:
    """A table of the appendix; E and G have batch norm in every layer."""

    layers: tuple[Layer, ...]
    encoder_widths: tuple[int, ...]  # of E's further 1 x 1 layers, without the last
    generator_widths: tuple[int, ...]  # of G's
    z_widths: tuple[int, ...]
    joint_widths: tuple[int, ...]
    slope: float  # of LeakyReLU
    maxout: bool  # in D, in place of LeakyReLU
    batch_norm: bool  # in D's tower for x
    x_dropout: tuple[float, float]  # before the first layer of D's tower for x, before the others
    z_dropout: tuple[float, float]
    joint_dropout: float


CIFAR10 = Table(
    layers=(
        Layer(5, 1, 32, 32),
        Layer(4, 2, 64, 32),
        Layer(4, 1, 128, 64),
        Layer(4, 2, 256, 128),
        Layer(4, 1, 512, 256),
    ),
    encoder_widths=(512,),
    generator_widths=(32,),
    z_widths=(512, 512),
    joint_widths=(1024, 1024),
    slope=0.1,
    maxout=True,
    batch_norm=False,
    x_dropout=(0.2, 0.5),
    z_dropout=(0.2, 0.5),
    joint_dropout=0.5,
)
CELEBA = Table(
    layers=(
        Layer(2, 1, 64, 64),
        Layer(7, 2, 128, 128),
        Layer(5, 2, 256, 256),
        Layer(7, 2, 256, 256),
        Layer(4, 1, 512, 512),
    ),
    encoder_widths=(),
    generator_widths=(),
    z_widths=(1024, 1024),
    joint_widths=(2048, 2048),
    slope=0.02,
    maxout=False,
    batch_norm=True,
    x_dropout=(0.0, 0.0),
    z_dropout=(0.2, 0.2),
    joint_dropout=0.2,
)
LARGEST_SMALL, LARGEST = 32, 64
HALVED = Layer(2, 2, 64, 64)


class Step(NamedTuple):
    """A layer in its place: the shapes of its input and output maps."""

    before: ImageShape
    after: ImageShape
    kernel: tuple[int, int]
    stride: int
    undone_channels: int

    @property
    def lacking(self) -> tuple[int, int]:
        """Rows and columns of padding that the last stride needs."""
        rows, columns = (
            (m - 1) * self.stride + k - n
            for n, m, k in zip(self.before, self.after, self.kernel, strict=False)
        )
        return rows, columns

    def convolution(self, n_out: int, *, bias: bool) -> list[nn.Module]:
        """Return the convolution, with zero padding at the far edges where needed."""
        rows, columns = self.lacking
        layer = nn.Conv2d(self.before[2], n_out, self.kernel, self.stride, bias=bias)
        return [nn.ZeroPad2d((0, columns, 0, rows)), layer] if rows or columns else [layer]

    def transposed(self, n_in: int) -> list[nn.Module]:
        """Return the transposed convolution, cropped at the far edges where needed."""
        rows, columns = self.lacking
        layer = nn.ConvTranspose2d(n_in, self.undone_channels, self.kernel, self.stride, bias=False)
        return [layer, nn.ZeroPad2d((0, -columns, 0, -rows))] if rows or columns else [layer]


def table_for(image_shape: ImageShape) -> Table:
    """Return the table for images of this size."""
    return CIFAR10 if max(image_shape[:2]) <= LARGEST_SMALL else CELEBA


def steps(image_shape: ImageShape) -> list[Step]:
    """Return the layers from the image down to maps of one pixel."""
    *layers, last = table_for(image_shape).layers
    done: list[Step] = []
    here = image_shape

    def go(layer: Layer, kernel: tuple[int, int]) -> None:
        nonlocal here
        height, width = (
            math.ceil((n - k) / layer.stride) + 1 for n, k in zip(here, kernel, strict=False)
        )
        after = (height, width, layer.channels)
        done.append(Step(here, after, kernel, layer.stride, layer.undone_channels))
        here = after

    while max(here[:2]) > LARGEST:
        go(HALVED, (HALVED.kernel,) * 2)
    for layer in layers:
        if layer.kernel <= min(here[:2]):
            go(layer, (layer.kernel,) * 2)
    go(last, here[:2])
    return done


class Maxout(nn.Module):
    """The larger of two channels, one from each half of the channels."""

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channels, ...) to (batch, channels / MAXOUT_PIECES, ...)."""
        return torch.maximum(*x.chunk(MAXOUT_PIECES, dim=1))


def encoder_body(n_features: int, latent_dim: int, image_shape: ImageShape) -> nn.Module:
    """From x (batch, height * width * channels) to hidden features, (batch, 512)."""
    table = table_for(image_shape)
    layers = []
    for step in steps(image_shape):
        n_in = step.after[2]
        layers.append([*step.convolution(n_in, bias=False), nn.BatchNorm2d(n_in)])
    for width in table.encoder_widths:
        layers.append([nn.Conv2d(n_in, width, 1, bias=False), nn.BatchNorm2d(width)])
        n_in = width
    body = ImageEncoderBody(
        image_shape,
        [nn.Sequential(*layer, nn.LeakyReLU(table.slope, inplace=True)) for layer in layers],
    )
    initialise(body)
    return body


class GeneratorBody(nn.Module):
    """From z (batch, latent_dim) to x before bias and activation."""

    def __init__(self, n_features: int, latent_dim: int, image_shape: ImageShape) -> None:
        super().__init__()
        table = table_for(image_shape)
        layers: list[nn.Module] = []
        n_in = latent_dim
        for step in reversed(steps(image_shape)):
            layers.extend(step.transposed(n_in))
            n_in = step.undone_channels
            layers.extend([nn.BatchNorm2d(n_in), nn.LeakyReLU(table.slope, inplace=True)])
        for width in table.generator_widths:
            layers.append(nn.Conv2d(n_in, width, 1, bias=False))
            layers.extend([nn.BatchNorm2d(width), nn.LeakyReLU(table.slope, inplace=True)])
            n_in = width
        layers.append(nn.Conv2d(n_in, image_shape[2], 1, bias=False))
        self.layers = nn.Sequential(*layers)
        initialise(self)

    def forward(self, z: Tensor) -> Tensor:
        """Images, (batch, height * width * channels)."""
        return to_rows(self.layers(z[:, :, None, None]))


class DiscriminatorBody(nn.Module):
    """A tower for x, one for z, and joint layers. Before maxout, layers have twice the channels."""

    def __init__(self, n_features: int, latent_dim: int, image_shape: ImageShape) -> None:
        super().__init__()
        self.image_shape = image_shape
        table = table_for(image_shape)
        self.row_independent = not table.batch_norm
        pieces = MAXOUT_PIECES if table.maxout else 1

        def activation() -> nn.Module:
            return Maxout() if table.maxout else nn.LeakyReLU(table.slope, inplace=True)

        def dense(n_in: int, widths: Iterable[int], dropout: tuple[float, float]) -> nn.Sequential:
            layers: list[nn.Module] = []
            share, further = dropout
            for width in widths:
                layers.extend([nn.Dropout(share), nn.Linear(n_in, pieces * width), activation()])
                n_in, share = width, further
            return nn.Sequential(*layers)

        tower: list[nn.Module] = []
        share, further = table.x_dropout
        for step in steps(image_shape):
            n_out = pieces * step.after[2]
            tower.append(nn.Dropout(share))
            tower.extend(step.convolution(n_out, bias=not table.batch_norm))
            if table.batch_norm:
                tower.append(nn.BatchNorm2d(n_out))
            tower.append(activation())
            share = further
        self.x_tower = nn.Sequential(*tower)
        # A plain GAN's D sees no z.
        z_widths = table.z_widths if latent_dim else ()
        self.z_tower = dense(latent_dim, z_widths, table.z_dropout)
        seen = step.after[2] + (z_widths[-1] if z_widths else 0)
        self.joint = dense(seen, table.joint_widths, (table.joint_dropout,) * 2)
        self.joint.append(nn.Dropout(table.joint_dropout))  # before the logit
        initialise(self)

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        """Features of the pairs (x, z)."""
        towers = [to_rows(self.x_tower(to_maps(x, self.image_shape))), self.z_tower(z)]
        return self.joint(torch.cat(towers, dim=1))


def initialise(body: nn.Module) -> None:
    """Initialise weights from N(0, WEIGHT_STD^2) and biases with 0, as the tables say."""
    for module in body.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            nn.init.normal_(module.weight, std=WEIGHT_STD)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
