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


def discriminator(body: nn.Module, scale: float) -> JointDiscriminator:
    net = JointDiscriminator(body, 16).double()
    with torch.no_grad():
        net.head.weight.normal_(generator=torch.Generator().manual_seed(1)).mul_(scale)
    return net


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


@pytest.mark.parametrize("scale", [1.0, 30.0, 1000.0], ids=["ordinary", "sure", "certain"])
@pytest.mark.parametrize("loss", [LogisticLoss, HingeLoss])
@pytest.mark.parametrize("body", [DiscriminatorBody, NormalisedBody])
def test_one_pass_gives_both_players_the_gradients_of_their_own_losses(body, loss, scale):
    torch.manual_seed(0)
    made = DiscriminatorBody(N_FEATURES, LATENT_DIM, (16,)) if body is DiscriminatorBody else body()
    net = discriminator(made, scale)
    x, z_hat, x_hat, z = pairs()
    outcome = play(net, loss, (x, z_hat), (x_hat, z))
    d_loss, eg_loss, at_weights, (at_z_hat, at_x_hat) = by_autograd(copy.deepcopy(net), loss)
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


@pytest.mark.parametrize("scale", [30.0, 1e4])
def test_in_float32_the_gradients_stay_right_where_the_discriminator_is_certain(scale):
    torch.manual_seed(0)
    net = discriminator(DiscriminatorBody(N_FEATURES, LATENT_DIM, (16,)), scale)
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

    net = JointDiscriminator(OnlyX(), N_FEATURES).double()
    nn.init.ones_(net.head.weight)
    x, z_hat, x_hat, z = pairs()
    outcome = play(net, LogisticLoss, (x, z_hat), (x_hat, z))
    assert float(outcome.at_z_hat.abs().max()) == 0
    assert float(outcome.at_x_hat.abs().max()) > 0
