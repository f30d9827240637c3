import math

import pytest
import torch
from factories import small

from sklearn_bigan._data.batches import Batch
from sklearn_bigan._objectives.bigan import every_other
from sklearn_bigan._objectives.terms import (
    KERNEL_WIDTH,
    TEMPERATURE,
    cauchy_similarity,
    contrastive_loss,
    cosine_similarity,
)


def metrics_of_a_step(x, **parameters) -> dict[str, float]:
    """Return what a first step on rows x reports."""
    net = small(max_epochs=0, n_neighbors=0, **parameters).fit(x.numpy()).net_
    draws = net.criterion_.draw(net.module_.encoder.prior, len(x), torch.Generator().manual_seed(0))
    rows = torch.from_numpy(net.standardizer.transform(x.numpy()))
    metrics = net.criterion_.backward(net.module_, Batch(rows, rows, draws))
    return {name: float(value) for name, value in metrics.items()}


@pytest.mark.parametrize("output_activation", ["identity", "sigmoid"])
def test_the_cycle_loss_is_one_where_the_mean_is_all_there_is(output_activation):
    # Samples start at the mean. With "sigmoid" rows are not standardised: the variance is 0.02.
    random = torch.Generator().manual_seed(0)
    x = 0.4 + 0.1 * torch.rand(500, 6, generator=random)
    x[:, 0] *= 2
    metrics = metrics_of_a_step(x, output_activation=output_activation, network={"generator": Zero})
    assert metrics["cycle_loss"] == pytest.approx(1, abs=1e-3)


class Zero(torch.nn.Module):
    def __init__(self, n_features, latent_dim):
        super().__init__()
        self.n_features = n_features

    def forward(self, z):
        return torch.zeros(len(z), self.n_features)


def test_the_contrastive_loss_identifies_each_positive_among_all_other_codes():
    # Rows 0 and 2 point one way, 1 and 3 at a right angle; lengths do not matter.
    z_hat = torch.tensor([[1.0, 0.0], [0.0, 2.0], [3.0, 0.0], [0.0, 1.0]])
    positive, other = math.exp(1 / TEMPERATURE), math.exp(0 / TEMPERATURE)
    expected = -math.log(positive / (positive + 2 * other))
    assert float(contrastive_loss(cosine_similarity(z_hat))) == pytest.approx(expected)


def test_the_cauchy_kernel_falls_with_the_squared_distance_in_deviations_of_the_codes():
    z_hat = torch.tensor([[0.0, 0.0], [3.0, 4.0], [0.0, KERNEL_WIDTH], [3.0, 4.0]])
    variance = float(z_hat.var(0, correction=0).mean())
    found = torch.exp(cauchy_similarity(z_hat))
    torch.testing.assert_close(found.diagonal(), torch.ones(4))
    assert float(found[0, 2]) == pytest.approx(1 / (1 + 1 / variance))
    assert float(found[1, 3]) == pytest.approx(1)
    assert float(found[0, 1]) == pytest.approx(1 / (1 + 25 / KERNEL_WIDTH**2 / variance))


def test_neither_scale_nor_origin_of_the_codes_changes_the_cauchy_kernel():
    z_hat = torch.randn(8, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(cauchy_similarity(5 * z_hat + 7), cauchy_similarity(z_hat))


def test_equal_codes_far_from_the_origin_have_a_finite_gradient():
    z_hat = torch.full((6, 3), 1e3, requires_grad=True)
    contrastive_loss(cauchy_similarity(z_hat)).backward()
    assert torch.isfinite(z_hat.grad).all()


@pytest.mark.parametrize("similarity", [cosine_similarity, cauchy_similarity])
def test_the_contrastive_loss_draws_positives_together_and_others_apart(similarity):
    z_hat = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8], [-0.8, 0.6]], requires_grad=True)
    before = contrastive_loss(similarity(z_hat))
    before.backward()
    stepped = z_hat.detach() - 0.1 * z_hat.grad
    assert contrastive_loss(similarity(stepped)) < before
    one, other = torch.nn.functional.cosine_similarity(*stepped.chunk(2))
    assert one > 0.6
    assert other > 0.6


@pytest.mark.parametrize(("n_rows", "taken"), [(1, 1), (2, 2), (3, 2), (4, 2), (5, 3)])
def test_every_other_row_is_taken_unless_one_would_be_left(n_rows, taken):
    assert len(range(n_rows)[every_other(n_rows)]) == taken
