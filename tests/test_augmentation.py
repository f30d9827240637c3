"""Data augmentation for images: what changes, and what does not."""

import math

import pytest
import torch

from sklearn_bigan._data.augmentation import (
    AUGMENTATIONS,
    GREY_PROBABILITY,
    MAX_ROTATION,
    MIN_CROP,
    ViewDraws,
    apply_views,
    draw_views,
)

COLOR, GREY = (6, 4, 3), (6, 4, 1)
IMAGES = torch.rand(200, 72, generator=torch.Generator().manual_seed(1))


def views(rows, image_shape, *augmentations, seed=0, x_std=1.0):
    generator = torch.Generator().manual_seed(seed)
    draws = draw_views((len(rows),), image_shape[2], augmentations, generator)
    return apply_views(rows, image_shape, draws, x_std)


def test_without_augmentations_nothing_changes():
    assert torch.equal(views(IMAGES, COLOR), IMAGES)


@pytest.mark.parametrize("augmentations", [*((name,) for name in AUGMENTATIONS), AUGMENTATIONS])
def test_draws_in_the_middle_of_their_range_leave_images_alone(augmentations):
    n = len(IMAGES)
    whole_image = torch.tensor([-1.0, -1.0, 0.0, 0.0, 0.0]).expand(n, 5)
    draws = ViewDraws(
        whole_image if "crop" in augmentations else None,
        torch.zeros(n) if "flip" in augmentations else None,
        torch.zeros(n, 7) if "color" in augmentations else None,
    )
    found = apply_views(IMAGES, COLOR, draws, x_std=1.0)
    torch.testing.assert_close(found, IMAGES, rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_views_depend_on_the_generator_alone(name):
    one, same, other = (views(IMAGES, COLOR, name, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_every_second_image_is_mirrored():
    flipped = views(IMAGES, COLOR, "flip")
    mirrored = IMAGES.view(-1, *COLOR).flip(2).flatten(1)
    is_mirrored, is_same = (
        (flipped - images).abs().amax(1) < 1e-5 for images in (mirrored, IMAGES)
    )
    assert (is_mirrored ^ is_same).all()
    assert 0.35 < is_mirrored.float().mean() < 0.65  # four standard errors


@pytest.mark.parametrize(("height", "width"), [(32, 32), (16, 32), (64, 32)])
def test_a_crop_is_a_part_of_the_image_enlarged_and_rotated(height, width):
    # Brightness rises from left to right. Rotated, it rises downwards, too; in a narrow crop, less.
    slope = torch.linspace(0, 1, width).expand(height, width).flatten().repeat(500, 1)
    cropped = views(slope, (height, width, 1), "crop").view(-1, height, width)
    assert cropped.min() >= 0  # nothing is invented
    assert cropped.max() <= 1 + 1e-6
    rows, columns = (slice(3 * side // 8, 5 * side // 8) for side in (height, width))
    middle = cropped[:, rows, columns]  # reflections are outside
    across, down = ((middle.diff(dim=dim) * (width - 1)).mean((1, 2)) for dim in (2, 1))
    angle = math.radians(MAX_ROTATION)
    cosine = math.cos(angle)
    assert MIN_CROP * cosine - 0.01 < across.min() < MIN_CROP + 0.05
    assert 0.95 < across.max() < 1.01
    assert 0.9 * math.sin(angle) < down.abs().max() < math.sin(angle)
    assert abs(down.mean()) < 0.03  # to either side


def test_a_crop_of_a_uniform_image_is_the_same_image():
    cropped = views(torch.full((9, 72), 0.3), COLOR, "crop", "flip")
    torch.testing.assert_close(cropped, torch.full((9, 72), 0.3))


def test_color_changes_each_channel_as_a_whole():
    seen, images = (rows.view(-1, 24, 3) for rows in (views(IMAGES, COLOR, "color"), IMAGES))
    for i in range(len(images)):
        for channel in range(3):
            # A straight line from old to new values, of the channel's own or of all three's mean.
            fits = [
                torch.corrcoef(torch.stack([seen[i, :, channel], old]))[0, 1]
                for old in (images[i, :, channel], images[i].mean(1))
            ]
            assert max(fits) > 0.9999


def test_some_colour_images_become_grey():
    many = IMAGES.repeat(10, 1)
    seen = views(many, COLOR, "color").view(-1, 24, 3)
    # Channels of a grey image differ by contrast and brightness alone.
    correlation = torch.stack([torch.corrcoef(image.T)[0, 1] for image in seen])
    grey = (correlation > 0.999).float().mean()
    assert grey == pytest.approx(GREY_PROBABILITY, abs=0.04)  # four standard errors


def test_brightness_is_in_units_of_the_data():
    rows = torch.zeros(500, 24)
    narrow, wide = (views(rows, GREY, "color", x_std=x_std) for x_std in (0.5, 5.0))
    torch.testing.assert_close(wide, 10 * narrow)
    assert 0.3 < narrow.abs().max() <= 0.4 + 1e-6
