"""The three networks: heads, bodies, and how they are made and loaded."""

import math

import pytest
import torch
from factories import networks, spec
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from sklearn_bigan._runtime.distributed import SharedBatchNorm
from sklearn_bigan.networks.bigan import load_bigan, make_bigan
from sklearn_bigan.networks.discriminator import JointDiscriminator
from sklearn_bigan.networks.encoder import Encoder
from sklearn_bigan.networks.generator import Generator, inverse_activation
from sklearn_bigan.networks.mlp import PairBody
from sklearn_bigan.networks.priors import NormalPrior, UniformPrior

N_FEATURES, LATENT_DIM = 6, 3


def encoder_with_head(bias: list[float], gaussian: bool, prior=NormalPrior) -> Encoder:
    """Return an encoder of one code component whose head ignores x."""
    encoder = Encoder(nn.Identity(), N_FEATURES, 1, gaussian, prior(1))
    nn.init.zeros_(encoder.head.weight)
    encoder.head.bias.data = torch.tensor(bias)
    return encoder


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_the_three_networks_have_the_shapes_of_pairs():
    nets, x, z = networks().eval(), noise(4, N_FEATURES), noise(4, LATENT_DIM)
    assert nets(x).shape == (4, LATENT_DIM)
    assert nets.encoder.hidden(x).shape == (4, nets.encoder.n_hidden) == (4, 8)
    assert nets.generator(z).shape == (4, N_FEATURES)
    assert nets.discriminator((x, z)).shape == (4,)


def test_batch_norm_is_in_encoder_and_generator_but_not_in_the_discriminator():
    nets = networks()
    count = [
        sum(isinstance(m, nn.BatchNorm1d) for m in net.modules())
        for net in (nets.encoder, nets.generator, nets.discriminator)
    ]
    assert count == [2, 2, 0]


def test_gaussian_draws_have_the_moments_of_the_posterior():
    encoder = encoder_with_head([0.7, -1.0], gaussian=True)
    x = torch.zeros(200_000, N_FEATURES)
    draws = encoder.sample(x, noise(200_000, 1)).detach()
    mean, std = (float(moment.detach()) for moment in encoder.moments(x[:1]))
    assert (mean, std) == (pytest.approx(0.7), pytest.approx(math.exp(-0.5), rel=0.01))
    # standard error of the draws' moments: 0.0014 and 0.001
    assert float(draws.mean()) == pytest.approx(mean, abs=0.01)
    assert float(draws.std()) == pytest.approx(std, abs=0.01)


def test_a_gradient_flows_through_a_gaussian_draw_to_both_moments():
    encoder = encoder_with_head([0.7, -1.0], gaussian=True)
    encoder.sample(torch.zeros(50, N_FEATURES), noise(50, 1)).square().sum().backward()
    assert (encoder.head.bias.grad != 0).all()


@pytest.mark.parametrize("raw", [-1e30, 1e30])
def test_the_variance_is_finite_and_positive_for_any_head(raw):
    encoder = encoder_with_head([0.0, raw], gaussian=True)
    _, std = encoder.moments(torch.zeros(1, N_FEATURES))
    assert 0 < float(std.detach()) < 1e3


def test_the_encoder_called_gives_the_mean_and_no_draw():
    encoder = encoder_with_head([0.7, 1.0], gaussian=True)
    assert torch.equal(encoder(torch.zeros(3, N_FEATURES)), torch.full((3, 1), 0.7))


def test_a_deterministic_posterior_has_no_spread():
    encoder, x = encoder_with_head([0.7], gaussian=False), torch.zeros(3, N_FEATURES)
    assert torch.equal(encoder.sample(x, None), torch.full((3, 1), 0.7))
    assert not encoder.moments(encoder.hidden(x))[1].any()


@pytest.mark.parametrize("gaussian", [False, True])
def test_codes_stay_in_the_range_of_a_uniform_prior(gaussian):
    encoder = encoder_with_head([2.0, 1.0][: 1 + gaussian], gaussian, UniformPrior)
    x = torch.zeros(1000, N_FEATURES)
    for z in (encoder(x), encoder.sample(x, noise(1000, 1) if gaussian else None)):
        assert z.abs().max() <= 1


@pytest.mark.parametrize(
    ("activation", "low"), [("identity", -5.0), ("sigmoid", 0.0), ("tanh", -1.0)]
)
def test_the_generator_starts_at_the_mean_of_the_data(activation, low):
    x_mean = torch.tensor([0.0, 1.0, 0.25, 0.5, 0.9, low])
    generator = Generator(nn.Linear(2, 6, bias=False), 6, activation, fixed_bias=False)
    generator.initialise_bias(x_mean)
    nn.init.zeros_(generator.body.weight)
    start = generator(torch.ones(1, 2))[0]
    torch.testing.assert_close(start[2:5], x_mean[2:5])  # float32 rounding
    # columns at the edge of the range start MARGIN = 1e-3 inside it, to keep the bias finite
    torch.testing.assert_close(start, x_mean, rtol=0, atol=1.01e-3)
    assert generator.bias.isfinite().all()


@pytest.mark.parametrize(
    ("activation", "bias"),
    [("identity", 0.9), ("sigmoid", math.log(0.9 / 0.1)), ("tanh", math.atanh(0.9))],
)
def test_the_output_bias_is_the_mean_before_the_activation(activation, bias):
    found = inverse_activation(torch.tensor([0.9]), activation)
    assert float(found) == pytest.approx(bias, rel=1e-5)  # float32, where 1 - 0.9 is rounded


@pytest.mark.parametrize(("activation", "low"), [("sigmoid", 0), ("tanh", -1)])
def test_the_generator_stays_in_the_range_of_its_activation(activation, low):
    generator = networks(output_activation=activation).generator
    nn.init.normal_(generator.body[-1].weight, std=100)
    x = generator(noise(100, LATENT_DIM))
    assert low <= x.min() < low + 0.1
    assert 0.9 < x.max() <= 1


def test_the_discriminator_starts_undecided():
    logits = networks().discriminator((noise(4, N_FEATURES), noise(4, LATENT_DIM)))
    assert torch.equal(logits, torch.zeros(4))


def test_averaged_networks_stay_in_evaluation_mode():
    nets = networks()
    nets.train()
    assert nets.encoder.body.training
    assert not any(module.training for module in nets.averaged.modules())
    assert not any(weight.requires_grad for weight in nets.averaged.parameters())


# Pairs.


def pairs() -> list[torch.Tensor]:
    """Return x, E(x), G(z), z; the two in the middle need gradients."""
    x, z_hat, x_hat, z = (
        noise(4, size, seed=seed).double() for seed, size in enumerate((N_FEATURES, LATENT_DIM) * 2)
    )
    return [x, z_hat.requires_grad_(), x_hat.requires_grad_(), z]


@pytest.mark.parametrize("widths", [(5,), (5, 4)])
def test_logits_of_two_kinds_of_pairs_are_those_of_one_batch(widths):
    body = PairBody(N_FEATURES, LATENT_DIM, widths)
    discriminator = JointDiscriminator(body, widths[-1], joint=True).double()
    nn.init.ones_(discriminator.head.weight)
    x, z_hat, x_hat, z = pairs()
    together = discriminator((x, z_hat), (x_hat, z))
    whole = torch.cat([x, x_hat]), torch.cat([z_hat, z])
    expected = discriminator(whole)
    torch.testing.assert_close(together, expected)
    first = torch.cat([body.from_x.weight, body.from_z.weight], dim=1)
    features = nn.functional.linear(torch.cat(whole, dim=1), first, body.from_x.bias)
    torch.testing.assert_close(discriminator.features(whole), body.layers(features))
    asked, gradient = (*discriminator.parameters(), z_hat, x_hat), noise(8).double()
    for found, other in zip(
        *(torch.autograd.grad(logits, asked, gradient) for logits in (together, expected)),
        strict=True,
    ):
        torch.testing.assert_close(found, other)


def test_only_codes_and_samples_get_gradients():
    body = PairBody(N_FEATURES, LATENT_DIM, (5,)).double()
    features = body.of_pairs(*pairs())
    with FlopCounterMode(display=False) as counter:
        features.sum().backward()
    of_weights, of_inputs = 2 * (N_FEATURES + LATENT_DIM), LATENT_DIM + N_FEATURES
    assert counter.get_total_flops() == 2 * 4 * 5 * (of_weights + of_inputs)


def test_a_pair_bodys_first_layer_starts_as_one_layer_of_both_would():
    nets = networks(n_features=300, latent_dim=100, hidden_layer_sizes=(200,))
    for weight in nets.discriminator.body.first_weights():
        assert weight.abs().max() <= 400**-0.5
        # standard deviation of a uniform distribution, to five standard errors of 200 draws
        assert float(weight.detach().std()) == pytest.approx((3 * 400) ** -0.5, rel=0.15)


def test_a_latent_regressors_discriminator_sees_x_alone():
    nets = networks(method="latent_regression")
    nn.init.ones_(nets.discriminator.head.weight)
    x, z = noise(4, N_FEATURES), noise(4, LATENT_DIM)
    assert torch.equal(nets.discriminator((x, z)), nets.discriminator((x, z + 1)))


# Users' networks.


def linear(n_out: int):
    """Return a factory of a body with that many outputs."""
    return lambda n_features, latent_dim: nn.Linear(n_features, n_out)


def test_a_factory_is_called_with_the_two_widths_and_the_rest_is_ours():
    calls = []

    def factory(**widths):
        calls.append(widths)
        return nn.Linear(N_FEATURES, 7)

    nets = networks(network={"encoder": factory}, posterior="gaussian")
    assert calls == [{"n_features": N_FEATURES, "latent_dim": LATENT_DIM}]
    assert nets.encoder.n_hidden == 7
    assert nets.eval()(noise(2, N_FEATURES)).shape == (2, LATENT_DIM)
    assert isinstance(nets.discriminator.body, PairBody)


def test_a_discriminator_that_sees_x_alone_is_made_for_no_column_of_z():
    calls = []

    class Body(nn.Linear):
        def __init__(self, **widths):
            calls.append(widths)
            super().__init__(N_FEATURES, 7)

        def forward(self, x, z):
            return super().forward(x)

    networks(network={"discriminator": Body}, method="latent_regression")
    assert calls == [{"n_features": N_FEATURES, "latent_dim": 0}]


def test_trying_a_body_leaves_its_batch_statistics_and_its_mode_alone():
    def factory(n_features, latent_dim):
        return nn.Sequential(nn.Linear(n_features, 7), nn.BatchNorm1d(7))

    body = networks(network={"encoder": factory}).encoder.body
    assert body.training
    assert int(body[1].num_batches_tracked) == 0
    assert torch.equal(body[1].running_mean, torch.zeros(7))


class PairConvolution(nn.Conv2d):
    """A discriminator's body that returns feature maps."""

    def __init__(self, n_features, latent_dim):
        super().__init__(1, 4, 1)

    def forward(self, x, z):
        return super().forward(x.unflatten(1, (1, 2, 3)))


def test_feature_maps_are_flattened():
    def encoder(n_features, latent_dim):
        return nn.Sequential(nn.Unflatten(1, (1, 2, 3)), nn.Conv2d(1, 4, 1))

    def generator(n_features, latent_dim):
        return nn.Sequential(nn.Unflatten(1, (3, 1, 1)), nn.ConvTranspose2d(3, 1, (2, 3)))

    bodies = {"encoder": encoder, "generator": generator, "discriminator": PairConvolution}
    nets, x, z = networks(network=bodies), noise(5, N_FEATURES), noise(5, LATENT_DIM)
    assert nets.encoder.hidden(x).shape == (5, nets.encoder.n_hidden) == (5, 4 * 2 * 3)
    assert nets(x).shape == (5, LATENT_DIM)
    assert nets.generator(z).shape == (5, 1 * 2 * 3)
    assert nets.discriminator.features((x, z)).shape == (5, 4 * 2 * 3)
    assert nets.discriminator((x, z)).shape == (5,)


def test_a_generator_of_the_wrong_width_is_refused():
    with pytest.raises(ValueError, match=r"generator must return 6 columns.*Got 5"):
        networks(network={"generator": lambda n_features, latent_dim: nn.Linear(latent_dim, 5)})


def test_a_factory_that_makes_no_module_is_refused():
    with pytest.raises(
        TypeError, match=r"encoder factory must return a torch\.nn\.Module\. Got int"
    ):
        networks(network={"encoder": lambda n_features, latent_dim: 3})


class Adder(nn.Module):
    def forward(self, x, z):
        return x + z


def test_the_error_of_a_body_says_which_network_and_which_shape():
    with pytest.raises(RuntimeError) as raised:
        networks(network={"discriminator": lambda n_features, latent_dim: Adder()})
    assert "network's discriminator was tried on zeros of shape (2, 6) and (2, 3)" in str(
        raised.value.__notes__
    )


# Loading.

KINDS = [
    {},
    {"prior": "mixture", "posterior": "gaussian"},
    {"prior": "uniform", "method": "latent_regression"},
    {"network": {"encoder": linear(7), "discriminator": PairConvolution}},
    {"network": "dcgan", "n_features": 64, "image_shape": (8, 8, 1)},
    {"network": "ali", "n_features": 64, "image_shape": (8, 8, 1), "output_activation": "tanh"},
]


@pytest.mark.parametrize("changes", KINDS, ids=lambda changes: "-".join(changes) or "mlp")
def test_loaded_networks_compute_the_same_bits_and_nothing_is_drawn(changes):
    made = spec(**changes)
    nets = make_bigan(made, torch.zeros(made.n_features), seed=1).eval()
    nn.init.normal_(nets.discriminator.head.weight)
    nn.init.normal_(nets.averaged.encoder.head.bias)  # other weights than those as trained
    arrays = {name: tensor.numpy() for name, tensor in nets.state_dict().items()}
    before = torch.get_rng_state()
    loaded = load_bigan(made, arrays).eval()
    assert torch.equal(torch.get_rng_state(), before)
    x, z = noise(4, made.n_features), noise(4, made.latent_dim)
    for function in (
        lambda bigan: bigan(x),
        lambda bigan: bigan.encoder.moments(bigan.encoder.hidden(x))[1],
        lambda bigan: bigan.averaged.generator(z),
        lambda bigan: bigan.generator(z),
        lambda bigan: bigan.discriminator((x, z)),
        lambda bigan: bigan.encoder.prior.sample(5, torch.Generator().manual_seed(0)),
    ):
        assert torch.equal(function(loaded), function(nets))
    flags = [[weight.requires_grad for weight in bigan.parameters()] for bigan in (nets, loaded)]
    assert flags[0] == flags[1]


def test_loaded_weights_share_no_memory_with_the_arrays():
    made = spec()
    arrays = {name: tensor.numpy().copy() for name, tensor in networks().state_dict().items()}
    loaded = load_bigan(made, arrays)
    before = loaded.encoder.head.weight.clone()
    arrays["encoder.head.weight"][:] = 0
    assert torch.equal(loaded.encoder.head.weight, before)


# Batch norm of several processes, in one.


@pytest.mark.parametrize("options", [{}, {"momentum": None}, {"affine": False}, {"eps": 0.1}])
def test_shared_batch_norm_in_one_process_is_batch_norm_to_the_bit(options):
    plain, shared = nn.BatchNorm1d(3, **options), SharedBatchNorm(3, **options)
    inputs = [noise(8, 3, seed=seed).requires_grad_() for seed in (0, 0)]
    for module, x in zip((plain, shared), inputs, strict=True):
        module(x).square().sum().backward()
        module(2 * x.detach() + 1)
    assert torch.equal(inputs[0].grad, inputs[1].grad)
    for name, tensor in plain.state_dict().items():
        assert torch.equal(tensor, shared.state_dict()[name]), name
    x = noise(8, 3, seed=1)
    assert torch.equal(plain(x), shared(x))
    assert torch.equal(plain.eval()(x), shared.eval()(x))
