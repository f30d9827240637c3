import math

import pytest
import torch
from torch import nn

from sklearn_bigan._priors import NormalPrior
from sklearn_bigan._terms import (
    TEMPERATURE,
    consistency_loss,
    contrast_loss,
    cycle_loss,
    latent_cycle_loss,
)
from sklearn_bigan.networks.encoder import Encoder


def linear_encoder() -> Encoder:
    """E(x) = 2 x for one column."""
    encoder = Encoder(nn.Identity(), 1, 1, False, NormalPrior(1), nn.Identity())
    nn.init.constant_(encoder.head.weight, 2.0)
    nn.init.zeros_(encoder.head.bias)
    return encoder


def test_the_cycle_is_one_where_the_mean_is_all_there_is():
    x = torch.tensor([[1.0, 10.0], [3.0, 14.0]])  # variances 1 and 4
    mean = x.mean(0).expand(2, 2).clone().requires_grad_()
    loss = cycle_loss(x, mean, x_unit=torch.full((2,), 2.5**0.5))
    assert float(loss.detach()) == pytest.approx(1)
    loss.backward()
    # 2 (x_tilde - x) / (4 * 2.5)
    torch.testing.assert_close(mean.grad, torch.tensor([[0.2, 0.4], [-0.2, -0.4]]))


def test_the_latent_cycle_moves_encoder_and_generator():
    encoder = linear_encoder()
    x_hat = torch.tensor([[1.0], [2.0]], requires_grad=True)
    z = torch.tensor([[1.0], [4.0]])
    loss = latent_cycle_loss(encoder, x_hat, z)  # E(x_hat) = 2, 4
    assert float(loss.detach()) == pytest.approx(0.5)
    loss.backward()
    # d/dx: 2 (2 x - z) * 2 / 2; d/dw: sum of 2 (2 x - z) x / 2
    torch.testing.assert_close(x_hat.grad, torch.tensor([[2.0], [0.0]]))
    torch.testing.assert_close(encoder.head.weight.grad, torch.tensor([[1.0]]))


def test_consistency_draws_the_codes_of_partners_together():
    z_hat = torch.tensor([[0.0, 1.0], [2.0, 2.0], [1.0, 1.0], [2.0, 5.0]], requires_grad=True)
    loss = consistency_loss(z_hat)  # rows 0 and 2, 1 and 3: (1 + 0 + 0 + 9) / 4
    assert float(loss.detach()) == pytest.approx(2.5)
    loss.backward()
    expected = torch.tensor([[-0.5, 0.0], [0.0, -1.5], [0.5, 0.0], [0.0, 1.5]])
    torch.testing.assert_close(z_hat.grad, expected)


def test_contrast_tells_each_partner_among_all_other_codes():
    # Rows 0 and 2 point one way, 1 and 3 at a right angle; lengths do not matter.
    z_hat = torch.tensor([[1.0, 0.0], [0.0, 2.0], [3.0, 0.0], [0.0, 1.0]])
    partner, other = math.exp(1 / TEMPERATURE), math.exp(0 / TEMPERATURE)
    expected = -math.log(partner / (partner + 2 * other))
    assert float(contrast_loss(z_hat)) == pytest.approx(expected)


def test_contrast_draws_partners_together_and_others_apart():
    z_hat = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8], [-0.8, 0.6]], requires_grad=True)
    before = contrast_loss(z_hat)
    before.backward()
    stepped = z_hat.detach() - 0.1 * z_hat.grad
    assert contrast_loss(stepped) < before
    one, other = torch.nn.functional.cosine_similarity(*stepped.chunk(2))
    assert one > 0.6
    assert other > 0.6
