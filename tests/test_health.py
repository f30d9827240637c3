import warnings

import numpy as np
import pytest
import torch
from sklearn.exceptions import ConvergenceWarning
from torch import nn

from sklearn_bigan import BiGANTransformer
from sklearn_bigan._health import PROBE_ROWS, Health, complaints, distances, health
from sklearn_bigan._noise import Noise
from sklearn_bigan._priors import NormalPrior
from sklearn_bigan._randomness import generator_on

CPU = torch.device("cpu")
X = torch.randn(400, 3, generator=generator_on(CPU, 0))


class Pair(nn.Module):
    """E and G as given functions, under the standard normal prior."""

    def __init__(self, encode, generate):
        super().__init__()
        self.encode, self.generate = encode, generate
        self.prior = NormalPrior(3)

    @property
    def encoder(self):
        encode = lambda x: self.encode(x)  # noqa: E731
        encode.prior = self.prior
        return encode

    @property
    def generator(self):
        return self.generate


def looked_at(encode, generate, x) -> Health:
    return health(Pair(encode, generate), NormalPrior(3), x, Noise(CPU, 1))


def figures(encode, generate) -> dict[str, float]:
    found = looked_at(encode, generate, X)
    return {name: float(figure) for name, figure in found._asdict().items()}


def test_networks_that_invert_each_other_are_in_perfect_health():
    found = figures(lambda x: x, lambda z: z)
    assert found["reconstruction_ratio"] == 0
    assert found["latent_error"] == 0
    for name in ("code_spread", "least_code_spread", "sample_spread"):
        assert found[name] == pytest.approx(1, abs=0.15)  # standard error 0.04 a component
    assert found["coverage"] > 0.9  # 0.97 expected, Naeem et al. 2020
    assert not complaints(looked_at(lambda x: x, lambda z: z, X))


def test_figures_are_what_they_are_called():
    scale = torch.tensor([0.5, 1.0, 2.0])
    found = figures(lambda x: x * scale, lambda z: 3 * z)
    noise = Noise(CPU, 1)
    z, aim = (noise.normal(PROBE_ROWS, 3) for _ in range(2))
    codes, other = X * scale, X.roll(1, 0) * scale
    own_gap, other_gap = ((X - 3 * code).square().sum(1).mean() for code in (codes, other))
    spreads = codes.var(0) / aim.var(0)
    latent_gap = (z - 3 * z * scale).square().sum(1).mean()
    by_hand = {
        "reconstruction_ratio": own_gap / other_gap,
        "code_spread": (codes.var(0).sum() / aim.var(0).sum()).sqrt(),
        "least_code_spread": spreads.min().sqrt(),
        "latent_error": latent_gap / z.var(0).sum(),
        "sample_spread": (9 * z.var(0).sum() / X.var(0).sum()).sqrt(),
    }
    for name, figure in by_hand.items():
        assert found[name] == pytest.approx(float(figure)), name


def test_samples_of_one_half_of_the_rows_cover_that_half():
    found = figures(lambda x: x, lambda z: torch.cat([z[:, :1].abs(), z[:, 1:]], dim=1))
    assert found["coverage"] == pytest.approx(0.5, abs=0.15)  # what is near the border counts, too


def test_rows_far_from_the_origin_have_the_same_coverage():
    encode, generate = (lambda x: x), (lambda z: z * torch.tensor([1.0, 0.0, 0.0]))
    near = float(looked_at(encode, generate, X).coverage)
    away = float(looked_at(encode, lambda z: generate(z) + 1000, X + 1000).coverage)
    assert away == pytest.approx(near, abs=0.02)
    assert near < 0.3


def test_rows_of_few_kinds_are_covered_by_samples_near_them():
    x = torch.randint(2, (400, 4), generator=generator_on(CPU, 0)).float()
    found = looked_at(lambda x: x[:, :3], lambda z: torch.cat([z, z[:, :1]], dim=1).sigmoid(), x)
    assert found.coverage > 0.9


def test_rows_that_are_all_alike_have_no_figures():
    found = looked_at(lambda x: x, lambda z: z, torch.ones(20, 3))
    assert all(figure.isnan() for figure in found)
    assert not complaints(found)


HEALTHY = {
    "reconstruction_ratio": 0.1,
    "code_spread": 0.8,
    "least_code_spread": 0.5,
    "latent_error": 0.2,
    "sample_spread": 1.0,
    "coverage": 0.7,
}


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ({"code_spread": 0.02}, "encoder has collapsed: codes vary 0.02 times"),
        ({"sample_spread": 0.02}, "generator has collapsed: samples vary 0.02 times"),
        ({"coverage": 0.04}, "come near 4% of these"),
        ({"reconstruction_ratio": 0.99}, "do not invert each other"),
        ({"code_spread": 500.0}, "has diverged: codes vary 5e\\+02 times"),
        ({"sample_spread": float("inf")}, "has diverged"),
    ],
)
def test_each_ailment_has_its_complaint(bad, said):
    (found,) = complaints(Health(*map(torch.tensor, (HEALTHY | bad).values())))
    with pytest.raises(Warning, match=said):
        raise Warning(found)
    assert "Lower" in found or "Raise" in found or "raise" in found


def fit(X, **parameters):
    defaults = {"n_components": 4, "hidden_layer_sizes": (32,), "random_state": 0}
    return BiGANTransformer(**{**defaults, **parameters}).fit(X)


def test_a_sound_training_is_silent(small_digits):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fit(small_digits, max_epochs=100)
    assert not caught


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"consistency_weight": 1e6, "cycle_weight": 0}, "encoder has collapsed"),
        ({"learning_rate": 10.0, "max_epochs": 10}, "diverged"),
        ({"learning_rate": 1e-7, "max_epochs": 2}, "do not invert each other"),
        ({"learning_rate": 1e-7, "max_epochs": 2}, "generator has collapsed"),
    ],
)
def test_a_training_that_went_wrong_says_so(small_digits, parameters, said):
    with pytest.warns(ConvergenceWarning, match=said):
        fit(small_digits, **{"max_epochs": 40, **parameters})


def test_the_warning_points_at_the_caller(small_digits):
    with pytest.warns(ConvergenceWarning) as caught:
        BiGANTransformer(4, max_epochs=1, learning_rate=1e-7, random_state=0).fit(small_digits)
    assert {warning.filename for warning in caught} == {__file__}


def test_an_untrained_model_and_a_piece_of_data_are_not_judged(small_digits):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fit(small_digits, max_epochs=0)
        BiGANTransformer(4, random_state=0).partial_fit(small_digits[:10])
    assert not caught


def test_history_has_the_figures_of_each_epoch(small_digits):
    history = fit(small_digits, max_epochs=30).history_
    names = {*Health._fields, "encoder_pair_accuracy", "generator_pair_accuracy"}
    for epoch in history:
        assert names <= set(epoch)
        assert all(np.isfinite(epoch[name]) for name in names)
        assert 0 <= epoch["encoder_pair_accuracy"] <= 1
    assert history[-1]["reconstruction_ratio"] < history[0]["reconstruction_ratio"]


@pytest.mark.parametrize("offset", [0.0, 1e4])
def test_distances_are_those_of_numpy_also_far_from_the_origin(offset):
    random = np.random.default_rng(0)
    a, b = ((random.normal(size=(20, 7)) + offset).astype(np.float32) for _ in range(2))
    b[3], b[4] = a[5], a[5] + 1e-2
    expected = np.linalg.norm(a[:, None].astype(float) - b[None], axis=2)
    found = distances(torch.from_numpy(a), torch.from_numpy(b)).numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-3 if offset else 1e-6)
    assert found[5, 3] == 0 < found[5, 4]
