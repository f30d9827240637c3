"""The estimator with convolutional networks: what holds for tables holds for images."""

import pickle
import subprocess
import sys
import tracemalloc
from functools import partial

import numpy as np
import pytest
import torch
from factories import small
from torch import nn

from sklearn_bigan._data.augmentation import apply_views, draw_views
from sklearn_bigan.networks import dcgan

NETWORKS = ["dcgan", "ali"]
bigan = partial(small, image_shape=(8, 8), output_activation="sigmoid", max_epochs=1)


@pytest.fixture
def images(digits) -> np.ndarray:
    return digits[:100].copy()


def test_images_get_convolutions_and_tables_do_not(images):
    assert bigan().fit(images).net_.spec.network == "dcgan"
    assert bigan(image_shape=None).fit(images).net_.spec.network == "mlp"
    assert bigan(network="mlp").fit(images).net_.spec.network == "mlp"


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("method", ["auto", "latent_regression"])
def test_the_same_seed_gives_the_same_bits(images, network, method):
    # ALI's dropout draws from torch's default generator, which is restored.
    first, second = (bigan(network=network, method=method).fit(images) for _ in range(2))
    np.testing.assert_array_equal(first.transform(images), second.transform(images))
    np.testing.assert_array_equal(first.sample(3, 0), second.sample(3, 0))


@pytest.mark.parametrize("network", NETWORKS)
def test_rows_are_read_as_images_everywhere(images, network):
    model = bigan(network=network, posterior="gaussian").fit(images)
    assert model.transform(images).shape == (100, 4)
    assert model.inverse_transform(model.transform(images)).shape == images.shape
    assert model.score_samples(images).shape == (100,)
    assert np.isfinite(model.score(images))
    mean, std = model.posterior_moments(images)
    np.testing.assert_array_equal(mean, model.transform(images))
    assert std.min() > 0
    assert (model.partial_fit(images[:50]).transform(images) != mean).any()


@pytest.mark.parametrize("network", NETWORKS)
def test_a_code_depends_on_its_row_alone(images, network):
    model = bigan(network=network, features="all").fit(images)
    alone = np.concatenate([model.transform(row[None]) for row in images[:5]])
    np.testing.assert_allclose(alone, model.transform(images)[:5], atol=1e-6)


@pytest.mark.parametrize("network", NETWORKS)
def test_a_fresh_process_computes_the_same_bits(images, network, tmp_path):
    model = bigan(network=network, features="all").fit(images)
    (tmp_path / "model").write_bytes(pickle.dumps(model))
    np.save(tmp_path / "X.npy", images)
    script = """
import pickle, numpy as np
with open("model", "rb") as file:
    np.save("Z.npy", pickle.load(file).transform(np.load("X.npy")))
"""
    subprocess.run([sys.executable, "-W", "error", "-c", script], cwd=tmp_path, check=True)
    np.testing.assert_array_equal(np.load(tmp_path / "Z.npy"), model.transform(images))


def test_hidden_features_are_named_by_layer_part_and_channel(digits):
    rows = np.tile(digits[:40], 4)  # 16 x 16
    model = bigan(image_shape=(16, 16), features="all").fit(rows)
    names = model.get_feature_names_out()
    assert names.shape == (model.transform(rows).shape[1],) == (4 + 32 + 4 * 64 + 256,)
    assert list(names[:5]) == [
        *(f"bigantransformer{i}" for i in range(4)),
        "bigantransformer_layer0_part0_0_channel0",
    ]
    assert names[4 + 32 + 64] == "bigantransformer_layer1_part0_1_channel0"
    assert names[-1] == "bigantransformer_layer2_part0_0_channel255"
    hidden = model.set_params(features="hidden")
    np.testing.assert_array_equal(hidden.get_feature_names_out(), names[4:])
    assert list(hidden.set_output(transform="pandas").transform(rows).columns) == list(names[4:])


def test_hidden_features_are_means_over_quarters_of_the_last_maps(digits):
    rows = np.tile(digits[:40], 4)
    model = bigan(image_shape=(16, 16), features="hidden").fit(rows)
    names = list(model.get_feature_names_out())
    # Pixels in the lower right of the image change the second layer's means there.
    changed = rows[:1].reshape(1, 16, 16).copy()
    changed[0, 14:, 14:] = 1 - changed[0, 14:, 14:]
    gap = np.abs(model.transform(changed.reshape(1, -1)) - model.transform(rows[:1]))[0]
    moved = {names[i].split("_part")[1][:3] for i in np.flatnonzero(gap) if "layer1" in names[i]}
    assert moved == {"1_1"}


class Rows(nn.Linear):
    """A user's body, which gets the shape of the images."""

    def __init__(self, n_features, latent_dim, image_shape):
        assert (n_features, image_shape) == (64, (8, 8, 1))
        super().__init__(n_features, 5)


def test_a_users_network_gets_the_image_shape_and_the_others_are_convolutional(images):
    model = bigan(network={"encoder": Rows}, features="hidden").fit(images)
    assert model.transform(images).shape == (100, 5)
    generator = model.net_.module_.generator
    assert any(isinstance(layer, nn.ConvTranspose2d) for layer in generator.modules())


def test_the_bias_of_images_stays_at_their_mean(images):
    start, trained = (
        bigan(max_epochs=epochs).fit(images).net_.module_.averaged.generator.bias
        for epochs in (0, 2)
    )
    torch.testing.assert_close(trained, start, rtol=0, atol=0)
    assert start.std() > 0.1


@pytest.mark.slow
@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("image_shape", [(64, 64, 3), (128, 128)])
def test_large_images_train(network, image_shape, monkeypatch):
    # The diagnostics of an epoch look at 256 samples, which are many such images.
    monkeypatch.setattr("sklearn_bigan._training.diagnostics.PROBE_ROWS", 8)
    rows = np.random.default_rng(0).random((8, np.prod(image_shape)), dtype=np.float32)
    model = bigan(network=network, image_shape=image_shape, batch_size=4)
    assert np.isfinite(model.fit(rows).reconstruct(rows)).all()


def test_the_shape_cannot_change_while_training_goes_on(images):
    model = bigan().fit(images)
    with pytest.raises(ValueError, match=r"'image_shape' parameter cannot change.*\(8, 8, 1\)"):
        model.set_params(image_shape=(4, 16), network="mlp").partial_fit(images)


class Recording(nn.Module):
    """The package's own body, which records its inputs in training."""

    row_independent = True

    def __init__(self, body, **sizes):
        super().__init__()
        self.body = body(**sizes)
        self.inputs = []

    def forward(self, x, *z):
        if torch.is_grad_enabled():
            self.inputs.append(x.detach().clone())
        return self.body(x, *z)


@pytest.mark.parametrize("n_neighbors", [0, 3])
def test_the_encoder_gets_rows_and_views_and_the_discriminator_the_rows(images, n_neighbors):
    network = {
        "encoder": partial(Recording, dcgan.encoder_body),
        "discriminator": partial(Recording, dcgan.DiscriminatorBody),
    }
    model = bigan(network=network, n_neighbors=n_neighbors, batch_size=32).fit(images)

    def is_a_row(x):
        return torch.cdist(x, torch.from_numpy(images)).amin(1) < 1e-5

    steps = list(
        zip(
            model.net_.module_.encoder.body.inputs[::2],  # the others are samples, for the cycle
            model.net_.module_.discriminator.body.inputs,
            strict=True,
        )
    )
    assert len(steps) == 4
    for encoded, pairs in steps:
        n = len(pairs) // 2  # rows, then samples
        assert len(encoded) == 2 * n
        assert is_a_row(pairs[:n]).all()
        assert torch.equal(encoded[:n], pairs[:n])
        assert is_a_row(encoded[n:]).float().mean() < 0.1


@pytest.mark.filterwarnings("ignore:X has values from")  # views change the brightness
def test_codes_of_views_of_an_image_are_alike(images):
    rows = np.repeat(images, 3, axis=0)
    trained, untrained = (
        bigan(n_components=16, max_epochs=epochs, batch_size=50).fit(rows) for epochs in (20, 0)
    )
    draws = (
        draw_views((100,), 1, ("crop", "color"), torch.Generator().manual_seed(seed))
        for seed in (0, 1)
    )
    one, other = (
        apply_views(torch.from_numpy(images), (8, 8, 1), drawn, x_std=0.3).numpy()
        for drawn in draws
    )

    def found(model):
        a, b = (
            codes / np.linalg.norm(codes, axis=1, keepdims=True)
            for codes in (model.transform(one), model.transform(other))
        )
        return np.mean((a @ b.T).argmax(1) == np.arange(len(a)))

    assert found(trained) > 2 * found(untrained)


def learning_rates(net):
    return [group["lr"] / net.lr for group in net.optimizer_.param_groups]


def test_with_views_the_generator_and_the_discriminator_learn_at_a_quarter_of_the_rate(images):
    encoder, generator, discriminator = learning_rates(bigan().fit(images).net_)
    assert generator == discriminator == pytest.approx(encoder / 4)
    assert len(set(learning_rates(bigan(augmentations=None).fit(images).net_))) == 1


def test_what_auto_means_follows_from_what_a_row_is(images):
    models = [
        bigan(max_epochs=0, **parameters).fit(images)
        for parameters in ({}, {"image_shape": None}, {"cycle_weight": 3}, {"augmentations": None})
    ]
    configs = [model.net_.config for model in models]
    assert [config.cycle_weight for config in configs] == [50.0, 100.0, 3.0, 50.0]
    assert [config.n_neighbors for config in configs] == [0, 10, 0, 0]
    views = ("crop", "color")
    assert [config.augmentations for config in configs] == [views, (), views, ()]


@pytest.mark.parametrize("largest", [16, 255])
def test_pixels_in_uint8_are_learned_as_the_same_values_in_floats(images, largest):
    pixels = np.round(images * largest).astype(np.uint8)
    models = [
        bigan(output_activation="auto", max_epochs=3).fit(X) for X in (pixels, pixels.astype(float))
    ]
    np.testing.assert_array_equal(*(model.transform(pixels) for model in models))
    assert models[0].output_activation_ == "identity"
    assert models[0].reconstruct(pixels).dtype == np.float32


def test_pixels_in_uint8_are_learned_about_as_well_as_shares(digits):
    pixels = np.round(digits * 255).astype(np.uint8)
    in_bytes = small(n_components=16, max_epochs=15).fit(pixels[:1000]).score(pixels[1000:])
    in_shares = small(n_components=16, max_epochs=15).fit(digits[:1000]).score(digits[1000:])
    assert in_bytes > 0.5
    assert in_bytes > in_shares - 0.1


def test_pixels_in_uint8_are_encoded_without_a_copy_in_floats():
    X = np.random.default_rng(0).integers(0, 256, (60_000, 784), dtype=np.uint8)
    model = small(image_shape=(28, 28), network="mlp", augmentations=None, max_epochs=0)
    model.fit(X[:500])
    tracemalloc.start()
    try:
        model.transform(X)
        assert tracemalloc.get_traced_memory()[1] < X.nbytes  # a copy in float32 has four times it
    finally:
        tracemalloc.stop()
