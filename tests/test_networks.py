import math

import pytest
import torch
from torch import nn
from torch.nn.functional import linear

from sklearn_bigan._noise import Noise
from sklearn_bigan._priors import NormalPrior, UniformPrior
from sklearn_bigan.networks.bigan import Blueprint, make_bigan
from sklearn_bigan.networks.discriminator import JointDiscriminator
from sklearn_bigan.networks.encoder import Encoder
from sklearn_bigan.networks.generator import Generator, marginal_bias
from sklearn_bigan.networks.mlp import PairLinear

CPU = torch.device("cpu")
N_FEATURES, LATENT_DIM = 6, 3


def blueprint(**changes) -> Blueprint:
    values = {
        "n_features": N_FEATURES,
        "latent_dim": LATENT_DIM,
        "posterior": "deterministic",
        "prior": "normal",
        "n_clusters": 2,
        "inference": "adversarial",
        "loss": "logistic",
        "output_activation": "identity",
        "hidden_layer_sizes": (8, 5),
        "image_shape": None,
        "network": "mlp",
    }
    return Blueprint(**{**values, **changes})


def bigan(x_mean=None, unit=1.0, **changes):
    x_mean = torch.zeros(N_FEATURES) if x_mean is None else x_mean
    return make_bigan(blueprint(**changes), x_mean, torch.full_like(x_mean, unit))


def encoder_with_head(bias: list[float], gaussian: bool, prior=NormalPrior) -> Encoder:
    """An encoder of one code component whose head ignores x."""
    encoder = Encoder(nn.Identity(), N_FEATURES, 1, gaussian, prior(1), nn.Identity())
    nn.init.zeros_(encoder.head.weight)
    encoder.head.bias.data = torch.tensor(bias)
    return encoder


def test_the_three_networks_have_the_shapes_of_the_game():
    nets, x, z = bigan().eval(), torch.randn(4, N_FEATURES), torch.randn(4, LATENT_DIM)
    assert nets(x).shape == (4, LATENT_DIM)
    assert nets.encoder.hidden(x).shape == (4, nets.encoder.n_hidden) == (4, 5)
    assert nets.generator(z).shape == (4, N_FEATURES)
    assert nets.discriminator(x, z).shape == (4,)


def test_batch_norm_is_in_encoder_and_generator_but_not_in_the_discriminator():
    nets = bigan()
    count = [
        sum(isinstance(m, nn.BatchNorm1d) for m in net.modules())
        for net in (nets.encoder, nets.generator, nets.discriminator)
    ]
    assert count == [2, 2, 0]


def test_gaussian_draws_have_the_moments_of_the_posterior():
    encoder = encoder_with_head([0.7, -1.0], gaussian=True)
    x = torch.zeros(200_000, N_FEATURES)
    draws = encoder.draw(x, Noise(CPU, 0))
    mean, std = (moment.detach() for moment in encoder.moments(x[:1]))
    assert float(std) == pytest.approx(float(torch.exp(torch.tensor(-0.5))), rel=0.01)
    # standard error of the draws' moments: 0.0014 and 0.001
    assert float(draws.detach().mean()) == pytest.approx(float(mean), abs=0.01)
    assert float(draws.detach().std()) == pytest.approx(float(std), abs=0.01)


def test_a_gradient_flows_through_a_gaussian_draw_to_both_moments():
    encoder = encoder_with_head([0.7, -1.0], gaussian=True)
    encoder.draw(torch.zeros(50, N_FEATURES), Noise(CPU, 0)).square().sum().backward()
    assert (encoder.head.bias.grad != 0).all()


@pytest.mark.parametrize("raw", [-1e30, 1e30])
def test_the_variance_is_finite_and_positive_for_any_head(raw):
    encoder = encoder_with_head([0.0, raw], gaussian=True)
    _, std = encoder.moments(torch.zeros(1, N_FEATURES))
    assert 0 < float(std.detach()) < 1e3


def test_the_encoder_called_gives_the_mean_and_no_draw():
    encoder = encoder_with_head([0.7, 1.0], gaussian=True)
    assert torch.equal(encoder(torch.zeros(3, N_FEATURES)), torch.full((3, 1), 0.7))


def test_a_deterministic_posterior_has_no_spread_and_no_noise():
    encoder = encoder_with_head([0.7], gaussian=False)
    x, noise = torch.zeros(3, N_FEATURES), Noise(CPU, 0)
    before = noise.generator.get_state()
    assert torch.equal(encoder.draw(x, noise), torch.full((3, 1), 0.7))
    assert torch.equal(noise.generator.get_state(), before)
    assert not encoder.moments(x)[1].any()


@pytest.mark.parametrize("gaussian", [False, True])
def test_codes_stay_in_the_range_of_a_uniform_prior(gaussian):
    encoder = encoder_with_head([2.0, 1.0][: 1 + gaussian], gaussian, UniformPrior)
    x = torch.zeros(1000, N_FEATURES)
    for z in (encoder(x), encoder.draw(x, Noise(CPU, 0))):
        assert z.abs().max() <= 1


@pytest.mark.parametrize(
    ("activation", "low"), [("identity", -5.0), ("sigmoid", 0.0), ("tanh", -1.0)]
)
def test_the_generator_starts_at_the_mean_of_the_data(activation, low):
    x_mean = torch.tensor([0.0, 1.0, 0.25, 0.5, 0.9, low])
    generator = Generator(nn.Linear(2, 6, bias=False), x_mean, torch.full((6,), 3.0), activation)
    nn.init.zeros_(generator.body.weight)
    start = generator(torch.ones(1, 2))[0]
    torch.testing.assert_close(start[2:5], x_mean[2:5])  # float32 rounding
    # columns at the edge of the range start MARGIN = 1e-3 inside it, to keep the bias finite
    torch.testing.assert_close(start, x_mean, rtol=0, atol=1.01e-3)
    assert generator.bias.isfinite().all()


@pytest.mark.parametrize(
    ("activation", "bias"),
    [("identity", 0.0), ("sigmoid", math.log(0.9 / 0.1)), ("tanh", math.atanh(0.9))],
)
def test_the_output_bias_is_the_log_odds_of_the_mean_its_inverse_tanh_or_nothing(activation, bias):
    found = marginal_bias(torch.tensor([0.9]), activation)
    assert float(found) == pytest.approx(bias, rel=1e-5)  # float32, where 1 - 0.9 is rounded


@pytest.mark.parametrize(
    "changes", [{}, {"n_features": 64, "image_shape": (8, 8, 1), "network": "dcgan"}]
)
def test_unbounded_rows_may_have_any_mean_and_scale(changes):
    n_features = changes.get("n_features", N_FEATURES)
    draw = torch.Generator().manual_seed(0)
    mean, x = (torch.randn(n, n_features, generator=draw) for n in (1, 4))
    z = torch.randn(4, LATENT_DIM, generator=draw)
    made = []
    for x_mean, unit in ((torch.zeros(n_features), 1.0), (1e4 * mean[0], 1e5)):
        with torch.random.fork_rng():
            torch.manual_seed(0)
            made.append(bigan(x_mean, unit, **changes).eval())
    plain, scaled = made
    nn.init.ones_(plain.discriminator.head.weight)
    nn.init.ones_(scaled.discriminator.head.weight)
    rows = 1e4 * mean + 1e5 * x
    close = {"rtol": 1e-4, "atol": 1e-5}  # float32
    torch.testing.assert_close(scaled(rows), plain(x), **close)
    torch.testing.assert_close(scaled.encoder.features(rows), plain.encoder.features(x), **close)
    torch.testing.assert_close(scaled.discriminator(rows, z), plain.discriminator(x, z), **close)
    x_hat = (scaled.generator(z) - 1e4 * mean) / 1e5
    torch.testing.assert_close(x_hat, plain.generator(z), **close)


@pytest.mark.parametrize(("activation", "low"), [("sigmoid", 0), ("tanh", -1)])
def test_the_generator_stays_in_the_range_of_its_activation(activation, low):
    nets = bigan(output_activation=activation, x_mean=torch.full((N_FEATURES,), 0.5))
    x = nets.generator(1e3 * torch.randn(100, LATENT_DIM))
    assert x.min() >= low
    assert x.max() <= 1


def test_the_discriminator_starts_undecided():
    nets = bigan()
    logits = nets.discriminator(torch.randn(4, N_FEATURES), torch.randn(4, LATENT_DIM))
    assert torch.equal(logits, torch.zeros(4))


def test_a_latent_regressors_discriminator_sees_x_alone():
    nets = bigan(inference="latent_regression")
    assert nets.discriminator(torch.randn(4, N_FEATURES), torch.empty(4, 0)).shape == (4,)


def test_a_factory_is_called_with_the_two_widths_and_the_rest_is_ours():
    calls = []

    def factory(**widths):
        calls.append(widths)
        return nn.Linear(N_FEATURES, 7)

    nets = bigan(network={"encoder": factory}, posterior="gaussian")
    assert calls == [{"n_features": N_FEATURES, "latent_dim": LATENT_DIM}]
    assert nets.encoder.n_hidden == 7
    assert nets.eval()(torch.randn(2, N_FEATURES)).shape == (2, LATENT_DIM)
    assert isinstance(nets.discriminator, JointDiscriminator)


def test_a_discriminator_that_sees_x_alone_is_made_for_no_column_of_z():
    calls = []

    class Body(nn.Linear):
        def __init__(self, **widths):
            calls.append(widths)
            super().__init__(N_FEATURES, 7)

        def forward(self, x, z):
            return super().forward(x)

    bigan(network={"discriminator": Body}, inference="latent_regression")
    assert calls == [{"n_features": N_FEATURES, "latent_dim": 0}]


def test_trying_a_body_leaves_its_batch_statistics_and_its_mode_alone():
    def factory(n_features, latent_dim):
        return nn.Sequential(nn.Linear(n_features, 7), nn.BatchNorm1d(7))

    body = bigan(network={"encoder": factory}).encoder.body
    assert body.training
    assert int(body[1].num_batches_tracked) == 0
    assert torch.equal(body[1].running_mean, torch.zeros(7))


def test_feature_maps_of_a_generator_are_flattened():
    def factory(n_features, latent_dim):
        return nn.Sequential(nn.Unflatten(1, (3, 1, 1)), nn.ConvTranspose2d(3, 1, (2, 3)))

    nets = bigan(network={"generator": factory})
    assert nets.generator(torch.zeros(4, LATENT_DIM)).shape == (4, 1 * 2 * 3)


def test_feature_maps_of_an_encoder_are_flattened():
    def factory(n_features, latent_dim):
        return nn.Sequential(nn.Unflatten(1, (1, 2, 3)), nn.Conv2d(1, 4, 1))

    nets, x = bigan(network={"encoder": factory}), torch.zeros(5, N_FEATURES)
    assert nets.encoder.hidden(x).shape == (5, nets.encoder.n_hidden) == (5, 4 * 2 * 3)
    assert nets(x).shape == (5, LATENT_DIM)


def test_feature_maps_of_a_discriminator_are_flattened():
    class Body(nn.Conv2d):
        def __init__(self, n_features, latent_dim):
            super().__init__(1, 4, 1)

        def forward(self, x, z):
            return super().forward(x.unflatten(1, (1, 2, 3)))

    nets = bigan(network={"discriminator": Body})
    x, z = torch.zeros(5, N_FEATURES), torch.zeros(5, LATENT_DIM)
    assert nets.discriminator.features(x, z).shape == (5, 4 * 2 * 3)
    assert nets.discriminator(x, z).shape == (5,)


def test_a_generator_of_the_wrong_width_is_refused():
    with pytest.raises(ValueError, match=r"generator must return 6 columns.*Got 5"):
        bigan(network={"generator": lambda n_features, latent_dim: nn.Linear(latent_dim, 5)})


def test_a_factory_that_makes_no_module_is_refused():
    with pytest.raises(
        TypeError, match=r"encoder factory must return a torch\.nn\.Module\. Got int"
    ):
        bigan(network={"encoder": lambda n_features, latent_dim: 3})


def test_the_error_of_a_body_says_which_network_and_which_shape():
    with pytest.raises(RuntimeError) as raised:
        bigan(network={"discriminator": lambda n_features, latent_dim: Adder()})
    assert "network's discriminator was tried on zeros of shape (2, 6) and (2, 3)" in str(
        raised.value.__notes__
    )


class Adder(nn.Module):
    def forward(self, x, z):
        return x + z


def test_a_layer_of_pairs_has_the_gradients_of_one_of_all_rows_where_they_are_asked_for():
    torch.manual_seed(0)
    layer = PairLinear(N_FEATURES + LATENT_DIM, 5).double()
    sizes = (N_FEATURES, LATENT_DIM) * 2
    x, z_hat, x_hat, z = (torch.randn(4, size, dtype=torch.float64) for size in sizes)
    made = z_hat.requires_grad_(), x_hat.requires_grad_()
    gradient = torch.randn(8, 5, dtype=torch.float64)
    whole = torch.cat([torch.cat([x, x_hat]), torch.cat([z_hat, z])], dim=1)
    expected = linear(whole, layer.weight, layer.bias)
    found = layer((x, z_hat, x_hat, z))
    torch.testing.assert_close(found, expected)
    asked = *layer.parameters(), *made
    for one, other in zip(
        *(torch.autograd.grad(out, asked, gradient) for out in (found, expected)), strict=True
    ):
        torch.testing.assert_close(one, other)
