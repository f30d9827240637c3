import warnings

import numpy as np
import pytest
import torch
from factories import small
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch.callbacks import Callback
from torch import nn

from sklearn_bigan._runtime.determinism import generator_on
from sklearn_bigan._training import net as engine
from sklearn_bigan._training.diagnostics import (
    PROBE_ROWS,
    Diagnostics,
    diagnose,
    distances,
    problem,
)
from sklearn_bigan.networks.priors import NormalPrior

CPU = torch.device("cpu")
X = torch.randn(400, 3, generator=generator_on(CPU, 0))


class Function(nn.Module):
    """E or G as a given function, under the standard normal prior."""

    def __init__(self, function):
        super().__init__()
        self.function = function
        self.prior = NormalPrior(3)

    def forward(self, batch):
        return self.function(batch)


def found_by(encode, generate, x=X) -> Diagnostics:
    noise = generator_on(CPU, 1)
    return diagnose(Function(encode), Function(generate), NormalPrior(3), x, noise)


def values(encode, generate) -> dict[str, float]:
    return {name: float(value) for name, value in found_by(encode, generate)._asdict().items()}


def test_networks_that_invert_each_other_have_no_problems():
    found = values(lambda x: x, lambda z: z)
    assert found["reconstruction_ratio"] == 0
    assert found["latent_error"] == 0
    for name in ("code_spread", "least_code_spread", "sample_spread"):
        assert found[name] == pytest.approx(1, abs=0.15)  # standard error 0.04 a component
    assert found["coverage"] > 0.9  # 0.97 expected, Naeem et al. 2020
    assert not problem(found_by(lambda x: x, lambda z: z), *RATES)


def test_each_metric_is_what_its_name_says():
    scale = torch.tensor([0.5, 1.0, 2.0])
    found = values(lambda x: x * scale, lambda z: 3 * z)
    noise = generator_on(CPU, 1)
    z, aim = (torch.randn(PROBE_ROWS, 3, generator=noise) for _ in range(2))
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
    for name, value in by_hand.items():
        assert found[name] == pytest.approx(float(value)), name


def test_samples_of_one_half_of_the_rows_cover_that_half():
    found = values(lambda x: x, lambda z: torch.cat([z[:, :1].abs(), z[:, 1:]], dim=1))
    assert found["coverage"] == pytest.approx(0.5, abs=0.15)  # what is near the border counts, too


def test_rows_far_from_the_origin_have_the_same_coverage():
    encode, generate = (lambda x: x), (lambda z: z * torch.tensor([1.0, 0.0, 0.0]))
    near = float(found_by(encode, generate).coverage)
    away = float(found_by(encode, lambda z: generate(z) + 1000, X + 1000).coverage)
    assert away == pytest.approx(near, abs=0.02)
    assert near < 0.3


def test_rows_of_few_kinds_are_covered_by_samples_near_them():
    x = torch.randint(2, (400, 4), generator=generator_on(CPU, 0)).float()
    found = found_by(lambda x: x[:, :3], lambda z: torch.cat([z, z[:, :1]], dim=1).sigmoid(), x)
    assert found.coverage > 0.9


def test_rows_that_are_all_alike_have_no_values():
    found = found_by(lambda x: x, lambda z: z, torch.ones(20, 3))
    assert all(value.isnan() for value in found)
    assert not problem(found, *RATES)


RATES = (2e-3, 2e-3)
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
        ({"coverage": 0.04}, "4% of the rows have a sample near them"),
        ({"reconstruction_ratio": 0.99}, "do not invert each other"),
        ({"code_spread": 500.0}, "has diverged: codes vary 5e\\+02 times"),
        ({"sample_spread": float("inf")}, "has diverged"),
    ],
)
def test_each_problem_has_its_message(bad, said):
    found = problem(diagnostics(**bad), *RATES)
    with pytest.raises(Warning, match=said):
        raise Warning(found)
    assert "Lower" in found or "Raise" in found or "raise" in found


def diagnostics(**bad: float) -> Diagnostics:
    return Diagnostics(*map(torch.tensor, (HEALTHY | bad).values()))


BAD = {"code_spread": 0.02, "coverage": 0.0, "reconstruction_ratio": 1.0}


@pytest.mark.parametrize(
    ("rate", "begins", "ends"),
    [
        (1.0, "learning_rate=1 is probably too high: 'auto' is 0.002. ", " Lower learning_rate."),
        (1e-6, "learning_rate=1e-06 is probably too low: 'auto' is 0.00", " Raise learning_rate."),
        (1e-2, "The encoder has collapsed", "Raise cycle_weight, or lower consistency_weight."),
    ],
)
def test_several_problems_make_one_message_with_one_remedy(rate, begins, ends):
    found = problem(diagnostics(**BAD), rate, 2e-3)
    assert found.startswith(begins)
    assert found.endswith(ends)
    for symptom in ("encoder has collapsed", "generator has collapsed", "do not invert"):
        assert symptom in found


def test_a_training_that_has_diverged_is_not_said_to_be_too_short():
    found = problem(diagnostics(**BAD | {"sample_spread": 50.0}), *RATES)
    assert "has diverged" in found
    assert "longer" not in found


def test_an_unusual_learning_rate_that_does_no_harm_is_no_problem():
    assert not problem(diagnostics(), 1.0, 2e-3)


@pytest.mark.parametrize("learning_rate", [1e-6, 1.0, 10.0, 1e6])
def test_the_remedy_for_an_unusual_learning_rate_helps(small_digits, learning_rate):
    model = small(learning_rate=learning_rate, max_epochs=40)
    if learning_rate < 100:
        with pytest.warns(ConvergenceWarning, match="learning_rate=.* is probably too") as caught:
            model.fit(small_digits)
        assert len(caught) == 1
    else:
        with pytest.raises(ValueError, match="Lower learning_rate"):
            model.fit(small_digits)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.set_params(learning_rate="auto").fit(small_digits)


def test_a_sound_training_is_silent(small_digits):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        small(max_epochs=100).fit(small_digits)
    assert not caught


class Constant(torch.nn.Module):
    def __init__(self, n_features, latent_dim):
        super().__init__()

    def forward(self, x):
        return torch.zeros(len(x), 4)


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"network": {"encoder": Constant}}, "encoder has collapsed"),
        ({"learning_rate": 10.0, "max_epochs": 10}, "diverged"),
        ({"learning_rate": 1e-7, "max_epochs": 2}, "do not invert each other"),
        ({"learning_rate": 1e-7, "max_epochs": 2}, "generator has collapsed"),
    ],
)
def test_a_training_that_went_wrong_says_so(small_digits, parameters, said):
    with pytest.warns(ConvergenceWarning, match=said):
        small(**{"max_epochs": 40} | parameters).fit(small_digits)


def test_the_warning_points_at_the_caller(small_digits):
    model = small(max_epochs=1, learning_rate=1e-7)
    pipeline = make_pipeline(StandardScaler(), model)
    calls = {
        "fit": lambda: model.fit(small_digits),
        "fit_transform": lambda: model.fit_transform(small_digits),
        "pipeline": lambda: pipeline.fit(small_digits),
        "nested": lambda: make_pipeline(pipeline, StandardScaler()).fit_transform(small_digits),
        "search": lambda: cross_val_score(pipeline, small_digits, cv=2),
    }
    for name, call in calls.items():
        with pytest.warns(ConvergenceWarning) as caught:
            call()
        assert {warning.filename for warning in caught} == {__file__}, name
        lines = {warning.lineno for warning in caught}
        assert lines == {call.__code__.co_firstlineno}, name


def test_an_untrained_model_and_a_piece_of_data_are_not_judged(small_digits):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        small(max_epochs=0).fit(small_digits)
        small().partial_fit(small_digits[:10])
    assert not caught


def test_history_has_the_diagnostics_of_each_epoch(small_digits):
    history = small(max_epochs=30).fit(small_digits).history_
    names = {*Diagnostics._fields, "encoder_pair_accuracy", "generator_pair_accuracy"}
    for epoch in history:
        assert names <= set(epoch)
        assert all(np.isfinite(epoch[name]) for name in names)
        assert 0 <= epoch["encoder_pair_accuracy"] <= 1
    assert history[-1]["reconstruction_ratio"] < history[0]["reconstruction_ratio"]


def normalised(n_features, latent_dim):
    return nn.Sequential(nn.Linear(n_features, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Dropout(0.1))


@pytest.mark.parametrize(
    "parameters",
    [{}, {"method": "bigan"}, {"network": {"encoder": normalised}}],
    ids=["default", "bigan", "dropout"],
)
def test_diagnostics_leave_the_networks_alone(small_digits, parameters, monkeypatch):
    watched = state(small_digits, **parameters)
    not_found = Diagnostics(*(torch.tensor(torch.nan) for _ in Diagnostics._fields))
    monkeypatch.setattr(engine, "diagnose", lambda *args: not_found)
    for name, value in state(small_digits, **parameters).items():
        torch.testing.assert_close(value, watched[name], rtol=0, atol=0)


def state(X, **parameters):
    """Return weights, buffers and optimizer state at the end of the last epoch and of `fit`."""
    kept = {}

    class Keep(Callback):
        def on_epoch_end(self, net, **kwargs):
            kept.update({f"epoch.{k}": v.clone() for k, v in net.module_.state_dict().items()})

    net = small(callbacks=[Keep()], **parameters).fit(X).net_
    return kept | net.module_.state_dict()


def test_diagnosing_a_fitted_net_leaves_it_alone_and_repeats_itself(small_digits):
    net = small().fit(small_digits).net_
    before = {name: value.clone() for name, value in net.module_.state_dict().items()}
    first, again = (net.diagnose(small_digits) for _ in range(2))
    assert first == again
    for name, value in net.module_.state_dict().items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=0)


@pytest.mark.parametrize("offset", [0.0, 1e4])
def test_distances_are_those_of_numpy_also_far_from_the_origin(offset):
    random = np.random.default_rng(0)
    a, b = ((random.normal(size=(20, 7)) + offset).astype(np.float32) for _ in range(2))
    b[3], b[4] = a[5], a[5] + 1e-2
    expected = np.linalg.norm(a[:, None].astype(float) - b[None], axis=2)
    found = distances(torch.from_numpy(a), torch.from_numpy(b)).numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-3 if offset else 1e-6)
    assert found[5, 3] == 0 < found[5, 4]
