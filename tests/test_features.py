"""What the estimator is for: its codes are worth more than PCA's where labels are few."""

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_bigan import BiGANTransformer

X, y = load_digits(return_X_y=True)
X_TRAIN, X_TEST, Y_TRAIN, Y_TEST = train_test_split(
    X / 16, y, test_size=0.3, stratify=y, random_state=0
)


def accuracy(features) -> float:
    """Accuracy with 100 labels, the mean over ten draws of them."""
    Z_train, Z_test = features.transform(X_TRAIN), features.transform(X_TEST)
    accuracies = []
    for draw in range(10):
        labelled, _ = train_test_split(
            np.arange(len(Y_TRAIN)), train_size=100, stratify=Y_TRAIN, random_state=draw
        )
        probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=200))
        probe.fit(Z_train[labelled], Y_TRAIN[labelled])
        accuracies.append(probe.score(Z_test, Y_TEST))
    return float(np.mean(accuracies))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_with_few_labels_codes_of_digits_beat_those_of_pca_and_of_the_untrained_encoder(seed):
    default = BiGANTransformer(random_state=seed, device="cpu")
    ours = accuracy(default.fit(X_TRAIN))
    # measured: 0.96 against 0.88 and 0.69
    assert ours > accuracy(PCA(16, random_state=0).fit(X_TRAIN)) + 0.05
    assert ours > accuracy(default.set_params(max_epochs=0).fit(X_TRAIN)) + 0.15
