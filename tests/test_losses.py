import math

import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from sklearn_bigan._losses import LOSSES, HingeLoss, LogisticLoss

ZEROS = torch.zeros(4)


def gradients(loss, encoder_logit: float, generator_logit: float) -> tuple[float, float]:
    logits = [torch.tensor([t], requires_grad=True) for t in (encoder_logit, generator_logit)]
    return tuple(float(g) for g in torch.autograd.grad(loss(*logits), logits))


def test_logistic_losses_are_two_log_two_at_zero_logits():
    assert float(LogisticLoss.discriminator_loss(ZEROS, ZEROS)) == pytest.approx(2 * math.log(2))
    assert float(LogisticLoss.encoder_generator_loss(ZEROS, ZEROS)) == pytest.approx(
        2 * math.log(2)
    )


def test_hinge_losses_are_two_and_nothing_at_zero_logits():
    assert float(HingeLoss.discriminator_loss(ZEROS, ZEROS)) == 2
    assert float(HingeLoss.encoder_generator_loss(ZEROS, ZEROS)) == 0


def test_logistic_losses_are_cross_entropies_with_labels_and_with_labels_swapped():
    draw = torch.Generator().manual_seed(0)
    q, p = torch.randn(50, generator=draw), torch.randn(50, generator=draw)
    one, zero = torch.ones(50), torch.zeros(50)
    entropy = binary_cross_entropy_with_logits
    # assert_close's default for float32: the two are the same sums, rounded differently
    torch.testing.assert_close(
        LogisticLoss.discriminator_loss(q, p), entropy(q, one) + entropy(p, zero)
    )
    torch.testing.assert_close(
        LogisticLoss.encoder_generator_loss(q, p), entropy(q, zero) + entropy(p, one)
    )


def test_hinge_loss_of_the_discriminator_ends_at_the_margin():
    q, p = torch.tensor([1.0, 3.0, 0.5]), torch.tensor([-1.0, -3.0, 0.5])
    # by hand: (0 + 0 + 0.5) / 3 + (0 + 0 + 1.5) / 3
    assert float(HingeLoss.discriminator_loss(q, p)) == pytest.approx(2 / 3)


@pytest.mark.parametrize("loss", LOSSES.values())
def test_discriminator_raises_encoder_logits_and_lowers_generator_logits(loss):
    q, p = gradients(loss.discriminator_loss, 0.3, -0.2)
    assert q < 0 < p


@pytest.mark.parametrize("loss", LOSSES.values())
def test_encoder_and_generator_pull_the_other_way(loss):
    q, p = gradients(loss.encoder_generator_loss, 0.3, -0.2)
    assert p < 0 < q


@pytest.mark.parametrize("side", ["discriminator_loss", "encoder_generator_loss"])
@pytest.mark.parametrize("loss", LOSSES.values())
@pytest.mark.parametrize("t", [-1e4, 1e4])
def test_losses_and_gradients_are_finite_at_huge_logits(loss, side, t):
    function = getattr(loss, side)
    assert math.isfinite(function(torch.tensor([t]), torch.tensor([-t])))
    assert all(math.isfinite(g) for g in gradients(function, t, -t))
