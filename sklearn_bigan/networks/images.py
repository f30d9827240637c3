"""Images: rows of X on the outside, feature maps inside the networks."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d

ImageShape = tuple[int, int, int]  # height, width, channels

# Hidden features of images are the means of all maps, and of the last ones the means over so many
# parts each way. Parts of earlier maps, too, are worth about as much: on held-out rows a little
# less on MNIST and a little more on CIFAR-10. Maxima, which DCGAN's authors took, are better with
# 100 labels and worse with 1000.
PARTS = 2


def to_maps(rows: Tensor, image_shape: ImageShape) -> Tensor:
    """Rows of flattened channels-last images as (batch, channels, height, width), without a copy.

    What comes out lies in memory as torch's channels-last format, which convolutions on the CPU
    and on tensor cores like best; and so do the maps that they make of it.
    """
    return rows.reshape(len(rows), *image_shape).permute(0, 3, 1, 2)


def to_rows(maps: Tensor) -> Tensor:
    """(batch, channels, height, width) as rows of flattened channels-last images."""
    return maps.permute(0, 2, 3, 1).flatten(1)


def pool(maps: list[Tensor]) -> list[Tensor]:
    """Means of every layer's maps, (batch, channels, 1, 1), but of the last that are still maps.

    Of these, which have more than one pixel, means over PARTS x PARTS parts.
    """
    sizes = [found.shape[2:] for found in maps]
    last = max(i for i, size in enumerate(sizes) if size.numel() > 1)
    parts = [(1, 1)] * len(maps)
    parts[last] = min(PARTS, sizes[last][0]), min(PARTS, sizes[last][1])
    return [adaptive_avg_pool2d(found, part) for found, part in zip(maps, parts, strict=True)]


class ImageEncoderBody(nn.Module):
    """From x (batch, height * width * channels) to the last of several layers' maps, as rows.

    Parameters
    ----------
    image_shape : tuple of int
        Height, width and channels of x.
    layers : iterable of nn.Module
        From maps to maps. All of them are looked at for hidden features.
    """

    def __init__(self, image_shape: ImageShape, layers: Iterable[nn.Module]) -> None:
        super().__init__()
        self.image_shape = image_shape
        self.layers = nn.ModuleList(layers)

    def maps(self, x: Tensor) -> list[Tensor]:
        """Return what each layer makes of the images x, (batch, channels, height, width)."""
        found = [to_maps(x, self.image_shape)]
        for layer in self.layers:
            found.append(layer(found[-1]))
        return found[1:]

    def forward(self, x: Tensor) -> Tensor:
        """Return the last maps, (batch, height * width * channels)."""
        return to_rows(self.maps(x)[-1])

    def features(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return that, and the pooled maps of all layers, side by side."""
        maps = self.maps(x)
        return to_rows(maps[-1]), torch.cat([to_rows(found) for found in pool(maps)], dim=1)

    @torch.no_grad()
    def feature_names(self) -> list[str]:
        """Name the pooled maps' columns by layer, part of the image and channel."""
        height, width, channels = self.image_shape
        was_training = self.training
        maps = self.eval().maps(torch.zeros(1, height * width * channels))
        self.train(was_training)
        return [
            f"layer{i}_part{row}_{column}_channel{channel}"
            for i, shape in enumerate(found.shape[1:] for found in pool(maps))
            for row in range(shape[1])
            for column in range(shape[2])
            for channel in range(shape[0])
        ]
