import pytest
import torch
from torch.nn.functional import binary_cross_entropy

from sklearn_bigan._priors import PRIORS, NormalPrior, UniformPrior

CPU = torch.device("cpu")


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_normal_prior_has_mean_zero_and_unit_variance():
    z = NormalPrior.sample(100_000, 3, generator(), CPU)
    # standard errors: 0.003 of the mean, 0.002 of the standard deviation
    assert z.mean(0).abs().max() < 0.02
    assert (z.std(0) - 1).abs().max() < 0.02


def test_uniform_prior_fills_its_range():
    z = UniformPrior.sample(100_000, 3, generator(), CPU)
    assert z.abs().max() <= 1
    assert z.min() < -0.999
    assert z.max() > 0.999
    assert z.mean(0).abs().max() < 0.02  # standard error 0.002
    assert (z.var(0) - 1 / 3).abs().max() < 0.01  # standard error 0.001


@pytest.mark.parametrize("prior", PRIORS.values())
def test_draws_depend_on_the_generator_alone(prior):
    first, again, other = (prior.sample(5, 2, generator(s), CPU) for s in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_uniform_moments_are_those_of_a_squashed_gaussian():
    location, scale = torch.tensor([[-2.0, 0.0, 0.7]]), torch.tensor([[0.5, 2.0, 1.0]])
    draws = torch.tanh(location + scale * torch.randn(1_000_000, 3, generator=generator()))
    mean, std = UniformPrior.moments(location, scale)
    # standard error of the draws' moments: at most 0.001; error of the nodes: 0.0001
    torch.testing.assert_close(mean[0], draws.mean(0), rtol=0, atol=5e-3)
    torch.testing.assert_close(std[0], draws.std(0), rtol=0, atol=5e-3)


def test_uniform_moments_of_a_sure_encoder_are_a_point():
    location = torch.tensor([[-1.0, 0.3]])
    mean, std = UniformPrior.moments(location, torch.full((1, 2), 1e-4))
    torch.testing.assert_close(mean, torch.tanh(location), rtol=0, atol=1e-6)  # float32 rounding
    assert std.max() < 1e-3


def test_uniform_moments_of_a_nearly_sure_encoder_are_those_of_the_tangent():
    location = torch.tensor([[-1.0, 0.0, 2.0, 3.0]])
    scale = torch.full_like(location, 0.01)
    _, std = UniformPrior.moments(location, scale)
    slope = 1 - torch.tanh(location.double()).square()
    # the next term of tanh's expansion is of relative size scale^2 = 1e-4; the rounding of z near
    # 1, 6e-8, is 1e-3 of the smallest deviation, 1e-4
    torch.testing.assert_close(std.double(), slope * 0.01, rtol=1e-2, atol=0)


def test_normal_regression_loss_is_half_the_mean_square():
    a, z = torch.tensor([[1.0, 2.0]]), torch.tensor([[0.0, 4.0]])
    assert float(NormalPrior.regression_loss(a, z)) == pytest.approx(0.5 * (1 + 4) / 2)


def test_uniform_regression_loss_is_the_cross_entropy_of_rescaled_codes():
    a = torch.randn(20, 3, generator=generator())
    z = UniformPrior.sample(20, 3, generator(1), CPU)
    probability = (torch.tanh(a) + 1) / 2
    # assert_close's default for float32; torch computes the one from logits, the other not
    torch.testing.assert_close(
        UniformPrior.regression_loss(a, z), binary_cross_entropy(probability, (z + 1) / 2)
    )
