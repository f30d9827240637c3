"""Views of images: what changes, and what does not."""

import math

import pytest
import torch

from sklearn_bigan._noise import Noise
from sklearn_bigan._views import AUGMENTATIONS, GREY, LEAST_FRAME, TURN, views

COLOURED, PLAIN = (6, 4, 3), (6, 4, 1)
IMAGES = torch.rand(200, 72, generator=torch.Generator().manual_seed(1))


def look(rows, image_shape, *augmentations, seed=0, unit=1.0):
    return views(
        rows, image_shape, augmentations, Noise(torch.device("cpu"), seed), torch.tensor(unit)
    )


def test_nothing_changes_unless_it_is_asked_for():
    assert torch.equal(look(IMAGES, COLOURED), IMAGES)


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_views_hang_on_the_generator_alone(name):
    one, same, other = (look(IMAGES, COLOURED, name, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_every_second_image_is_mirrored():
    flipped = look(IMAGES, COLOURED, "flip")
    mirrored = IMAGES.view(-1, *COLOURED).flip(2).flatten(1)
    is_mirrored, is_same = (
        (flipped - images).abs().amax(1) < 1e-5 for images in (mirrored, IMAGES)
    )
    assert (is_mirrored ^ is_same).all()
    assert 0.35 < is_mirrored.float().mean() < 0.65  # four standard errors


def test_a_frame_holds_a_part_of_the_image_enlarged_and_turned():
    # Brightness rises from left to right. Turned, it rises downwards, too; in a narrow frame, less.
    slope = torch.linspace(0, 1, 32).expand(32, 32).flatten().repeat(500, 1)
    framed = look(slope, (32, 32, 1), "crop").view(-1, 32, 32)
    assert framed.min() >= 0  # nothing is invented
    assert framed.max() <= 1 + 1e-6
    middle = framed[:, 12:20, 12:20]  # reflections are outside
    across, down = ((middle.diff(dim=dim) * 31).mean((1, 2)) for dim in (2, 1))
    cosine = math.cos(math.radians(TURN))
    assert LEAST_FRAME * cosine - 0.01 < across.min() < LEAST_FRAME + 0.05
    assert 0.95 < across.max() < 1.01
    assert 0.9 * math.sin(math.radians(TURN)) < down.abs().max() < math.sin(math.radians(TURN))
    assert abs(down.mean()) < 0.03  # to either side


def test_a_uniform_image_is_so_in_every_frame():
    framed = look(torch.full((9, 72), 0.3), COLOURED, "crop", "flip")
    torch.testing.assert_close(framed, torch.full((9, 72), 0.3))


def test_color_changes_channels_as_wholes():
    seen, images = (rows.view(-1, 24, 3) for rows in (look(IMAGES, COLOURED, "color"), IMAGES))
    grey = (seen - seen.mean(1, keepdim=True)).flatten(1)
    for i in range(len(images)):
        for channel in range(3):
            # A straight line from old to new values, of the channel's own or of all three's mean.
            fits = [
                torch.corrcoef(torch.stack([seen[i, :, channel], old]))[0, 1]
                for old in (images[i, :, channel], images[i].mean(1))
            ]
            assert max(fits) > 0.9999
    assert grey.abs().max() > 0


def test_some_coloured_images_turn_grey():
    many = IMAGES.repeat(10, 1)
    seen = look(many, COLOURED, "color").view(-1, 24, 3)
    # Channels of a grey image differ by contrast and brightness alone.
    correlation = torch.stack([torch.corrcoef(image.T)[0, 1] for image in seen])
    assert (correlation > 0.999).float().mean() == pytest.approx(GREY, abs=0.04)  # 4 errors


def test_brightness_is_in_units_of_the_data():
    rows = torch.zeros(500, 24)
    narrow, wide = (look(rows, PLAIN, "color", unit=unit) for unit in (0.5, 5.0))
    torch.testing.assert_close(wide, 10 * narrow)
    assert 0.3 < narrow.abs().max() <= 0.4 + 1e-6
