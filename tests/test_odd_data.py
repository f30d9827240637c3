"""Odd data: what the documentation says of them holds."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from factories import small
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from test_numerics import plane

from sklearn_bigan import BiGANTransformer


def r2(X: np.ndarray, X_hat: np.ndarray) -> float:
    return float(1 - np.square(X - X_hat).sum() / np.square(X - X.mean(0)).sum())


def r2_of_pca(X: np.ndarray, n_components: int) -> float:
    pca = PCA(n_components, svd_solver="full").fit(X)
    return r2(X, pca.inverse_transform(pca.transform(X)))


def changed(X: np.ndarray, place: Any, value: float) -> np.ndarray:
    X = X.copy()
    X[place] = value
    return X


def nearly_constant() -> np.ndarray:
    """Return rows with four columns that are zero but in 1 % of the rows, standardised."""
    random = np.random.default_rng(0)
    X = plane()
    for column in range(4, 8):
        X[:, column] = 0
        X[random.choice(300, 3, replace=False), column] = 3 + random.normal(size=3)
    return StandardScaler().fit_transform(X)


def wide() -> np.ndarray:
    random = np.random.default_rng(0)
    X = random.normal(size=(100, 2)) @ random.normal(size=(2, 20_000))
    return X + 0.1 * random.normal(size=X.shape)


def counts() -> np.ndarray:
    return np.random.default_rng(0).poisson(np.exp(plane() - 2))


@dataclass(frozen=True)
class Odd:
    """Rows to fit, and what is to come of it."""

    rows: Callable[[], np.ndarray]
    # R^2 at least, and at most this far below that of PCA.
    score: float = 0.9
    below_pca: float = 0.05
    # Rows, of those given, that count for the score: the others are the odd ones.
    counted: slice = field(default_factory=lambda: slice(None))
    parameters: dict[str, Any] = field(default_factory=dict)


FITTED = {
    "constant columns": Odd(lambda: np.column_stack([plane(), np.full((300, 3), 7.5)])),
    "duplicated rows": Odd(lambda: np.repeat(plane(60), 5, axis=0)),
    "a wrong entry": Odd(lambda: changed(plane(), (0, 3), 1e6), counted=slice(1, None)),
    "a wrong row": Odd(lambda: changed(plane(1000), 0, 1e6), below_pca=0.1, counted=slice(1, None)),
    "two units": Odd(lambda: plane() * ([1e-8] * 4 + [1e8] * 4)),
    "nearly constant": Odd(nearly_constant, score=0.5),
    "counts": Odd(counts, below_pca=0.1, parameters={"max_epochs": 80}),
    "two rows": Odd(lambda: plane(2), score=0.5, below_pca=0.5, parameters={"max_epochs": 300}),
    "learning rate of 0.1": Odd(plane, parameters={"learning_rate": 0.1}),
}


@pytest.mark.parametrize("name", FITTED)
def test_a_model_of_odd_rows_is_sane(name):
    odd = FITTED[name]
    X = odd.rows()
    parameters = {"n_components": 2, "hidden_layer_sizes": (64,), "max_epochs": 30}
    model = small(**parameters | odd.parameters)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.fit(X)
    kept = X[odd.counted]
    score = r2(kept, model.reconstruct(kept))
    assert score > odd.score
    assert score > r2_of_pca(kept, 2) - odd.below_pca
    Z = model.transform(X)
    assert np.isfinite(Z).all()
    # The same row has the same code, different rows have different ones, and they are spread.
    assert len(np.unique(Z, axis=0)) == len(np.unique(X, axis=0))
    if len(X) > 2:
        assert (Z[odd.counted].std(axis=0) > 0.3).all()


# Odd fits that warn or fail, and the remedy that the message names.
TROUBLED = {
    "all rows equal": (
        lambda: np.full((300, 8), 3.7),
        {},
        ConvergenceWarning,
        "All rows of X are equal.*Check how X was made",
        (plane, {}),
    ),
    "few wide rows, few epochs": (
        wide,
        {"max_epochs": 2},
        ConvergenceWarning,
        "collapsed|do not invert each other.*Train for longer",
        (wide, {"max_epochs": 20}),
    ),
    "learning rate of 1000": (
        plane,
        {"learning_rate": 1e3},
        ValueError,
        r"Training diverged.*Lower learning_rate \(currently 1000\)",
        (plane, {"learning_rate": "auto"}),
    ),
    "one row": (
        lambda: plane(1),
        {},
        ValueError,
        "minimum of 2 is required",
        (lambda: plane(2), {}),
    ),
}


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[pytest.mark.slow] if "wide" in name else []) for name in TROUBLED],
)
def test_one_message_names_the_cause_and_its_remedy_helps(name):
    rows, parameters, category, message, (other_rows, changes) = TROUBLED[name]
    base = {"n_components": 2, "hidden_layer_sizes": (64,), "max_epochs": 30}
    model = small(**base | parameters)
    X = rows()
    if issubclass(category, Warning):
        with pytest.warns(category, match=message) as caught:
            model.fit(X)
        assert [warning.filename for warning in caught] == [__file__]
    else:
        with pytest.raises(category, match=message):
            model.fit(X)
    X = other_rows()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.set_params(**changes).fit(X)
    assert model.score(X) > 0.2


# Rows that are far from the training data, at transform.


@pytest.fixture(scope="module")
def models() -> dict[str, tuple[BiGANTransformer, np.ndarray]]:
    X = plane()
    bounded = MinMaxScaler().fit_transform(X)
    base = {"n_components": 2, "hidden_layer_sizes": (64,), "max_epochs": 10}
    return {
        "identity": (small(**base).fit(X), X),
        "sigmoid": (small(output_activation="sigmoid", **base).fit(bounded), bounded),
    }


@pytest.mark.parametrize("value", [1e6, 1e20, 1e38])
@pytest.mark.parametrize("activation", ["identity", "sigmoid"])
def test_a_far_row_at_transform_leaves_the_codes_of_the_others(models, activation, value):
    model, X = models[activation]
    others = np.arange(len(X)) != 7
    before = model.transform(X)[others]
    if activation == "identity":
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            Z = model.transform(changed(X, 7, value))
    else:
        with pytest.warns(UserWarning, match="Scale X as the training data were") as caught:  # noqa: PT031
            if value == 1e38:
                with pytest.raises(ValueError, match="Row 7 is too far from the training data"):
                    model.transform(changed(X, 7, value))
                Z = None
            else:
                Z = model.transform(changed(X, 7, value))
        assert [warning.filename for warning in caught] == [__file__]
    if Z is not None:
        assert np.isfinite(Z).all()
        np.testing.assert_array_equal(Z[others], before)
        # The far row is far in the space of codes, too.
        assert np.abs(Z[7]).max() > np.abs(before).max()
    # What both messages advise: the units of the training data, here by clipping.
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        clipped = np.clip(changed(X, 7, value), X.min(axis=0), X.max(axis=0))
        assert np.isfinite(model.transform(clipped)).all()
