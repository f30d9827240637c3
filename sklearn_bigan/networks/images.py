"""Images: rows of X outside the networks, feature maps inside."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d

ImageShape = tuple[int, int, int]  # height, width, channels

# The last layer larger than one pixel is pooled over PARTS x PARTS parts of the image. Parts of
# earlier layers are worth about as much: on held-out rows a little less on MNIST and a little more
# on CIFAR-10. Max pooling, as in DCGAN's evaluation, is better with 100 labels and worse with 1000.
PARTS = 2


def to_maps(rows: Tensor, image_shape: ImageShape) -> Tensor:
    """Rows of flattened channels-last images as (batch, channels, height, width), without a copy.

    The result has torch's channels-last memory format, the fastest for convolutions on the CPU and
    on tensor cores.
    """
    return rows.reshape(rows.shape[0], *image_shape).permute(0, 3, 1, 2)


def to_rows(maps: Tensor) -> Tensor:
    """(batch, channels, height, width) as rows of flattened channels-last images."""
    return maps.permute(0, 2, 3, 1).flatten(1)


def pooled_sizes(maps: list[Tensor]) -> list[tuple[int, int]]:
    """Return the size, (height, width), to which each layer's maps are pooled."""
    sizes = [found.shape[2:] for found in maps]
    last = max(i for i, size in enumerate(sizes) if size.numel() > 1)
    parts = [(1, 1)] * len(maps)
    parts[last] = min(PARTS, sizes[last][0]), min(PARTS, sizes[last][1])
    return parts


def pool(maps: list[Tensor]) -> list[Tensor]:
    """Global average pooling of every layer; PARTS x PARTS of the last larger than one pixel."""
    return [
        adaptive_avg_pool2d(found, size)
        for found, size in zip(maps, pooled_sizes(maps), strict=True)
    ]


class ImageEncoderBody(nn.Module):
    """From x (batch, height * width * channels) to the maps of the last layer, as rows.

    The output maps of every layer are pooled for hidden features.
    """

    def __init__(self, image_shape: ImageShape, layers: Iterable[nn.Module]) -> None:
        super().__init__()
        self.image_shape = image_shape
        self.layers = nn.ModuleList(layers)

    def maps(self, x: Tensor) -> list[Tensor]:
        """Return the output of each layer for the images x, (batch, channels, height, width)."""
        found = [to_maps(x, self.image_shape)]
        for layer in self.layers:
            found.append(layer(found[-1]))
        return found[1:]

    def forward(self, x: Tensor) -> Tensor:
        """Return the last maps, (batch, height * width * channels)."""
        return to_rows(self.maps(x)[-1])

    def hidden_and_pooled(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the last maps as rows, and the pooled maps of all layers, side by side."""
        maps = self.maps(x)
        return to_rows(maps[-1]), torch.cat([to_rows(found) for found in pool(maps)], dim=1)

    @property
    def feature_names(self) -> list[str]:
        """Names of the pooled columns, by layer, part of the image and channel."""
        height, width, channels = self.image_shape
        weight = next(self.parameters())
        was_training = self.training
        with torch.no_grad():
            maps = self.eval().maps(weight.new_zeros(1, height * width * channels))
        self.train(was_training)
        return [
            f"layer{i}_part{row}_{column}_channel{channel}"
            for i, (found, size) in enumerate(zip(maps, pooled_sizes(maps), strict=True))
            for row in range(size[0])
            for column in range(size[1])
            for channel in range(found.shape[1])
        ]
