import copy

import pytest
import torch
from torch import nn

from sklearn_bigan import BiGANTransformer
from sklearn_bigan._averaging import average, averaged_copy, fit_prior, settle, weights
from sklearn_bigan._noise import Noise
from sklearn_bigan.networks.bigan import Blueprint, make_bigan

ROWS = torch.randn(96, 5, generator=torch.Generator().manual_seed(0)) * 3 + 1


def bigan(prior: str = "normal"):
    torch.manual_seed(0)
    blueprint = Blueprint(
        n_features=5,
        latent_dim=2,
        posterior="deterministic",
        prior=prior,
        n_clusters=2,
        inference="adversarial",
        loss="logistic",
        output_activation="identity",
        hidden_layer_sizes=(8,),
        image_shape=None,
        network="mlp",
    )
    return make_bigan(blueprint, torch.zeros(5), torch.ones(5)).eval()


def noise() -> Noise:
    return Noise(torch.device("cpu"), 1)


def test_the_average_is_exponential_after_a_faster_start():
    module = bigan()
    averaged = averaged_copy(module)
    weight, mean = module.encoder.head.bias, averaged.encoder.head.bias
    expected = mean.detach().clone()
    for n in range(1, 200):
        with torch.no_grad():
            weight.fill_(n)
        average(weights(averaged), weights(module), 0.9, n)
        decay = min(0.9, (n - 1) / (n + 9))
        expected = decay * expected + (1 - decay) * n
        torch.testing.assert_close(mean, expected)
    # a straight line, followed at a distance of decay / (1 - decay)
    torch.testing.assert_close(mean, torch.full((2,), 199 - 9.0), rtol=1e-4, atol=0)


def test_the_discriminator_is_shared_and_the_others_are_not():
    module = bigan()
    averaged = averaged_copy(module)
    assert averaged.discriminator is module.discriminator
    assert averaged.encoder is not module.encoder
    assert not {id(weight) for weight in weights(averaged)} & {id(w) for w in weights(module)}


@pytest.mark.parametrize("cycled", [False, True])
def test_statistics_are_the_mean_over_batches_of_what_the_networks_see(cycled):
    module = bigan()
    inputs = {"encoder": [], "generator": []}
    for name, seen in inputs.items():
        first = getattr(module, name).body[0]
        first.register_forward_hook(lambda _, __, out, seen=seen: seen.append(out))
    settle(module, bigan(), ROWS, 40, noise(), cycled=cycled, anew=True)
    assert [len(batch) for batch in inputs["encoder"]] == [48] * 2  # 96 rows: equal parts
    assert [len(batch) for batch in inputs["generator"]] == [48 * (1 + cycled)] * 2
    for name, seen in inputs.items():
        norm = getattr(module, name).body[1]
        assert not norm.training
        assert norm.momentum == 0.1
        means, variances = (
            torch.stack([getattr(batch, what)(0) for batch in seen]).mean(0)
            for what in ("mean", "var")
        )
        torch.testing.assert_close(norm.running_mean, means)
        torch.testing.assert_close(norm.running_var, variances)


def test_statistics_of_a_piece_let_older_ones_fade():
    module = bigan()
    before = copy.deepcopy(module.encoder.body[1])
    settle(module, bigan(), ROWS[:32], 32, noise(), cycled=False, anew=False)
    norm, inputs = module.encoder.body[1], module.encoder.body[0](ROWS[:32]).detach()
    torch.testing.assert_close(norm.running_mean, 0.9 * before.running_mean + 0.1 * inputs.mean(0))


def test_networks_without_batch_norm_have_no_statistics_to_gather():
    module = bigan()
    module.encoder.body = nn.Identity()
    module.generator.body = nn.Linear(2, 5)
    state = copy.deepcopy(module.state_dict())
    settle(module, module, ROWS, 32, noise(), cycled=True, anew=True)
    assert all(torch.equal(state[name], value) for name, value in module.state_dict().items())


def test_other_buffers_are_those_of_the_networks_in_training():
    module = bigan()
    module.encoder.body.register_buffer("count", torch.zeros(()))
    averaged = averaged_copy(module)
    module.encoder.body.count.fill_(7)
    settle(averaged, module, ROWS, 32, noise(), cycled=False, anew=True)
    assert averaged.encoder.body.count == 7


def test_an_interruption_leaves_the_networks_in_evaluation_mode():
    module = bigan()

    def interrupt(*_):
        raise KeyboardInterrupt

    module.generator.body.register_forward_hook(interrupt)
    with pytest.raises(KeyboardInterrupt):
        settle(module, bigan(), ROWS, 32, noise(), cycled=False, anew=True)
    norm = module.encoder.body[1]
    assert not norm.training
    assert norm.momentum == 0.1


def test_clusters_are_fitted_to_the_codes_from_those_of_the_game():
    module = bigan("mixture")
    averaged = averaged_copy(module)
    for _ in range(3):  # no matter how often
        averaged.encoder.prior.means.add_(0.1)
        fit_prior(averaged, module, ROWS, noise())
    expected = copy.deepcopy(module.encoder.prior)
    expected.fit([averaged.encoder(ROWS).detach()])
    for name, value in averaged.encoder.prior.state_dict().items():
        torch.testing.assert_close(value, expected.state_dict()[name])


@pytest.mark.parametrize("decays", [(0.9, 0), (0, 0.9)])
def test_averaging_may_begin_or_end_while_training_goes_on(small_digits, decays):
    fitted = BiGANTransformer(2, hidden_layer_sizes=(8,), max_epochs=1, random_state=0)
    for decay in decays:
        fitted.set_params(ema_decay=decay).partial_fit(small_digits)
    used, trained = (weights(m) for m in (fitted.net_.averaged_, fitted.net_.module_))
    for own, last in zip(used, trained, strict=True):
        assert torch.equal(own, last) == (decays[-1] == 0)
