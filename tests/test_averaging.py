"""E and G as they are used: the moving average, batch statistics and the prior fitted to codes."""

import copy

import pytest
import torch
from factories import equal, networks, small, weights
from torch import nn

from sklearn_bigan._runtime.determinism import generator_on
from sklearn_bigan._training.averaging import MovingAverage, fit_prior, update_statistics

ROWS = torch.randn(96, 6, generator=torch.Generator().manual_seed(0)) * 3 + 1


def update(bigan, rows=ROWS, batch_size=32, *, with_codes=False, from_scratch=True) -> None:
    settings = {"with_codes": with_codes, "from_scratch": from_scratch}
    update_statistics(bigan, rows, batch_size, noise(), **settings)


def noise() -> torch.Generator:
    return generator_on(torch.device("cpu"), 1)


@pytest.mark.parametrize("of_statistics", [False, True])
def test_the_average_is_exponential_after_a_faster_start(of_statistics):
    bigan = networks().eval()
    trained, mean = (
        part.encoder.body[1].running_mean if of_statistics else part.encoder.head.bias
        for part in (bigan, bigan.averaged)
    )
    average, expected = MovingAverage(bigan, 0.9), mean.detach().clone()
    for n in range(1, 200):
        trained.data.fill_(n)
        average.update(n)
        decay = min(0.9, (n - 1) / (n + 9))
        expected = decay * expected + (1 - decay) * n
        torch.testing.assert_close(mean.detach(), expected)
    # a straight line, followed at a distance of decay / (1 - decay)
    torch.testing.assert_close(mean.detach(), torch.full_like(mean, 199 - 9.0), rtol=1e-4, atol=0)


def test_averaged_networks_have_weights_of_their_own_and_are_not_trained():
    bigan = networks().train()
    own = list(bigan.averaged.parameters())
    assert not {id(weight) for weight in own} & set(map(id, bigan.trained_parameters()))
    assert len(bigan.trained_parameters()) + len(own) == len(list(bigan.parameters()))
    assert not any(weight.requires_grad for weight in own)
    assert not bigan.averaged.training


@pytest.mark.parametrize("with_codes", [False, True])
def test_statistics_are_the_mean_over_batches_of_what_the_networks_see(with_codes):
    bigan = networks().eval()
    inputs = {"encoder": [], "generator": []}
    for name, seen in inputs.items():
        first = getattr(bigan.averaged, name).body[0]
        first.register_forward_hook(lambda _, __, out, seen=seen: seen.append(out))
    update(bigan, batch_size=40, with_codes=with_codes)
    assert [len(batch) for batch in inputs["encoder"]] == [48] * 2  # 96 rows: equal parts
    assert [len(batch) for batch in inputs["generator"]] == [48 * (1 + with_codes)] * 2
    for name, seen in inputs.items():
        norm = getattr(bigan.averaged, name).body[1]
        assert not norm.training
        assert norm.momentum == 0.1
        means, variances = (
            torch.stack([getattr(batch, what)(0) for batch in seen]).mean(0)
            for what in ("mean", "var")
        )
        torch.testing.assert_close(norm.running_mean, means)
        torch.testing.assert_close(norm.running_var, variances)


def test_statistics_of_a_piece_let_older_ones_fade():
    bigan = networks().eval()
    norm = bigan.averaged.encoder.body[1]
    norm.running_mean.fill_(5)
    update(bigan, ROWS[:32], from_scratch=False)
    inputs = bigan.averaged.encoder.body[0](ROWS[:32])
    torch.testing.assert_close(norm.running_mean, 0.9 * 5 + 0.1 * inputs.mean(0))


def test_networks_without_batch_norm_stay_as_they_are():
    bigan = networks().eval()
    bigan.averaged.encoder.body = nn.Identity()
    bigan.averaged.generator.body = nn.Linear(3, 6)
    bigan.encoder.body, bigan.generator.body = nn.Identity(), nn.Linear(3, 6)
    before = copy.deepcopy(bigan.state_dict())
    update(bigan, with_codes=True)
    for name, value in bigan.state_dict().items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=0)


def test_other_buffers_are_those_of_the_networks_in_training():
    bigan = networks()
    for part in (bigan, bigan.averaged):
        part.encoder.body.register_buffer("count", torch.zeros(()))
    bigan.encoder.body.count.fill_(7)
    update(bigan)
    assert bigan.averaged.encoder.body.count == 7


def test_an_interruption_leaves_the_networks_in_evaluation_mode():
    bigan = networks().eval()

    def interrupt(*_):
        raise KeyboardInterrupt

    bigan.averaged.generator.body.register_forward_hook(interrupt)
    with pytest.raises(KeyboardInterrupt):
        update(bigan)
    norm = bigan.averaged.encoder.body[1]
    assert not norm.training
    assert norm.momentum == 0.1


def test_clusters_are_fitted_to_the_codes_from_those_of_the_training():
    bigan = networks(prior="mixture").eval()
    used = bigan.averaged.encoder
    for _ in range(3):  # no matter how often
        used.prior.means.add_(0.1)
        fit_prior(bigan, ROWS, noise())
    expected = copy.deepcopy(bigan.encoder.prior)
    expected.fit([used(ROWS)])
    for name, value in used.prior.state_dict().items():
        torch.testing.assert_close(value, expected.state_dict()[name])
    assert not torch.equal(used.prior.means, bigan.encoder.prior.means)


@pytest.mark.parametrize("method", ["auto", "bigan"])
def test_the_published_methods_use_the_last_weights(small_digits, method):
    module = small(method=method).fit(small_digits).net_.module_
    for name in ("encoder", "generator"):
        last = equal(weights(getattr(module, name)), getattr(module.averaged, name))
        assert last == (method == "bigan")
