import math

import numpy as np
import pytest
import torch
from factories import small
from torch import nn

from sklearn_bigan.networks import ali, dcgan
from sklearn_bigan.networks.images import to_maps, to_rows

SHAPES = [(8, 8, 1), (12, 12, 3), (28, 28, 1), (32, 32, 3), (62, 47, 1), (64, 64, 3), (96, 96, 1)]
LAYERS = nn.Conv2d | nn.ConvTranspose2d | nn.Linear


def bodies(module, image_shape, latent_dim):
    """Make encoder, generator and discriminator, in evaluation mode."""
    sizes = {"n_features": math.prod(image_shape), "latent_dim": latent_dim}
    made = (module.encoder_body, module.GeneratorBody, module.DiscriminatorBody)
    return [body(**sizes, image_shape=image_shape).eval() for body in made]


def trace(body, *inputs):
    """Return each layer's output, (height, width, channels) or (width,), and its number of
    parameters, with those of the batch norm after it."""
    seen = []

    def look(layer, _, output):
        n_parameters = sum(weight.numel() for weight in layer.parameters())
        if isinstance(layer, nn.BatchNorm2d):
            shape, own = seen[-1]
            seen[-1] = (shape, own + n_parameters)
        else:
            shape = output.permute(0, 2, 3, 1).shape[1:] if output.ndim == 4 else output.shape[1:]
            seen.append((tuple(shape), n_parameters))

    hooks = [
        layer.register_forward_hook(look)
        for layer in body.modules()
        if isinstance(layer, LAYERS | nn.BatchNorm2d)
    ]
    with torch.no_grad():
        body(*inputs)
    for hook in hooks:
        hook.remove()
    return seen


def test_rows_are_flattened_channels_last_images():
    image = torch.arange(24.0).reshape(2, 4, 3)  # height, width, channels
    rows = torch.stack([image.flatten(), -image.flatten()])
    maps = to_maps(rows, (2, 4, 3))
    assert maps.shape == (2, 3, 2, 4)
    torch.testing.assert_close(maps[0, 1, 0, 2], image[0, 2, 1])
    torch.testing.assert_close(to_rows(maps), rows)
    assert to_rows(maps).data_ptr() == rows.data_ptr()  # no copy either way


@pytest.mark.parametrize("module", [dcgan, ali])
@pytest.mark.parametrize("image_shape", [*SHAPES, (128, 128, 3)])
def test_networks_are_made_for_images_of_every_size(module, image_shape):
    encoder, generator, discriminator = bodies(module, image_shape, 5)
    z = torch.randn(2, 5)
    x = generator(z)
    assert x.shape == (2, math.prod(image_shape))
    assert encoder(x).shape[0] == discriminator(x, z).shape[0] == 2


@pytest.mark.parametrize("module", [dcgan, ali])
@pytest.mark.parametrize("image_shape", SHAPES)
def test_every_pixel_reaches_the_encoder_and_comes_from_the_generator(module, image_shape):
    encoder, generator, _ = bodies(module, image_shape, 5)
    for body in (encoder, generator):
        for layer in body.modules():
            if isinstance(layer, LAYERS):  # the published weights are too small to tell from 0
                nn.init.normal_(layer.weight)
    x = torch.randn(1, math.prod(image_shape), requires_grad=True)
    encoder(x).square().sum().backward()
    assert x.grad.all()
    z = torch.randn(2, 5)
    one, other = generator(z)
    assert (one != other).all()


@pytest.mark.parametrize("module", [dcgan, ali])
def test_a_plain_gans_discriminator_sees_the_image_alone(module, recwarn):
    n_features = 64
    body = module.DiscriminatorBody(n_features=n_features, latent_dim=0, image_shape=(8, 8, 1))
    assert body(torch.randn(2, n_features), torch.empty(2, 0)).shape[0] == 2
    assert not recwarn


def test_dcgans_maps_are_halved_and_their_channels_doubled():
    assert dcgan.scales((32, 32, 3)) == [(32, 32, 3), (16, 16, 32), (8, 8, 64), (4, 4, 128)]
    assert dcgan.scales((28, 28, 1)) == [
        (28, 28, 1),
        (14, 14, 32),
        (7, 7, 64),
        (3, 3, 128),
    ]
    assert dcgan.scales((62, 47, 1))[-1] == (7, 5, 128)
    assert dcgan.scales((128, 128, 3))[-1] == (4, 4, 256)
    assert dcgan.scales((32, 32, 3), 16)[1:] == [(16, 16, 16), (8, 8, 32), (4, 4, 64)]


@pytest.mark.parametrize(("side", "channels"), [(47, 32), (48, 16)])
def test_large_images_have_half_as_many_channels(side, channels):
    rng = np.random.default_rng(0)
    X = rng.random((20, side * side), dtype=np.float32)
    net = small(max_epochs=1, image_shape=(side, side)).fit(X).net_
    assert net.spec.first_channels == channels
    for network in (net.module_.encoder, net.module_.discriminator):
        first = next(layer for layer in network.modules() if isinstance(layer, nn.Conv2d))
        assert first.out_channels == channels
    *_, last = (
        layer for layer in net.module_.generator.modules() if isinstance(layer, dcgan.Upsampling)
    )
    assert last.in_channels == channels


def test_a_convolution_of_the_whole_map_is_a_convolution():
    layer, maps = dcgan.WholeMapConvolution(5, 3, (4, 2), bias=False), torch.randn(2, 5, 4, 2)
    torch.testing.assert_close(layer(maps), nn.functional.conv2d(maps, layer.weight))


@pytest.mark.parametrize("lost", [(0, 0), (1, 0)])
def test_upsampling_is_that_to_the_nearest_neighbour_before_a_convolution(lost):
    layer = dcgan.Upsampling(5, 3, lost)
    maps = torch.randn(2, 5, 7, 6)
    large = nn.functional.interpolate(maps, scale_factor=2, mode="nearest")
    # A transposed convolution turns its kernel around.
    kernel = layer.weight.transpose(0, 1).flip(2, 3)
    expected = nn.functional.conv2d(large, kernel, padding=1)
    found = layer(maps)
    assert found.shape == (2, 3, 14 + lost[0], 12)
    torch.testing.assert_close(found[:, :, :14], expected)


def test_upsampling_takes_the_free_kernels_of_earlier_versions():
    free = nn.ConvTranspose2d(5, 3, 4, 2, 1, bias=False)
    layer = dcgan.Upsampling(5, 3, (0, 0))
    layer.load_state_dict(free.state_dict(), assign=True)
    maps = torch.randn(2, 5, 7, 6)
    torch.testing.assert_close(layer(maps), free(maps))


def test_networks_for_small_images_are_alis_table_for_cifar10():
    encoder, generator, discriminator = bodies(ali, (32, 32, 3), 64)
    x, z = torch.rand(2, 3072), torch.randn(2, 64)
    # Kernels times channels, and two for each channel of a batch norm.
    assert trace(encoder, x) == [
        ((28, 28, 32), 5 * 5 * 3 * 32 + 64),
        ((13, 13, 64), 4 * 4 * 32 * 64 + 128),
        ((10, 10, 128), 4 * 4 * 64 * 128 + 256),
        ((4, 4, 256), 4 * 4 * 128 * 256 + 512),
        ((1, 1, 512), 4 * 4 * 256 * 512 + 1024),
        ((1, 1, 512), 512 * 512 + 1024),
    ]
    assert trace(generator, z) == [
        ((4, 4, 256), 4 * 4 * 64 * 256 + 512),
        ((10, 10, 128), 4 * 4 * 256 * 128 + 256),
        ((13, 13, 64), 4 * 4 * 128 * 64 + 128),
        ((28, 28, 32), 4 * 4 * 64 * 32 + 64),
        ((32, 32, 32), 5 * 5 * 32 * 32 + 64),
        ((32, 32, 32), 32 * 32 + 64),
        ((32, 32, 3), 32 * 3),
    ]
    # No batch norm, hence biases; twice the channels, the larger of two goes on.
    assert trace(discriminator, x, z) == [
        ((28, 28, 64), 5 * 5 * 3 * 64 + 64),
        ((13, 13, 128), 4 * 4 * 32 * 128 + 128),
        ((10, 10, 256), 4 * 4 * 64 * 256 + 256),
        ((4, 4, 512), 4 * 4 * 128 * 512 + 512),
        ((1, 1, 1024), 4 * 4 * 256 * 1024 + 1024),
        ((1024,), 64 * 1024 + 1024),
        ((1024,), 512 * 1024 + 1024),
        ((2048,), (512 + 512) * 2048 + 2048),
        ((2048,), 1024 * 2048 + 2048),
    ]
    dropout = [layer.p for layer in discriminator.modules() if isinstance(layer, nn.Dropout)]
    assert dropout == [0.2, *[0.5] * 4, 0.2, 0.5, *[0.5] * 3]
    assert discriminator.row_independent


def test_networks_for_large_images_are_alis_table_for_faces():
    encoder, generator, discriminator = bodies(ali, (64, 64, 3), 256)
    x, z = torch.rand(2, 12288), torch.randn(2, 256)
    towards_z = [
        ((63, 63, 64), 2 * 2 * 3 * 64 + 128),
        ((29, 29, 128), 7 * 7 * 64 * 128 + 256),
        ((13, 13, 256), 5 * 5 * 128 * 256 + 512),
        ((4, 4, 256), 7 * 7 * 256 * 256 + 512),
        ((1, 1, 512), 4 * 4 * 256 * 512 + 1024),
    ]
    assert trace(encoder, x) == towards_z
    assert trace(generator, z) == [
        ((4, 4, 512), 4 * 4 * 256 * 512 + 1024),
        ((13, 13, 256), 7 * 7 * 512 * 256 + 512),
        ((29, 29, 256), 5 * 5 * 256 * 256 + 512),
        ((63, 63, 128), 7 * 7 * 256 * 128 + 256),
        ((64, 64, 64), 2 * 2 * 128 * 64 + 128),
        ((64, 64, 3), 64 * 3),
    ]
    assert trace(discriminator, x, z) == [
        *towards_z,
        ((1024,), 256 * 1024 + 1024),
        ((1024,), 1024 * 1024 + 1024),
        ((2048,), (512 + 1024) * 2048 + 2048),
        ((2048,), 2048 * 2048 + 2048),
    ]
    dropout = [layer.p for layer in discriminator.modules() if isinstance(layer, nn.Dropout)]
    assert dropout == [0.0] * 5 + [0.2] * 5
    assert not discriminator.row_independent


def test_alis_weights_start_small_and_its_biases_at_zero():
    for body in bodies(ali, (32, 32, 3), 64):
        for layer in body.modules():
            if isinstance(layer, LAYERS):
                if layer.weight.numel() > 10_000:
                    assert layer.weight.std().item() == pytest.approx(0.01, rel=0.05)
                assert layer.bias is None or not layer.bias.any()


def test_maxout_is_the_larger_of_two_channels_one_from_each_half():
    x = torch.tensor([[1.0, -4.0, -3.0, 2.0]])
    torch.testing.assert_close(ali.Maxout()(x), torch.tensor([[1.0, 2.0]]))
    torch.testing.assert_close(
        ali.Maxout()(x[:, :, None, None]).flatten(), torch.tensor([1.0, 2.0])
    )
