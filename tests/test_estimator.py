import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from factories import METHODS, small, table
from scipy.stats import spearmanr
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import roc_auc_score
from skorch.callbacks import Callback

from sklearn_bigan import BiGANTransformer


def test_every_output_is_float32_with_a_row_for_each_row(fitted, small_digits):
    outputs = {
        "codes": (fitted.transform(small_digits), (300, 4)),
        "back": (fitted.inverse_transform(np.zeros((7, 4))), (7, 64)),
        "reconstruction": (fitted.reconstruct(small_digits), (300, 64)),
        "sample": (fitted.sample(5), (5, 64)),
        "scores": (fitted.score_samples(small_digits), (300,)),
    }
    for name, (output, shape) in outputs.items():
        assert output.shape == shape, name
        assert output.dtype == np.float32, name


@pytest.mark.parametrize("activation", ["identity", "sigmoid"])
def test_reconstruct_is_there_and_back_and_score_its_share_of_the_variation(
    small_digits, activation
):
    fitted = small(output_activation=activation).fit(small_digits)
    X, X_hat = small_digits[:50], fitted.reconstruct(small_digits[:50])
    np.testing.assert_array_equal(X_hat, fitted.inverse_transform(fitted.transform(X)))
    by_hand = 1 - ((X - X_hat) ** 2).sum() / ((X - small_digits.mean(axis=0)) ** 2).sum()
    assert fitted.score(X) == pytest.approx(by_hand, rel=1e-5)  # float32 sums


def test_score_is_zero_for_a_generator_of_the_mean_and_of_a_constant_x_as_r2_score_has_it():
    whole = np.round(table())
    X = np.vstack([whole, -whole])  # the mean is exactly 0
    fitted, mean = small(output_activation="identity").fit(X), np.zeros((3, 6))
    assert fitted.score(mean) == 0.0
    generator = fitted.net_.module_.averaged.generator
    with torch.no_grad():
        generator.body[-1].weight.zero_()
        generator.bias.zero_()
    assert fitted.score(X) == pytest.approx(0, abs=1e-5)  # float32 sums
    assert fitted.score(mean) == 1.0


@pytest.mark.parametrize("method", ["auto", "latent_regression"])
@pytest.mark.parametrize("activation", ["identity", "sigmoid"])
def test_score_samples_is_minus_the_score_of_egbad(small_digits, method, activation):
    fitted = small(method=method, output_activation=activation).fit(small_digits)
    used, discriminator = fitted.net_.module_.averaged, fitted.net_.module_.discriminator
    x = torch.from_numpy(fitted.net_.standardizer.transform(small_digits))
    with torch.no_grad():
        z_hat = used.encoder(x)
        x_hat = used.generator(z_hat)
        f, f_hat = (discriminator.features((rows, z_hat)) for rows in (x, x_hat))
        anomaly = 0.9 * (x - x_hat).abs().sum(1) + 0.1 * (f - f_hat).abs().sum(1)
    np.testing.assert_allclose(
        fitted.score_samples(small_digits), -anomaly.numpy(), rtol=1e-5
    )  # float32 sums


@pytest.mark.parametrize(("unit", "offset"), [(2.0**-10, 0), (1000, -5e4)])
def test_score_samples_ranks_rows_the_same_whatever_their_unit(unit, offset):
    X = table()
    scores, others = (small().fit(rows).score_samples(rows) for rows in (X, unit * X + offset))
    assert spearmanr(scores, others).statistic > 0.999
    np.testing.assert_allclose(others, scores, rtol=1e-2)  # rounding, after two epochs


def test_samples_come_from_the_random_state(fitted):
    np.testing.assert_array_equal(
        fitted.sample(3, random_state=1), fitted.sample(3, random_state=1)
    )
    assert (fitted.sample(3, random_state=1) != fitted.sample(3, random_state=2)).any()
    assert (fitted.sample(3) != fitted.sample(3)).any()


@pytest.mark.parametrize(("activation", "low"), [("sigmoid", 0), ("tanh", -1)])
def test_samples_stay_in_the_range_of_the_activation(small_digits, activation, low):
    X = low + (1 - low) * small_digits  # with columns at the range's ends
    samples = small(output_activation=activation).fit(X).sample(100, random_state=0)
    assert low <= samples.min() < samples.max() <= 1


def test_all_features_are_codes_and_hidden_features_and_lead_back_by_the_codes(
    fitted, small_digits
):
    codes = fitted.transform(small_digits)
    expected = fitted.inverse_transform(codes)
    hidden = fitted.set_params(features="hidden").transform(small_digits)
    both = fitted.set_params(features="all").transform(small_digits)
    np.testing.assert_array_equal(both, np.hstack([codes, hidden]))
    both[:, 4:] = 7
    np.testing.assert_array_equal(fitted.inverse_transform(both), expected)


def test_inverse_transform_of_other_columns_than_codes_says_what_it_needs(fitted):
    with pytest.raises(ValueError, match=r"Z has 5 columns, but with features='latent'.*gives 4"):
        fitted.inverse_transform(np.zeros((2, 5)))
    with pytest.raises(ValueError, match=r"the generator maps z, not hidden features"):
        fitted.set_params(features="hidden").inverse_transform(np.zeros((2, 32)))


def test_a_rows_cluster_is_that_of_the_nearest_mean(fitted, small_digits):
    means = fitted.net_.module_.averaged.encoder.prior.means.numpy()
    codes = fitted.transform(small_digits)
    nearest = np.linalg.norm(codes[:, None] - means[None], axis=2).argmin(axis=1)
    np.testing.assert_array_equal(fitted.predict_cluster(small_digits), nearest)


def test_samples_of_a_cluster_are_draws_round_its_mean(fitted):
    prior = fitted.net_.module_.averaged.encoder.prior
    noise = torch.randn(2000, 4, generator=torch.Generator().manual_seed(0))

    def gaps(cluster: int) -> list[float]:
        """Distances of the samples' mean from that of draws round other clusters' means."""
        samples = fitted.sample(2000, random_state=0, cluster=cluster)
        drawn = [prior.means[k] + prior.stds[k] * noise for k in range(len(prior.means))]
        rows = [fitted.inverse_transform(z.numpy()) for z in drawn]
        return [float(np.abs(samples.mean(0) - x.mean(0)).max()) / x.std() for x in rows]

    for cluster in (3, 4):
        found = gaps(cluster)
        assert np.argmin(found) == cluster
        assert found[cluster] < 0.1  # standard error 0.03


@pytest.mark.parametrize("cluster", [-1, 50, 2.0, "all"])
def test_a_cluster_there_is_not_is_refused(fitted, cluster):
    with pytest.raises(
        ValueError, match=r"'cluster' parameter must be an int in the range \[0, 50"
    ):
        fitted.sample(cluster=cluster)


@pytest.mark.parametrize("prior", ["normal", "uniform"])
def test_posterior_moments_are_the_codes_and_their_spread(small_digits, prior):
    fitted = small(posterior="gaussian", prior=prior).fit(small_digits)
    mean, std = fitted.posterior_moments(small_digits)
    np.testing.assert_array_equal(mean, fitted.transform(small_digits))
    assert std.shape == (300, 4)
    assert (std > 0).all()


@pytest.mark.parametrize(
    ("method", "with_it", "without"),
    [
        ("predict_cluster", {"prior": "mixture"}, {"method": "bigan"}),
        ("posterior_moments", {"method": "ali"}, {"posterior": "deterministic"}),
    ],
)
def test_methods_that_need_a_kind_of_model_exist_for_it_only(
    small_digits, method, with_it, without
):
    assert hasattr(small(**with_it), method)
    assert not hasattr(small(**without), method)
    # Of a fitted model the model is asked, not the parameters.
    fitted = small(**without).fit(small_digits).set_params(**with_it)
    with pytest.raises(AttributeError) as raised:
        getattr(fitted, method)
    assert f"{method} needs p" in str(raised.value)
    assert hasattr(small(**with_it).fit(small_digits).set_params(**without), method)


def test_samples_of_a_cluster_need_a_mixture(small_digits):
    with pytest.raises(ValueError, match="needs a model trained with prior='mixture'"):
        small(prior="normal").fit(small_digits).sample(cluster=0)


@pytest.mark.parametrize("method", METHODS)
def test_no_epochs_leave_the_networks_untrained(small_digits, method):
    untrained = small(method=method, max_epochs=0).fit(small_digits)
    assert untrained.n_iter_ == 0
    assert untrained.history_ == []
    trained, used = untrained.net_.module_.encoder, untrained.net_.module_.averaged.encoder
    assert all(map(torch.equal, trained.parameters(), used.parameters()))


class Count(Callback):
    epochs = 0

    def on_epoch_end(self, net, **kwargs):
        self.epochs += 1


def test_callbacks_are_used_as_given(small_digits):
    mine = Count()
    fitted = small(callbacks=[("count", mine)]).fit(small_digits)
    assert mine.epochs == 2
    fitted.partial_fit(small_digits)
    assert mine.epochs == 3
    assert dict(fitted.net_.callbacks_)["count"] is mine


def trained(digits: np.ndarray, epochs: int, method: str, seed: int) -> BiGANTransformer:
    settings = {"n_components": 16, "hidden_layer_sizes": (64,), "learning_rate": 1e-3}
    return small(method=method, max_epochs=epochs, random_state=seed, **settings).fit(digits)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["bigan", "latent_regression"])
def test_training_gives_samples_the_spread_of_the_data(digits, method):
    def gap(epochs: int) -> float:
        sample = trained(digits, epochs, method, seed=0).sample(1797, random_state=0)
        return np.abs(sample.std(axis=0) - digits.std(axis=0)).mean()

    # measured over 3 seeds: 0.18 untrained; 0.04 to 0.05 and 0.04
    assert gap(30) < 0.5 * gap(0)


@pytest.mark.slow
def test_a_latent_regressor_learns_to_reconstruct(digits):
    def median(epochs: int) -> float:
        seeds = range(3)
        return np.median(
            [trained(digits, epochs, "latent_regression", seed).score(digits) for seed in seeds]
        )

    # measured over 3 seeds: -0.03 untrained, 0.30 to 0.37 trained
    assert median(0) < 0.05
    assert median(30) > 0.15


@pytest.mark.slow
def test_rows_of_a_kind_that_was_not_in_the_training_data_score_as_less_normal(digits):
    known = load_digits().target < 3

    def area(epochs: int) -> float:
        scores = small(max_epochs=epochs).fit(digits[known][::2]).score_samples(digits)
        held_out = ~known
        held_out[np.flatnonzero(known)[1::2]] = True
        return roc_auc_score(known[held_out], scores[held_out])

    # measured over 3 seeds: 0.66 to 0.68 untrained, 0.93 to 0.95 trained
    assert area(0) < 0.75
    assert area(20) > 0.85


def test_what_was_learned_stays_where_warnings_are_errors(small_digits):
    estimator = small(learning_rate=1e-7)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ConvergenceWarning):
            estimator.fit(small_digits)
    assert estimator.n_iter_ == 2


def test_codes_are_the_same_whatever_the_scale_of_the_rows(small_digits):
    X, unit = (16 * small_digits - 8).astype(np.float32), 2.0**30  # exact in float32
    model, large = small().fit(X), small().fit(unit * X)
    Z = model.transform(X)
    np.testing.assert_array_equal(large.transform(unit * X), Z)
    np.testing.assert_array_equal(large.inverse_transform(Z), unit * model.inverse_transform(Z))
    drawn, expected = (one.sample(5, random_state=0) for one in (large, model))
    np.testing.assert_array_equal(drawn, unit * expected)
    assert large.score(unit * X) == model.score(X)


def test_pixels_have_one_unit_and_columns_of_a_table_their_own():
    X = 0.6 + np.array([[1], [-1]]) * np.linspace(0.0005, 0.5, 64) ** 3
    units = [
        small(max_epochs=0, image_shape=shape).fit(X).net_.standardizer.scale
        for shape in (None, (8, 8))
    ]
    assert [len(set(scale)) > 1 for scale in units] == [True, False]


@pytest.mark.slow
def test_a_table_in_large_units_far_from_zero_is_learned(small_digits):
    X = 1e6 * small_digits - 1e8
    model = BiGANTransformer(16, random_state=0, device="cpu").fit(X)
    assert model.score(X) > 0.7


def test_threads_may_share_a_model(fitted, small_digits):
    methods = (fitted.transform, fitted.reconstruct, fitted.score_samples)
    expected = [method(small_digits) for method in methods]
    with ThreadPoolExecutor(16) as threads:
        jobs = [threads.submit(method, small_digits) for _ in range(64) for method in methods]
    for job, result in zip(jobs, 64 * expected, strict=True):
        np.testing.assert_array_equal(job.result(), result)
