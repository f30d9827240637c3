import copy

import pytest
import torch
from torch import nn

from sklearn_bigan._gradients import play
from sklearn_bigan._losses import HingeLoss, LogisticLoss
from sklearn_bigan.networks.discriminator import JointDiscriminator
from sklearn_bigan.networks.mlp import DiscriminatorBody

BATCH, N_FEATURES, LATENT_DIM = 32, 5, 3


class NormalisedBody(nn.Module):
    """A body whose rows depend on one another."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(N_FEATURES + LATENT_DIM, 16), nn.BatchNorm1d(16), nn.Tanh()
        )

    def forward(self, x, z):
        return self.layers(torch.cat([x, z], dim=1))


def discriminator(body: nn.Module, largest: float) -> JointDiscriminator:
    """D whose logits on `pairs()` reach from about -largest to largest."""
    net = JointDiscriminator(body, 16, nn.Identity()).double()
    with torch.no_grad():
        net.head.weight.normal_(generator=torch.Generator().manual_seed(1))
        logits = logits_of(net)
        middle, radius = (logits.max() + logits.min()) / 2, (logits.max() - logits.min()) / 2
        net.head.weight.mul_(largest / radius)
        net.head.bias.copy_(-middle * largest / radius)
    return net


def logits_of(net: JointDiscriminator) -> torch.Tensor:
    x, z_hat, x_hat, z = pairs()
    return net(torch.cat([x, x_hat]), torch.cat([z_hat, z]))


def pairs() -> list[torch.Tensor]:
    draw = torch.Generator().manual_seed(0)
    return [
        torch.randn(BATCH, width, generator=draw, dtype=torch.float64)
        for width in (N_FEATURES, LATENT_DIM, N_FEATURES, LATENT_DIM)
    ]


def by_autograd(net, loss):
    """Both losses and their gradients, each differentiated by itself."""
    x, z_hat, x_hat, z = pairs()
    z_hat.requires_grad_()
    x_hat.requires_grad_()
    sides = net(torch.cat([x, x_hat]), torch.cat([z_hat, z])).chunk(2)
    d_loss, eg_loss = loss.discriminator_loss(*sides), loss.encoder_generator_loss(*sides)
    at_weights = torch.autograd.grad(d_loss, list(net.parameters()), retain_graph=True)
    return d_loss, eg_loss, at_weights, torch.autograd.grad(eg_loss, [z_hat, x_hat])


@pytest.mark.parametrize("largest", [1.0, 60.0, 200.0])
@pytest.mark.parametrize("loss", [LogisticLoss, HingeLoss])
@pytest.mark.parametrize("body", [DiscriminatorBody, NormalisedBody])
def test_one_pass_gives_both_players_the_gradients_of_their_own_losses(body, loss, largest):
    torch.manual_seed(0)
    made = DiscriminatorBody(N_FEATURES, LATENT_DIM, (16,)) if body is DiscriminatorBody else body()
    net = discriminator(made, largest)
    x, z_hat, x_hat, z = pairs()
    outcome = play(net, loss, (x, z_hat), (x_hat, z))
    d_loss, eg_loss, at_weights, (at_z_hat, at_x_hat) = by_autograd(copy.deepcopy(net), loss)
    # assert_close's default for float64, 1e-7: the same sums in another order
    torch.testing.assert_close(outcome.discriminator_loss, d_loss.detach())
    torch.testing.assert_close(outcome.encoder_generator_loss, eg_loss.detach())
    torch.testing.assert_close(outcome.at_z_hat, at_z_hat)
    torch.testing.assert_close(outcome.at_x_hat, at_x_hat)
    # float64's default tolerance, but for the smallest seed: 1e-16 times the weight's derivative
    for weight, expected in zip(net.parameters(), at_weights, strict=True):
        torch.testing.assert_close(weight.grad, expected, rtol=1e-7, atol=1e-10)


def test_a_satisfied_hinge_still_teaches_encoder_and_generator():
    net = discriminator(DiscriminatorBody(N_FEATURES, LATENT_DIM, (16,)), 0.0)
    net.head.weight.data.fill_(1e-3)
    net.head.bias.data.fill_(50.0)  # every logit beyond the margin of the encoder's side
    x, z_hat, x_hat, z = pairs()
    outcome = play(net, HingeLoss, (x, z_hat), (x_hat, z))
    _, _, _, (at_z_hat, _) = by_autograd(copy.deepcopy(net), HingeLoss)
    assert at_z_hat.abs().max() > 0
    torch.testing.assert_close(outcome.at_z_hat, at_z_hat)


def test_a_hinge_satisfied_on_both_sides_teaches_only_encoder_and_generator():
    class Sum(nn.Module):
        row_independent = True

        def forward(self, x, z):
            return x.sum(1, keepdim=True) + z.sum(1, keepdim=True)

    net = JointDiscriminator(Sum(), 1, nn.Identity()).double()
    nn.init.ones_(net.head.weight)
    ones = torch.ones(BATCH, 2, dtype=torch.float64)
    outcome = play(net, HingeLoss, (ones, ones), (-ones, -ones))  # logits 4 and -4
    assert float(outcome.discriminator_loss) == 0
    # by hand: the mean logit falls by 1 / n with every pair of the one side, and rises on the other
    torch.testing.assert_close(outcome.at_z_hat, ones / BATCH)
    torch.testing.assert_close(outcome.at_x_hat, -ones / BATCH)
    # the smallest seed, 1e-16 a pair, times features of 4
    assert max(weight.grad.abs().max() for weight in net.parameters()) < 1e-15


@pytest.mark.parametrize("body", [DiscriminatorBody, NormalisedBody])
def test_nothing_is_left_on_encoder_and_generator(body):
    made = DiscriminatorBody(N_FEATURES, LATENT_DIM, (16,)) if body is DiscriminatorBody else body()
    x, _, _, z = pairs()
    encoder, generator = nn.Linear(N_FEATURES, LATENT_DIM), nn.Linear(LATENT_DIM, N_FEATURES)
    z_hat, x_hat = encoder.double()(x), generator.double()(z)
    z_hat.retain_grad()
    x_hat.retain_grad()
    play(discriminator(made, 1.0), LogisticLoss, (x, z_hat), (x_hat, z))
    left = [z_hat, x_hat, x, z, *encoder.parameters(), *generator.parameters()]
    assert all(tensor.grad is None for tensor in left)


@pytest.mark.parametrize("largest", [60.0, 200.0, 1e4])
def test_in_float32_the_gradients_stay_right_where_the_discriminator_is_certain(largest):
    torch.manual_seed(0)
    net = discriminator(DiscriminatorBody(N_FEATURES, LATENT_DIM, (16,)), largest)
    _, _, _, expected = by_autograd(copy.deepcopy(net), LogisticLoss)
    x, z_hat, x_hat, z = (t.float() for t in pairs())
    outcome = play(net.float(), LogisticLoss, (x, z_hat), (x_hat, z))
    for found, wanted in zip((outcome.at_z_hat, outcome.at_x_hat), expected, strict=True):
        # float32 rounding of a two-layer net, relative to the largest gradient
        assert (found.double() - wanted).abs().max() < 1e-5 * wanted.abs().max()


def test_a_body_that_ignores_z_gives_the_encoder_no_gradient():
    class OnlyX(nn.Module):
        row_independent = True

        def forward(self, x, z):
            return x

    net = JointDiscriminator(OnlyX(), N_FEATURES, nn.Identity()).double()
    nn.init.ones_(net.head.weight)
    x, z_hat, x_hat, z = pairs()
    outcome = play(net, LogisticLoss, (x, z_hat), (x_hat, z))
    assert float(outcome.at_z_hat.abs().max()) == 0
    assert float(outcome.at_x_hat.abs().max()) > 0


def test_a_weight_that_is_frozen_needs_no_gradient():
    net = discriminator(NormalisedBody(), 1)
    frozen = net.body.layers[0].weight.requires_grad_(False)
    x, z_hat, x_hat, z = pairs()
    play(net, LogisticLoss, (x, z_hat), (x_hat, z))
    assert frozen.grad is None
    assert net.head.weight.grad is not None
