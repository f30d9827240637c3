"""An outlier detector on top of BiGANTransformer."""

from numbers import Real
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, OutlierMixin, _fit_context, clone
from sklearn.utils import gen_batches
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import validate_data

from sklearn_bigan._anomaly import AnomalyScore
from sklearn_bigan._data.rows import check_kind, checked_rows, unweighted
from sklearn_bigan._forest import ForestScore
from sklearn_bigan._parameters import draw_seed
from sklearn_bigan._runtime.inference import chunk_rows
from sklearn_bigan._runtime.memory import explains_memory_of_use
from sklearn_bigan._runtime.settings import numpy_settings
from sklearn_bigan._transformer import BiGANTransformer

# Distances of the parameter `distance`. "combined" counts the isolation forest's score, too.
DISTANCES_OF = {
    "combined": ("columns", "egbad", "hidden"),
    "hidden": ("hidden",),
    "egbad": ("egbad",),
}

# Tukey's fence: a row is an outlier if its score is further below the lower quartile of the
# training rows' than this multiple of their interquartile range.
FENCE = 1.5


class BiGANOutlierDetector(OutlierMixin, BaseEstimator):
    """Outliers of tables and images: rows that networks trained on the others explain badly.

    `fit` trains a `BiGANTransformer` and measures how far rows are from what it has learned. The
    user guide has the figures, and says when another detector is the better choice.

    Parameters
    ----------
    transformer : BiGANTransformer or None, default=None
        The networks to train; `fit` trains a clone. None is ``BiGANTransformer()``. For images pass
        one with an `image_shape`.
    distance : {"auto", "combined", "hidden", "egbad"}, default="auto"
        What a row's score is. "hidden" is its Mahalanobis distance in the encoder's hidden
        features. "egbad" is a weighted sum of its reconstruction error and of the distance between
        the row and its reconstruction in the discriminator's features [1]_. "combined" is the mean
        of four parts: these two, the deviation of the columns from their medians, and the score of
        an isolation forest [2]_. Each part is the logarithm, centred and divided by its spread over
        the training rows. "auto" is "hidden" for images and "combined" for tables.
    trim : float, default=0.0
        Share of the rows of X, from 0 to below 0.5, that the networks are not trained on: those
        that an isolation forest finds least normal. It helps where outliers are far away in single
        columns, and costs where the rows are normal or where outliers are odd only in how their
        columns go together, which the forest does not see.
    contamination : "auto" or float, default="auto"
        Which rows `predict` calls outliers. A float in (0, 0.5]: that share of the training rows,
        those with the lowest scores. "auto" is Tukey's fence: rows whose score is further below the
        lower quartile of the training rows' scores than 1.5 times their interquartile range.
    random_state : int, RandomState instance or None, default=None
        Determines the isolation forest, and the networks unless `transformer` has a
        `random_state`.

    Attributes
    ----------
    transformer_ : BiGANTransformer
        The trained networks.
    offset_ : float
        The score below which `predict` calls a row an outlier.
    n_features_in_ : int
        Number of columns of X.
    feature_names_in_ : ndarray of shape (n_features,)
        Names of the columns, if X is a data frame whose column names are all strings.

    See Also
    --------
    BiGANTransformer.score_samples : EGBAD's score of a transformer.
    sklearn.ensemble.IsolationForest : Takes a second, and is as good on many tables.

    Notes
    -----
    For outlier detection X holds outliers, and `fit_predict` or the scores of X say which rows they
    are. For novelty detection X holds normal rows only, and the question is about new rows. Both
    are done by the same methods, on training rows and on new ones. Scale columns of different units
    first, as for `BiGANTransformer`.

    References
    ----------
    .. [1] Zenati et al., "Efficient GAN-Based Anomaly Detection", 2018, arXiv:1802.06222.
    .. [2] Liu, Ting and Zhou, "Isolation Forest", ICDM 2008.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_wine
    >>> from sklearn_bigan import BiGANOutlierDetector, BiGANTransformer
    >>> X = load_wine().data
    >>> bigan = BiGANTransformer(4, max_epochs=20, random_state=0)
    >>> detector = BiGANOutlierDetector(bigan, random_state=0).fit(X)
    >>> odd = np.median(X, axis=0)
    >>> odd[3] = 90  # the alkalinity of the ash; the highest of X is 30
    >>> detector.predict([odd])
    array([-1])
    >>> int(detector.explain([odd]).argmax())
    3
    """

    _parameter_constraints = {  # noqa: RUF012 - as scikit-learn has it
        "transformer": [BiGANTransformer, None],
        "distance": [StrOptions({"auto", *DISTANCES_OF})],
        "trim": [Interval(Real, 0, 0.5, closed="left")],
        "contamination": [StrOptions({"auto"}), Interval(Real, 0, 0.5, closed="right")],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        transformer: BiGANTransformer | None = None,
        *,
        distance: str = "auto",
        trim: float = 0.0,
        contamination: str | float = "auto",
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.transformer = transformer
        self.distance = distance
        self.trim = trim
        self.contamination = contamination
        self.random_state = random_state

    @unweighted
    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X: Any, y: Any = None) -> Self:
        """Train the networks, and find the threshold.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            At least two finite rows, with outliers among them or not. Sparse rows must be made
            dense first.
        y : None
            Ignored.

        Returns
        -------
        self : BiGANOutlierDetector
            The fitted detector.

        Raises
        ------
        ValueError
            If a parameter or X is out of range, or if training diverges.
        """
        # Everything happens on a copy: a failure, Ctrl-C included, changes nothing.
        trial = object.__new__(type(self))
        trial.__dict__.update(vars(self))
        trial._fit(X)
        self.__dict__ = trial.__dict__
        return self

    def _fit(self, X: Any) -> None:
        check_kind(X)
        X = validate_data(self, X, ensure_min_samples=2)
        seed = draw_seed(self.random_state)
        is_table = self.transformer is None or self.transformer.image_shape is None
        kind = self.distance
        if kind == "auto":
            kind = "combined" if is_table else "hidden"
        n_left_out = min(round(self.trim * len(X)), len(X) - 2)
        forest, normal = None, X
        if kind == "combined" or n_left_out:
            with numpy_settings():
                forest = ForestScore.fit(X, seed)
        if forest is not None and n_left_out:
            oddest_first = np.argsort(-forest(X), kind="stable")
            normal = X[np.sort(oddest_first[n_left_out:])]

        transformer = BiGANTransformer() if self.transformer is None else clone(self.transformer)
        if transformer.random_state is None and self.random_state is not None:
            transformer.set_params(random_state=seed)
        self.transformer_ = transformer.fit(normal)
        if hasattr(self, "feature_names_in_"):
            self.transformer_.feature_names_in_ = self.feature_names_in_
        self._fit_score(kind, forest if kind == "combined" else None, normal, seed)
        self.offset_ = self._threshold(self._score_samples(X))

    @explains_memory_of_use
    @numpy_settings()
    def _fit_score(
        self, kind: str, forest: ForestScore | None, normal: np.ndarray, seed: int
    ) -> None:
        self._median = np.median(normal, axis=0).astype(np.float64)
        names = DISTANCES_OF[kind]
        self._score = AnomalyScore.fit(self.transformer_.net_, names, forest, normal, seed)
        self._usual = self._usual_score(np.percentile(normal, 75, axis=0))

    def _usual_score(self, quartile: np.ndarray) -> float:
        """Return the score of the row of all medians with a usual value in one column.

        The median over columns, or some of many, of the score with the upper quartile. Medians
        alone would not do: their distance is zero, whose logarithm is like no other row's.
        """
        varied = np.flatnonzero(quartile != self._median)
        varied = varied[:: len(varied) // chunk_rows(len(quartile)) + 1]
        rows = np.tile(self._median, (max(1, len(varied)), 1))
        rows[np.arange(len(varied)), varied] = quartile[varied]
        return float(np.median(self._score_samples(rows)))

    def _threshold(self, scores: np.ndarray) -> float:
        if self.contamination != "auto":
            return float(np.percentile(scores, 100 * float(self.contamination)))
        low, high = np.percentile(scores, (25, 75))
        return float(low - FENCE * (high - low))

    def score_samples(self, X: Any) -> np.ndarray:
        """Return how normal each row is.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Finite rows.

        Returns
        -------
        scores : ndarray of shape (n_samples,), dtype float64
            Higher is more normal. The median of the rows that the networks were trained on is
            about 0; differences are in units of the spread of their scores.
        """
        return self._score_samples(checked_rows(self, X))

    @explains_memory_of_use
    def _score_samples(self, X: np.ndarray) -> np.ndarray:
        return -self._score(self.transformer_.net_, X)

    def decision_function(self, X: Any) -> np.ndarray:
        """Return `score_samples` minus `offset_`: below 0 for outliers.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Finite rows.

        Returns
        -------
        decision : ndarray of shape (n_samples,), dtype float64
            Negative for outliers, the lower the odder.
        """
        return self.score_samples(X) - self.offset_

    def predict(self, X: Any) -> np.ndarray:
        """Return which rows are outliers.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Finite rows.

        Returns
        -------
        labels : ndarray of shape (n_samples,), dtype int
            -1 for outliers, 1 for the others.
        """
        return np.where(self.decision_function(X) < 0, -1, 1)

    def explain(self, X: Any) -> np.ndarray:
        """Return the contribution of each column, or pixel, to the outlier score of each row.

        The mean of two changes of the score, with the medians of the rows that the networks were
        trained on: what the row gains where its value is replaced by the median, and what the row
        of all medians loses where it gets the value in place of a usual one. Shapley values average
        the effect of a column over all orders in which columns can get their values [1]_; the two
        changes are the effects in last and in first place. The first alone misses rows that are
        outliers in many correlated columns, since one median does not go with the other values.
        Takes as long as scoring ``2 * n_features`` rows for each row of X.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Finite rows.

        Returns
        -------
        gains : ndarray of shape (n_samples, n_features), dtype float64
            In units of `score_samples`. Positive where the value makes the row more of an outlier
            than a usual value would; they need not add up to the score.

        References
        ----------
        .. [1] Strumbelj and Kononenko, "An Efficient Explanation of Individual Classifications
           using Game Theory", JMLR 11, 2010.
        """
        X = checked_rows(self, X)
        scores = self._score_samples(X)
        gains = np.empty(X.size)
        # Each value of X is replaced in a row of its own, as many as are scored at a time.
        for cut in gen_batches(X.size, chunk_rows(X.shape[1])):
            row, column = np.divmod(np.arange(X.size)[cut], X.shape[1])
            number = np.arange(len(row))
            without, alone = X[row].astype(np.float64), np.tile(self._median, (len(row), 1))
            alone[number, column] = without[number, column]
            without[number, column] = self._median[column]
            gained = self._score_samples(without) - scores[row]
            lost = self._usual - self._score_samples(alone)
            gains[cut] = (gained + lost) / 2
        return gains.reshape(X.shape)
