"""Scores of a fitted BiGANTransformer that need no labels, for model selection.

Each is a function of an estimator and of X, as `scoring` of GridSearchCV and cross_val_score takes
it; higher is better. The estimator is a BiGANTransformer or a Pipeline that ends in one. X should
be held out: rows of the training score better than new ones. The scores look at X as the
BiGANTransformer sees it, behind the steps of the pipeline before it: scale columns of different
units there.
"""

from typing import Any

import numpy as np
import torch
from sklearn.manifold import trustworthiness
from sklearn.neighbors import NearestNeighbors
from sklearn.pipeline import Pipeline

from sklearn_bigan._data.rows import dense
from sklearn_bigan._parameters import draw_seed
from sklearn_bigan._runtime.settings import numpy_settings
from sklearn_bigan._transformer import BiGANTransformer

__all__ = ["prior_score", "reconstruction_score", "sample_score", "trustworthiness_score"]

# The time and memory of the scores by nearest neighbours grow with the square of the rows.
MAX_ROWS = 1000


def reconstruction_score(estimator: Any, X: Any, y: Any = None) -> float:
    """Share of the variation of X that the reconstruction G(E(x)) explains (R^2).

    1 - sum (x - G(E(x)))^2 / sum (x - mean)^2, with the mean of the training data: what
    `BiGANTransformer.score` returns, and the default of GridSearchCV. It mostly grows with
    `n_components`, as that of PCA does.

    Parameters
    ----------
    estimator : BiGANTransformer or Pipeline
        A fitted estimator, or a fitted Pipeline that ends in one.
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Held-out rows.
    y : None
        Ignored.

    Returns
    -------
    score : float
        At most 1, which is perfect. 0 is no better than the mean.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn_bigan import BiGANTransformer
    >>> from sklearn_bigan.metrics import reconstruction_score
    >>> X = load_digits().data / 16
    >>> bigan = BiGANTransformer(8, max_epochs=2, random_state=0).fit(X[:1500])
    >>> reconstruction_score(bigan, X[1500:]) == bigan.score(X[1500:])
    True
    """
    bigan, X = _behind_pipeline(estimator, X)
    return bigan.score(X)


@numpy_settings()
def sample_score(estimator: Any, X: Any, y: Any = None, *, random_state: Any = 0) -> float:
    """How hard it is to tell samples from rows, by a classifier two-sample test.

    ``1 - |2 a - 1|``, where a is the leave-one-out accuracy of a 1-nearest-neighbour classifier
    that separates rows of X from as many samples [1]_. If samples and rows have the same
    distribution, a is 0.5. a is 1 if they lie apart, and near 0 if each row has a sample beside
    it, as where samples copy rows. Of more than 1000 rows 1000 are drawn.

    Parameters
    ----------
    estimator : BiGANTransformer or Pipeline
        A fitted estimator, or a fitted Pipeline that ends in one.
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Held-out rows.
    y : None
        Ignored.
    random_state : int, RandomState instance or None, default=0
        Determines the samples, and which rows are used.

    Returns
    -------
    score : float
        From 0, samples and rows are told apart without error, to 1, they cannot be told apart. With
        few rows it varies from draw to draw.

    References
    ----------
    .. [1] Lopez-Paz, Oquab. Revisiting Classifier Two-Sample Tests. ICLR 2017, arXiv:1610.06545.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.model_selection import GridSearchCV
    >>> from sklearn_bigan import BiGANTransformer
    >>> from sklearn_bigan.metrics import sample_score
    >>> X = load_digits().data / 16
    >>> bigan = BiGANTransformer(max_epochs=2, random_state=0)
    >>> search = GridSearchCV(bigan, {"n_components": [2, 8]}, scoring=sample_score, cv=2)
    >>> search.fit(X).best_params_["n_components"] in (2, 8)
    True
    """
    bigan, X = _behind_pipeline(estimator, X)
    seed = draw_seed(random_state)
    X = _some(bigan._rows(X), seed)
    return _indistinguishable(X, bigan.sample(len(X), random_state=seed))


@numpy_settings()
def prior_score(estimator: Any, X: Any, y: Any = None, *, random_state: Any = 0) -> float:
    """How hard it is to tell codes from draws of the prior, by a classifier two-sample test.

    The test of `sample_score`, on the codes of X and as many draws from the prior. A mixture prior
    is used as `sample` uses it: fitted to the training codes. If codes and prior differ, samples
    come from codes that G has hardly seen in training. Codes are drawn from q(z | x): with a
    deterministic posterior they are those of `transform`, whatever `features`.

    Parameters
    ----------
    estimator : BiGANTransformer or Pipeline
        A fitted estimator, or a fitted Pipeline that ends in one.
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Held-out rows.
    y : None
        Ignored.
    random_state : int, RandomState instance or None, default=0
        Determines the draws, and which rows are used.

    Returns
    -------
    score : float
        From 0, codes and prior are told apart without error, to 1, they cannot be told apart.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn_bigan import BiGANTransformer
    >>> from sklearn_bigan.metrics import prior_score
    >>> X = load_digits().data / 16
    >>> bigan = BiGANTransformer(8, max_epochs=2, random_state=0).fit(X[:1500])
    >>> 0 <= prior_score(bigan, X[1500:]) <= 1
    True
    """
    bigan, X = _behind_pipeline(estimator, X)
    seed = draw_seed(random_state)
    X = _some(bigan._rows(X), seed)
    draws = bigan.net_.draw_codes(len(X), seed, None)
    return _indistinguishable(_posterior_draws(bigan, X, seed), draws)


@numpy_settings()
def trustworthiness_score(
    estimator: Any, X: Any, y: Any = None, *, n_neighbors: int = 5, random_state: Any = 0
) -> float:
    """Share of neighbourhoods that codes keep: the trustworthiness of the codes.

    1 - 2 / (n k (2 n - 3 k - 1)) sum_i sum_j max(0, r(i, j) - k), over the k nearest neighbours j
    of the code of row i, where x_j is the r(i, j)-th nearest row to x_i [1]_: rows whose codes
    are near each other should be near each other, too. Distances are Euclidean. Codes are those of
    `transform` with ``features="latent"``. Of more than 1000 rows 1000 are drawn.

    Parameters
    ----------
    estimator : BiGANTransformer or Pipeline
        A fitted estimator, or a fitted Pipeline that ends in one.
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Held-out rows, more than twice `n_neighbors`.
    y : None
        Ignored.
    n_neighbors : int, default=5
        The number k of nearest neighbours.
    random_state : int, RandomState instance or None, default=0
        Determines which rows are used.

    Returns
    -------
    score : float
        From 0 to 1, where all neighbours are kept; codes at random have about 0.5.

    See Also
    --------
    sklearn.manifold.trustworthiness : The same for two arrays.

    References
    ----------
    .. [1] Venna, Kaski. Neighborhood Preservation in Nonlinear Projection Methods: An Experimental
       Study. ICANN 2001.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn_bigan import BiGANTransformer
    >>> from sklearn_bigan.metrics import trustworthiness_score
    >>> X = load_digits().data / 16
    >>> bigan = BiGANTransformer(8, max_epochs=2, random_state=0).fit(X[:1500])
    >>> trustworthiness_score(bigan, X[1500:]) > 0.5
    True
    """
    bigan, X = _behind_pipeline(estimator, X)
    X = _some(bigan._rows(X), draw_seed(random_state))
    return float(trustworthiness(X, bigan.net_.predict(X), n_neighbors=n_neighbors))


def _behind_pipeline(estimator: Any, X: Any) -> tuple[BiGANTransformer, Any]:
    """Return the BiGANTransformer, and X as the steps before it transform it."""
    while isinstance(estimator, Pipeline):
        if len(estimator) > 1:
            X = estimator[:-1].transform(X)
        estimator = estimator[-1]
    if not isinstance(estimator, BiGANTransformer):
        raise TypeError(
            f"The 'estimator' parameter must be a BiGANTransformer or a Pipeline that ends in one. "
            f"Got {type(estimator).__name__}."
        )
    return estimator, X


def _some(X: Any, seed: int) -> np.ndarray:
    """Return all rows, or so many that the scores can be computed, as an array."""
    n_rows = X.shape[0]
    if n_rows <= MAX_ROWS:
        return dense(X)
    return dense(X[np.sort(np.random.default_rng(seed).permutation(n_rows)[:MAX_ROWS])])


def _posterior_draws(bigan: BiGANTransformer, X: np.ndarray, seed: int) -> np.ndarray:
    """Draw a code from q(z | x) for each row."""
    encoder = bigan.net_.module_.averaged.encoder
    if not encoder.gaussian:
        return bigan.net_.predict(X)

    def location_and_scale(x: torch.Tensor) -> torch.Tensor:
        return torch.cat(encoder.posterior(encoder.hidden(x)), dim=1)

    location, scale = np.split(bigan.net_.map_rows(location_and_scale, X), 2, axis=1)
    eps = np.random.default_rng(seed).standard_normal(location.shape, dtype=np.float32)
    return encoder.prior.squash(torch.from_numpy(location + scale * eps)).numpy()


def _indistinguishable(A: np.ndarray, B: np.ndarray) -> float:
    """Return ``1 - |2 a - 1|``, where a is the leave-one-out accuracy of 1-NN on two samples."""
    rows, origin = np.concatenate([A, B]), np.repeat([0, 1], [len(A), len(B)])
    # Distances are differences of squares, which a far origin would leave nothing of.
    rows = rows - rows.mean(axis=0, dtype=np.float64)
    # Without query rows a row is not its own neighbour.
    found = NearestNeighbors(n_neighbors=1).fit(rows).kneighbors(return_distance=False)
    accuracy = np.mean(origin[found.ravel()] == origin)
    return float(1 - abs(2 * accuracy - 1))
