import copy
import warnings

import numpy as np
import pytest
import torch
from sklearn.exceptions import ConvergenceWarning
from skorch.callbacks import Callback, EarlyStopping
from small import bigan, module_of

from sklearn_bigan import BiGANTransformer, _parameters


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


def test_reconstruct_is_there_and_back(fitted, small_digits):
    np.testing.assert_array_equal(
        fitted.reconstruct(small_digits),
        fitted.inverse_transform(fitted.transform(small_digits)),
    )


def test_score_is_the_share_of_variation_that_reconstruction_keeps(fitted, small_digits):
    X, X_hat = small_digits[:50], fitted.reconstruct(small_digits[:50])
    by_hand = 1 - ((X - X_hat) ** 2).sum() / ((X - small_digits.mean(axis=0)) ** 2).sum()
    assert fitted.score(X) == pytest.approx(by_hand, rel=1e-5)  # float32 sums


def test_score_is_zero_for_a_generator_of_the_mean(fitted, small_digits):
    generator = module_of(fitted).generator
    with torch.no_grad():
        generator.body[-1].weight.zero_()
        generator.bias.zero_()
    assert fitted.score(small_digits) == pytest.approx(0, abs=1e-5)  # float32 sums


def test_score_of_a_constant_x_is_as_r2_score_has_it(fitted):
    mean = np.tile(fitted.mean_.astype(np.float32), (3, 1))
    fitted.mean_ = mean[0].astype(np.float64)
    assert fitted.score(mean) == 0.0
    generator = module_of(fitted).generator
    with torch.no_grad():
        generator.body[-1].weight.zero_()
        generator.bias.zero_()
    assert fitted.score(mean) == 1.0


@pytest.mark.parametrize("inference", ["adversarial", "latent_regression"])
def test_score_samples_is_minus_the_score_of_egbad(small_digits, inference):
    fitted = bigan(inference=inference).fit(small_digits)
    nets, x = module_of(fitted), torch.from_numpy(small_digits)
    with torch.no_grad():
        z_hat = nets.encoder(x)
        x_hat = nets.generator(z_hat)
        z = z_hat if inference == "adversarial" else z_hat[:, :0]
        f, f_hat = nets.discriminator.features(x, z), nets.discriminator.features(x_hat, z)
        anomaly = 0.9 * (x - x_hat).abs().sum(1) + 0.1 * (f - f_hat).abs().sum(1)
    np.testing.assert_allclose(
        fitted.score_samples(small_digits), -anomaly.numpy(), rtol=1e-5
    )  # float32 sums


def test_score_samples_finds_noise_less_normal_than_digits(digits):
    fitted = bigan(max_epochs=10, inference="latent_regression", output_activation="sigmoid")
    noise = np.random.RandomState(0).rand(500, 64).astype(np.float32)
    fitted.fit(digits)
    assert np.median(fitted.score_samples(noise)) < np.median(fitted.score_samples(digits))


def test_samples_come_from_the_random_state(fitted):
    np.testing.assert_array_equal(
        fitted.sample(3, random_state=1), fitted.sample(3, random_state=1)
    )
    assert (fitted.sample(3, random_state=1) != fitted.sample(3, random_state=2)).any()
    assert (fitted.sample(3) != fitted.sample(3)).any()


def test_samples_are_the_generators_and_not_all_alike(fitted):
    X = fitted.sample(200, random_state=0)
    assert (X.std(axis=0) > 0).all()


@pytest.mark.parametrize(("activation", "low", "high"), [("sigmoid", 0, 1), ("tanh", -1, 1)])
def test_samples_stay_in_the_range_of_the_activation(small_digits, activation, low, high):
    X = bigan(output_activation=activation).fit(small_digits).sample(100, random_state=0)
    assert low <= X.min() < X.max() <= high


def test_all_features_are_codes_followed_by_hidden_features(fitted, small_digits):
    codes = fitted.transform(small_digits)
    hidden = fitted.set_params(features="hidden").transform(small_digits)
    both = fitted.set_params(features="all").transform(small_digits)
    np.testing.assert_array_equal(both, np.hstack([codes, hidden]))


def test_inverse_transform_uses_the_leading_columns_of_all_features(fitted, small_digits):
    expected = fitted.inverse_transform(fitted.transform(small_digits))
    fitted.set_params(features="all")
    both = fitted.transform(small_digits)
    np.testing.assert_array_equal(fitted.inverse_transform(both), expected)
    both[:, 4:] = 7
    np.testing.assert_array_equal(fitted.inverse_transform(both), expected)


def test_inverse_transform_of_hidden_features_says_why_not(fitted):
    with pytest.raises(ValueError, match=r"the generator maps z, not hidden features"):
        fitted.set_params(features="hidden").inverse_transform(np.zeros((2, 32)))


def test_inverse_transform_of_the_wrong_width_says_which_is_right(fitted):
    with pytest.raises(ValueError, match=r"Z has 5 columns, but with features='latent'.*gives 4"):
        fitted.inverse_transform(np.zeros((2, 5)))


def test_a_rows_cluster_is_that_of_the_nearest_mean(fitted, small_digits):
    means = module_of(fitted).encoder.prior.means.numpy()
    codes = fitted.transform(small_digits)
    nearest = np.linalg.norm(codes[:, None] - means[None], axis=2).argmin(axis=1)
    np.testing.assert_array_equal(fitted.predict_cluster(small_digits), nearest)


def test_samples_of_a_cluster_are_draws_round_its_mean(fitted):
    prior = module_of(fitted).encoder.prior
    noise = torch.Generator().manual_seed(0)
    samples = fitted.sample(2000, random_state=0, cluster=3)
    z = prior.means[3] + prior.stds[3] * torch.randn(2000, 4, generator=noise)
    gap = samples.mean(axis=0) - fitted.inverse_transform(z.numpy()).mean(axis=0)
    assert np.abs(gap).max() < 0.1 * samples.std()  # standard error 0.03 of it
    assert np.abs(samples - fitted.sample(2000, random_state=0, cluster=4)).max() > 0


@pytest.mark.parametrize("cluster", [-1, 50, 2.0, "all"])
def test_a_cluster_there_is_not_is_refused(fitted, cluster):
    with pytest.raises(
        ValueError, match=r"'cluster' parameter must be an int in the range \[0, 50"
    ):
        fitted.sample(cluster=cluster)


def test_clusters_exist_for_the_mixture_only(small_digits):
    normal = bigan(prior="normal").fit(small_digits)
    assert not hasattr(normal, "predict_cluster")
    with pytest.raises(ValueError, match="needs a model trained with prior='mixture'"):
        normal.sample(cluster=0)


@pytest.mark.parametrize("prior", ["normal", "uniform"])
def test_posterior_moments_are_the_codes_and_their_spread(small_digits, prior):
    fitted = bigan(posterior="gaussian", prior=prior).fit(small_digits)
    mean, std = fitted.posterior_moments(small_digits)
    np.testing.assert_array_equal(mean, fitted.transform(small_digits))
    assert std.shape == (300, 4)
    assert (std > 0).all()


def test_posterior_moments_exist_for_the_gaussian_posterior_only(fitted):
    assert not hasattr(fitted, "posterior_moments")
    assert hasattr(bigan(posterior="gaussian"), "posterior_moments")
    # Of a fitted model the model is asked, not the parameter.
    assert not hasattr(copy.copy(fitted).set_params(posterior="gaussian"), "posterior_moments")
    with pytest.raises(AttributeError) as raised:
        _ = fitted.posterior_moments
    assert "needs posterior='gaussian'" in str(raised.value.__cause__)


@pytest.mark.parametrize("features", ["latent", "hidden", "all"])
def test_one_row_at_a_time_and_all_at_once_give_the_same_codes(fitted, small_digits, features):
    fitted.set_params(features=features)
    together = fitted.transform(small_digits)
    apart = np.vstack([fitted.transform(row[None]) for row in small_digits])
    # float32 rounding of sums of some tens of terms of size 1; measured: no difference at all
    np.testing.assert_allclose(apart, together, rtol=0, atol=1e-6)


def test_chunks_do_not_show(fitted, small_digits, monkeypatch):
    whole = fitted.transform(small_digits)
    monkeypatch.setattr("sklearn_bigan._inference.CHUNK_ROWS", 299)
    np.testing.assert_allclose(fitted.transform(small_digits), whole, rtol=0, atol=1e-6)


def test_networks_are_wider_where_rows_are_many(monkeypatch, small_digits):
    monkeypatch.setattr(_parameters, "MANY_ROWS", 100)
    estimator = BiGANTransformer(2, max_epochs=0, random_state=0)
    assert estimator.fit(small_digits[:99]).net_.averaged_.encoder.n_hidden == 256
    assert estimator.fit(small_digits[:100]).net_.averaged_.encoder.n_hidden == 512


def test_no_epochs_leave_the_networks_untrained(small_digits):
    untrained = bigan(max_epochs=0).fit(small_digits)
    assert untrained.n_iter_ == 0
    assert untrained.history_ == []
    assert untrained.transform(small_digits).shape == (300, 4)


def test_callbacks_are_called_on_a_copy(small_digits):
    class Count(Callback):
        epochs = 0

        def on_epoch_end(self, net, **kwargs):
            self.epochs += 1

    mine = Count()
    fitted = bigan(callbacks=[mine]).fit(small_digits)
    (used,) = [c for _, c in fitted.net_.callbacks_ if isinstance(c, Count)]
    assert used.epochs == 2
    assert mine.epochs == 0


def test_early_stopping_of_skorch_ends_a_fit_without_an_error(small_digits):
    # No loss falls by 10 in an epoch: the first counts as best, and two more are waited for.
    stop = EarlyStopping(
        "discriminator_loss", patience=2, threshold=10, threshold_mode="abs", sink=lambda text: None
    )
    fitted = bigan(callbacks=[stop], max_epochs=20).fit(small_digits)
    assert fitted.n_iter_ == 3
    assert fitted.transform(small_digits).shape == (300, 4)


def test_nothing_is_printed_otherwise(small_digits, capsys, monkeypatch):
    # ray puts a print of its own in place of Python's, which skorch takes for a sink of the user's.
    built_in = print
    monkeypatch.setattr("builtins.print", lambda *args, **kwargs: built_in(*args, **kwargs))
    bigan().fit(small_digits)
    assert capsys.readouterr().out == ""


def test_verbose_prints_the_losses(small_digits, capsys):
    bigan(verbose=1).fit(small_digits)
    printed = capsys.readouterr().out
    assert "discriminator_loss" in printed
    bigan().fit(small_digits)
    assert capsys.readouterr().out == ""


def trained(digits: np.ndarray, epochs: int, inference: str, seed: int) -> BiGANTransformer:
    return BiGANTransformer(
        inference=inference,
        hidden_layer_sizes=(64,),
        output_activation="sigmoid",
        learning_rate=1e-3,
        max_epochs=epochs,
        random_state=seed,
    ).fit(digits)


@pytest.mark.parametrize("inference", ["adversarial", "latent_regression"])
def test_training_gives_samples_the_spread_of_the_data(digits, inference):
    def gap(epochs: int) -> float:
        sample = trained(digits, epochs, inference, seed=0).sample(1797, random_state=0)
        return np.abs(sample.std(axis=0) - digits.std(axis=0)).mean()

    # measured over 3 seeds: 0.20 untrained; 0.07 to 0.12 (adversarial), 0.03 to 0.04
    assert gap(30) < 0.75 * gap(0)


def test_a_latent_regressor_learns_to_reconstruct(digits):
    def median(epochs: int) -> float:
        seeds = range(3)
        return np.median(
            [trained(digits, epochs, "latent_regression", seed).score(digits) for seed in seeds]
        )

    # measured over 3 seeds: 0.00 untrained, 0.18 to 0.31 trained
    assert median(0) < 0.05
    assert median(30) > 0.15


def test_what_was_learned_stays_where_warnings_are_errors(small_digits):
    estimator = bigan(learning_rate=1e-7)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ConvergenceWarning):
            estimator.fit(small_digits)
    assert estimator.n_iter_ == 2


def test_clusters_are_asked_of_the_model_there_is(small_digits):
    normal = bigan(prior="normal").fit(small_digits).set_params(prior="mixture")
    assert not hasattr(normal, "predict_cluster")


def test_codes_are_the_same_whatever_the_scale_of_the_rows(small_digits):
    X, unit = (16 * small_digits - 8).astype(np.float32), 2.0**30  # exact in float32
    small, large = bigan().fit(X), bigan().fit(unit * X)
    Z = small.transform(X)
    np.testing.assert_array_equal(large.transform(unit * X), Z)
    np.testing.assert_array_equal(large.inverse_transform(Z), unit * small.inverse_transform(Z))
    drawn, expected = (model.sample(5, random_state=0) for model in (large, small))
    np.testing.assert_array_equal(drawn, unit * expected)
    assert large.score(unit * X) == small.score(X)


@pytest.mark.parametrize("times", [1e3, 1e9])  # lengths and areas; shares, and seconds since 1970
def test_a_column_of_a_table_counts_for_three_times_the_median_one_at_most(times):
    stds = np.zeros(64)  # most columns are constant, and none to compare with
    stds[:4] = 0.5, 0.5, 0.5, times / 2
    X = 1 + np.array([[1], [-1]]) * stds
    units = bigan(max_epochs=0).fit(X).net_.x_unit
    common = 0.5 * np.sqrt((3 + 3**2) / 64)
    np.testing.assert_allclose(units, common * np.where(stds > 0.5, times / 3, 1), rtol=1e-6)


@pytest.mark.parametrize("settings", [{"output_activation": "sigmoid"}, {"image_shape": (8, 8)}])
def test_columns_of_one_range_have_one_unit(settings):
    X = 0.5 + np.array([[1], [-1]]) * np.linspace(0.0005, 0.5, 64) ** 3
    units = bigan(max_epochs=0, **settings).fit(X).net_.x_unit
    np.testing.assert_allclose(units, np.sqrt(X.var(axis=0).mean()), rtol=1e-6)


@pytest.mark.slow
def test_a_table_in_large_units_far_from_zero_is_learned(small_digits):
    X = 1e6 * small_digits - 1e8
    model = BiGANTransformer(16, random_state=0).fit(X)
    assert model.score(X) > 0.7
