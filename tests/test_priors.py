import pytest
import torch
from torch.nn.functional import binary_cross_entropy

from sklearn_bigan._runtime.determinism import default_generators_seeded
from sklearn_bigan.networks.priors import (
    PRIORS,
    MixturePrior,
    NormalPrior,
    UniformPrior,
    make_prior,
)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def mixture(latent_dim: int, n_clusters: int) -> MixturePrior:
    """Return a prior with spread clusters, the same each time."""
    prior = MixturePrior(latent_dim, n_clusters).eval()
    with default_generators_seeded(0, torch.device("cpu")):
        prior.initialise()
    return prior


def test_normal_prior_has_mean_zero_and_unit_variance():
    z = NormalPrior(3).sample(100_000, generator())
    # standard errors: 0.003 of the mean, 0.002 of the standard deviation
    assert z.mean(0).abs().max() < 0.02
    assert (z.std(0) - 1).abs().max() < 0.02


def test_uniform_prior_fills_its_range():
    z = UniformPrior(3).sample(100_000, generator())
    assert z.abs().max() <= 1
    assert z.min() < -0.999
    assert z.max() > 0.999
    assert z.mean(0).abs().max() < 0.02  # standard error 0.002
    assert (z.var(0) - 1 / 3).abs().max() < 0.01  # standard error 0.001


@pytest.mark.parametrize("name", PRIORS)
def test_draws_depend_on_the_generator_alone(name):
    prior = mixture(2, 3) if name == "mixture" else make_prior(name, 2, n_clusters=3)
    first, again, other = (prior.sample(5, generator(s)) for s in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_uniform_moments_are_those_of_a_squashed_gaussian():
    location, scale = torch.tensor([[-2.0, 0.0, 0.7]]), torch.tensor([[0.5, 2.0, 1.0]])
    draws = torch.tanh(location + scale * torch.randn(1_000_000, 3, generator=generator()))
    mean, std = UniformPrior(2).moments(location, scale)
    # standard error of the draws' moments: at most 0.001; error of the nodes: 0.0001
    torch.testing.assert_close(mean[0], draws.mean(0), rtol=0, atol=5e-3)
    torch.testing.assert_close(std[0], draws.std(0), rtol=0, atol=5e-3)


def test_uniform_moments_of_a_sure_encoder_are_a_point():
    location = torch.tensor([[-1.0, 0.3]])
    mean, std = UniformPrior(2).moments(location, torch.full((1, 2), 1e-4))
    torch.testing.assert_close(mean, torch.tanh(location), rtol=0, atol=1e-6)  # float32 rounding
    assert std.max() < 1e-3


def test_uniform_moments_of_a_nearly_sure_encoder_are_those_of_the_tangent():
    location = torch.tensor([[-1.0, 0.0, 2.0, 3.0]])
    scale = torch.full_like(location, 0.01)
    _, std = UniformPrior(2).moments(location, scale)
    slope = 1 - torch.tanh(location.double()).square()
    # the next term of tanh's expansion is of relative size scale^2 = 1e-4; the rounding of z near
    # 1, 6e-8, is 1e-3 of the smallest deviation, 1e-4
    torch.testing.assert_close(std.double(), slope * 0.01, rtol=1e-2, atol=0)


def test_normal_regression_loss_is_half_the_mean_square():
    a, z = torch.tensor([[1.0, 2.0]]), torch.tensor([[0.0, 4.0]])
    assert float(NormalPrior(2).regression_loss(a, z)) == pytest.approx(0.5 * (1 + 4) / 2)


def test_uniform_regression_loss_is_the_cross_entropy_of_rescaled_codes():
    a = torch.randn(20, 3, generator=generator())
    z = UniformPrior(3).sample(20, generator(1))
    probability = (torch.tanh(a) + 1) / 2
    # assert_close's default for float32; torch computes the one from logits, the other not
    torch.testing.assert_close(
        UniformPrior(3).regression_loss(a, z), binary_cross_entropy(probability, (z + 1) / 2)
    )


@pytest.mark.parametrize("latent_dim", [1, 2, 50])
def test_the_clusters_of_a_mixture_are_apart_and_of_unit_variance_in_all(latent_dim):
    prior = mixture(latent_dim, 20)
    torch.testing.assert_close(prior.means.mean(0), torch.zeros(latent_dim), rtol=0, atol=1e-5)
    assert float(prior.means.square().mean()) == pytest.approx(1, abs=1e-5)
    # A typical draw is a third of the gap from its mean, less than the 0.5 halfway to the next.
    distances = torch.cdist(prior.means, prior.means).fill_diagonal_(torch.inf).amin(1)
    radius = float(prior.stds[0, 0]) * latent_dim**0.5
    assert radius == pytest.approx(float(distances.median()) / 3, rel=1e-5)


def test_draws_of_a_mixture_come_from_its_clusters_in_equal_parts():
    prior = mixture(8, 5)
    z = prior.sample(50_000, generator())
    clusters = prior.cluster(z)
    share = torch.bincount(clusters, minlength=5) / len(z)
    assert (share - 0.2).abs().max() < 0.02  # standard error 0.002
    within = z - prior.means[clusters]
    assert float(within.std()) == pytest.approx(float(prior.stds[0, 0]), rel=0.02)  # 0.002


def test_a_cluster_can_be_chosen():
    prior = mixture(8, 5)
    assert (prior.cluster(prior.sample(100, generator(), cluster=3)) == 3).all()


def test_one_cluster_is_a_gaussian_at_the_origin():
    prior = mixture(4, 1)
    assert not prior.means.any()
    assert 0 < float(prior.stds[0, 0]) < 1


def blobs(sizes: list[int], means: torch.Tensor, stds: list[float]) -> torch.Tensor:
    noise = generator()
    return torch.cat(
        [
            mean + std * torch.randn(size, len(mean), generator=noise)
            for size, mean, std in zip(sizes, means, stds, strict=True)
        ]
    )


def test_a_mixture_is_fitted_to_shares_means_and_widths_of_codes():
    prior = mixture(8, 3)
    centres = prior.means + 0.05
    codes = blobs([30_000, 10_000, 0], centres, [0.1, 0.02, 1.0])
    third = prior.means[2].clone()
    before = float(prior.stds[0, 0])
    prior.fit(codes.split(7000))
    # standard errors: 0.1 / sqrt(30,000) of the mean, less of the width
    torch.testing.assert_close(prior.means[:2], centres[:2], rtol=0, atol=0.005)
    torch.testing.assert_close(prior.means[2], third)  # no codes: where it was
    # The width of all clusters counts as 8 codes, one for each component.
    pooled = (30_000 * 0.1**2 + 10_000 * 0.02**2 + before**2) / 40_000
    for k, n, std in ((0, 30_000, 0.1), (1, 10_000, 0.02)):
        expected = (std**2 * n + 8 * pooled) / (n + 8)
        assert prior.stds[k].mean() == pytest.approx(expected**0.5, rel=0.02)
    share = torch.bincount(prior.cluster(prior.sample(10_000, generator())), minlength=3)
    assert share[0] / 10_000 == pytest.approx(0.75, abs=0.02)  # standard error 0.004
    assert share[2] == 0


def test_a_cluster_with_one_code_keeps_a_width():
    prior = mixture(8, 3)
    width = prior.stds[0, 0].item()
    prior.fit([prior.means[:1].clone()])
    # The training's width counts as one code of two, and their mean as 8 of 9, or as all there is.
    for k, share in ((0, 4 / 9), (1, 1 / 2)):
        torch.testing.assert_close(prior.stds[k], torch.full((8,), width * share**0.5))


def test_a_fitted_mixture_draws_with_the_correlations_of_each_cluster():
    prior = mixture(3, 2)
    noise = torch.randn(40_000, 3, generator=generator())
    thin = torch.tensor([[1.0, 0, 0], [0.9, 0.1, 0], [0, 0, 0.2]]) / 10
    other = torch.diag(torch.tensor([0.05, 0.1, 0.02]))
    codes = [prior.means[k] + noise @ shape.T for k, shape in enumerate((thin, other))]
    prior.fit(codes)
    for k, shape in enumerate((thin, other)):
        drawn = prior.sample(40_000, generator(1), cluster=k)
        # standard error: 1 / sqrt(40,000) = 0.005 of each product of two widths
        expected = shape @ shape.T
        widths = expected.diagonal().sqrt()
        found = torch.cov(drawn.T)
        assert ((found - expected) / torch.outer(widths, widths)).abs().max() < 0.03
    torch.testing.assert_close(prior.sample(50, generator(), cluster=1), many_at_once(prior))


@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e12])
def test_components_that_depend_on_each_other_are_fitted(scale):
    prior = mixture(6, 2)
    one = scale * torch.randn(500, 1, generator=generator())
    prior.fit([torch.cat([one, one, -one, torch.zeros(500, 3)], dim=1)])
    drawn = prior.sample(2000, generator(1))
    assert drawn.isfinite().all()
    if scale > 1:
        # Of a width beside which that of the training is nothing.
        torch.testing.assert_close(drawn[:, 0] / scale, -drawn[:, 2] / scale, rtol=0, atol=0.02)


def many_at_once(prior: MixturePrior) -> torch.Tensor:
    """Draw 50 codes of the second cluster in one formula."""
    eps = torch.randn(50, prior.latent_dim, generator=generator())
    return prior.means[1] + prior.stds[1] * (eps @ prior.correlations[1].T)


def test_few_codes_of_a_cluster_leave_no_direction_without_width():
    prior = mixture(20, 4)
    codes = prior.means.repeat_interleave(5, 0)
    codes = codes + 0.1 * torch.randn(20, 20, generator=generator())
    prior.fit([codes])
    shape = prior.stds[0].unsqueeze(1) * prior.correlations[0]
    assert torch.linalg.svdvals(shape).min() > 0.01
    assert prior.sample(1000, generator()).isfinite().all()


def test_clusters_of_very_many_components_are_fitted_without_correlations():
    prior = mixture(MixturePrior.MAX_CORRELATED + 1, 3)
    assert prior.correlations.numel() == 0
    codes = prior.means.repeat_interleave(1000, 0)
    prior.fit([codes + 0.1 * torch.randn(codes.shape, generator=generator())])
    assert prior.stds.mean() == pytest.approx(0.1, rel=0.1)
    drawn = prior.sample(1000, generator(1), cluster=0)
    assert (drawn - prior.means[0]).std() == pytest.approx(float(prior.stds[0].mean()), rel=0.02)
