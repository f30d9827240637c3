import pytest
import sklearn
from factories import METHODS
from sklearn.utils.estimator_checks import check_estimator, estimator_checks_generator
from torch import nn

from sklearn_bigan import BiGANOutlierDetector, BiGANTransformer
from sklearn_bigan.networks import dcgan


class Body(nn.Sequential):
    """An encoder of the user's, with dropout: randomness that takes no generator."""

    def __init__(self, n_features, latent_dim):
        super().__init__(nn.Linear(n_features, 8), nn.Dropout(0.1), nn.ReLU())


# The checks bring tables of all widths. Zeros make images of them, and are cut off again.
PIXELS = {"n_features": 64, "image_shape": (8, 8, 1)}


class Padded(nn.Module):
    """One of the convolutional bodies, for rows of any width up to 64."""

    def __init__(self, body, n_features, latent_dim):
        super().__init__()
        self.body = body(latent_dim=latent_dim, **PIXELS)
        self.n_features = n_features

    def forward(self, x, *z):
        return self.body(nn.functional.pad(x, (0, 64 - self.n_features)), *z)


class PaddedEncoder(Padded):
    def __init__(self, n_features, latent_dim):
        super().__init__(dcgan.encoder_body, n_features, latent_dim)


class CutGenerator(Padded):
    def __init__(self, n_features, latent_dim):
        super().__init__(dcgan.GeneratorBody, n_features, latent_dim)

    def forward(self, z):
        return self.body(z)[:, : self.n_features]


class PaddedDiscriminator(Padded):
    row_independent = True

    def __init__(self, n_features, latent_dim):
        super().__init__(dcgan.DiscriminatorBody, n_features, latent_dim)


CONVOLUTIONAL = {
    "encoder": PaddedEncoder,
    "generator": CutGenerator,
    "discriminator": PaddedDiscriminator,
}
FEW = {"max_epochs": 3}
ESTIMATORS = [
    # Ten times as long as the others. By default the tables of the checks are trained on for a
    # hundred epochs and more, which takes five minutes.
    pytest.param(BiGANTransformer(max_epochs=30), marks=pytest.mark.slow),
    *(BiGANTransformer(method=method, **FEW) for method in METHODS),
    BiGANTransformer(posterior="gaussian", **FEW),
    BiGANTransformer(prior="normal", **FEW),
    BiGANTransformer(prior="uniform", **FEW),
    BiGANTransformer(prior="uniform", posterior="gaussian", **FEW),
    BiGANTransformer(output_activation="identity", **FEW),
    BiGANTransformer(features="hidden", **FEW),
    BiGANTransformer(features="all", **FEW),
    BiGANTransformer(hidden_layer_sizes=(512,), **FEW),
    BiGANTransformer(n_neighbors=0, **FEW),
    BiGANTransformer(network={"encoder": Body}, **FEW),
    BiGANTransformer(network=CONVOLUTIONAL, **FEW),
    BiGANOutlierDetector(BiGANTransformer(**FEW)),
    BiGANOutlierDetector(BiGANTransformer(**FEW), distance="hidden", trim=0.1),
]


def skipped_by_scikit_learn(result) -> bool:
    return result["status"] == "skipped" and "SCIPY_ARRAY_API is not set" in str(
        result["exception"]
    )


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda e: repr(e).partition("(")[2])
def test_every_check_of_scikit_learn_passes_and_none_is_expected_to_fail(estimator):
    results = check_estimator(estimator, on_skip=None, on_fail=None)
    bad = [
        (result["check_name"], result["exception"])
        for result in results
        if result["status"] != "passed" and not skipped_by_scikit_learn(result)
    ]
    assert not bad
    if sklearn.__version__.startswith("1.9."):
        assert len(results) == 47
    assert len(results) == len(list(estimator_checks_generator(estimator)))
