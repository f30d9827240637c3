"""The logistic losses, and both players' gradients from one backward pass."""

import copy
import math
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits, logsigmoid

from sklearn_bigan._objectives.adversarial import (
    adversarial_metrics,
    backward_both_players,
    discriminator_loss,
    encoder_generator_loss,
)
from sklearn_bigan.networks.discriminator import JointDiscriminator
from sklearn_bigan.networks.mlp import PairBody

BATCH, N_FEATURES, LATENT_DIM = 32, 5, 3
LOSSES = (discriminator_loss, encoder_generator_loss)


class NormalisedBody(nn.Module):
    """A body whose rows depend on one another."""

    def __init__(self, n_features, latent_dim, widths):
        super().__init__()
        (width,) = widths
        first = nn.Linear(n_features + latent_dim, width)
        self.layers = nn.Sequential(first, nn.BatchNorm1d(width), nn.Tanh())

    def forward(self, x, z):
        return self.layers(torch.cat([x, z], dim=1))


BODIES = (PairBody, NormalisedBody)


def discriminator(body: type[nn.Module], largest: float) -> JointDiscriminator:
    """D whose logits on `pairs()` reach from about -largest to largest."""
    torch.manual_seed(0)
    net = JointDiscriminator(body(N_FEATURES, LATENT_DIM, (16,)), 16, True).double()
    with torch.no_grad():
        net.head.weight.normal_(generator=torch.Generator().manual_seed(1))
        x, z_hat, x_hat, z = pairs()
        logits = net((x, z_hat), (x_hat, z))
        middle, radius = (logits.max() + logits.min()) / 2, (logits.max() - logits.min()) / 2
        net.head.weight.mul_(largest / radius)
        net.head.bias.copy_(-middle * largest / radius)
    return net


def pairs() -> list[torch.Tensor]:
    draw = torch.Generator().manual_seed(0)
    return [
        torch.randn(BATCH, width, generator=draw, dtype=torch.float64)
        for width in (N_FEATURES, LATENT_DIM, N_FEATURES, LATENT_DIM)
    ]


def by_autograd(net):
    """Each loss differentiated by itself: at D's weights, and at E(x) and G(z)."""
    x, z_hat, x_hat, z = pairs()
    z_hat.requires_grad_()
    x_hat.requires_grad_()
    real, fake = net((x, z_hat), (x_hat, z)).chunk(2)
    # torch's softplus, unlike its logsigmoid, is rounded to its asymptote from 20 on
    d_loss = -logsigmoid(real).mean() - logsigmoid(-fake).mean()
    eg_loss = -logsigmoid(-real).mean() - logsigmoid(fake).mean()
    at_weights = torch.autograd.grad(d_loss, list(net.parameters()), retain_graph=True)
    return at_weights, torch.autograd.grad(eg_loss, [z_hat, x_hat])


def in_one_pass(net, terms=None, dtype=torch.float64):
    """Return gradients at E(x) and G(z), which are weights of E and G here; D's are on D."""
    x, z_hat, x_hat, z = (t.to(dtype) for t in pairs())
    encoder, generator = nn.ParameterList([z_hat]), nn.ParameterList([x_hat])
    bigan = SimpleNamespace(encoder=encoder, generator=generator, discriminator=net)
    z_hat, x_hat = encoder[0].view_as(z_hat), generator[0].view_as(x_hat)
    logits = net((x, z_hat), (x_hat, z))
    minimised = None if terms is None else terms(encoder[0], generator[0])
    backward_both_players(bigan, logits, z_hat, x_hat, minimised)
    return encoder[0].grad, generator[0].grad


@pytest.mark.parametrize("largest", [1.0, 60.0, 200.0])
@pytest.mark.parametrize("body", BODIES)
def test_both_players_get_the_gradients_of_their_own_losses(body, largest):
    net = discriminator(body, largest)
    at_weights, at_pairs = by_autograd(copy.deepcopy(net))
    # assert_close's default for float64, 1e-7: the same sums in another order
    torch.testing.assert_close(in_one_pass(net), at_pairs)
    # the same, but for the smallest gradient at a logit: 1e-16 times the weight's derivative
    for weight, expected in zip(net.parameters(), at_weights, strict=True):
        torch.testing.assert_close(weight.grad, expected, rtol=1e-7, atol=1e-10)


@pytest.mark.parametrize("body", BODIES)
def test_terms_reach_encoder_and_generator_alone(body):
    net = discriminator(body, 1.0)
    at_weights, (at_z_hat, at_x_hat) = by_autograd(copy.deepcopy(net))
    found = in_one_pass(net, terms=lambda z_hat, x_hat: 3 * z_hat.sum() + 5 * x_hat.sum())
    torch.testing.assert_close(found, (at_z_hat + 3, at_x_hat + 5))
    for weight, expected in zip(net.parameters(), at_weights, strict=True):
        torch.testing.assert_close(weight.grad, expected, rtol=1e-7, atol=1e-10)


@pytest.mark.parametrize("largest", [60.0, 200.0, 1e4])
def test_in_float32_the_gradients_stay_right_where_the_discriminator_is_certain(largest):
    net = discriminator(PairBody, largest)
    _, expected = by_autograd(copy.deepcopy(net))
    for found, wanted in zip(in_one_pass(net.float(), dtype=torch.float32), expected, strict=True):
        # float32 rounding of a two-layer net, relative to the largest gradient
        assert (found.double() - wanted).abs().max() < 1e-5 * wanted.abs().max()


def test_a_body_that_ignores_z_gives_the_encoder_no_gradient():
    class OnlyX(nn.Module):
        row_independent = True

        def __init__(self, n_features, latent_dim, widths):
            super().__init__()
            self.layer = nn.Linear(n_features, *widths)

        def forward(self, x, z):
            return self.layer(x) + 0 * z.sum()

    at_z_hat, at_x_hat = in_one_pass(discriminator(OnlyX, 1.0))
    assert float(at_z_hat.abs().max()) == 0
    assert float(at_x_hat.abs().max()) > 0


@pytest.mark.parametrize("body", BODIES)
def test_a_weight_that_is_frozen_needs_no_gradient(body):
    net = discriminator(body, 1.0)
    frozen = next(net.body.parameters()).requires_grad_(False)
    in_one_pass(net)
    assert frozen.grad is None
    assert net.head.weight.grad is not None


def test_losses_are_cross_entropies_with_labels_and_with_labels_swapped():
    draw = torch.Generator().manual_seed(0)
    q, p = torch.randn(50, generator=draw), torch.randn(50, generator=draw)
    one, zero = torch.ones(50), torch.zeros(50)
    entropy = binary_cross_entropy_with_logits
    # assert_close's default for float32: the two are the same sums, rounded differently
    torch.testing.assert_close(discriminator_loss(q, p), entropy(q, one) + entropy(p, zero))
    torch.testing.assert_close(encoder_generator_loss(q, p), entropy(q, zero) + entropy(p, one))


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("t", [-1e4, 1e4])
def test_losses_and_gradients_are_finite_at_huge_logits(loss, t):
    logits = [torch.tensor([sign * t], requires_grad=True) for sign in (1, -1)]
    value = loss(*logits)
    found = [value.detach(), *torch.autograd.grad(value, logits)]
    assert all(map(math.isfinite, found))


def test_accuracies_are_the_shares_of_pairs_on_the_right_side():
    metrics = adversarial_metrics(torch.tensor([1.0, 2, 3, -1]), torch.tensor([0.0, -1, 1, 1]))
    assert float(metrics["encoder_pair_accuracy"]) == 0.75
    assert float(metrics["generator_pair_accuracy"]) == 0.5  # an undecided D has no favourite


def test_a_logit_of_zero_is_taken_for_a_pair_of_the_generator():
    metrics = adversarial_metrics(torch.zeros(2), torch.zeros(2))
    assert metrics["encoder_pair_accuracy"] == 0
    assert metrics["generator_pair_accuracy"] == 1
