"""Codes, reconstructions and samples in the units of X, also through the steps of a Pipeline."""

from typing import Any

import numpy as np
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from sklearn_bigan.networks.generator import OUTPUT_RANGES


def find_transformer(estimator: Any) -> Any:
    """Return the fitted BiGANTransformer that an estimator is, or ends in."""
    return _find("estimator", "BiGANTransformer", "reconstruct", estimator)


def find_detector(detector: Any) -> Any:
    """Return the fitted BiGANOutlierDetector that an estimator is, or ends in."""
    return _find("detector", "BiGANOutlierDetector", "explain", detector)


def with_transformer(detector: Any) -> Any:
    """Return a detector's transformer, behind the steps of the Pipeline that it ends, if any."""
    transformer = find_detector(detector).transformer_
    if not isinstance(detector, Pipeline):
        return transformer
    *before, (name, _) = detector.steps
    return Pipeline([*before, (name, transformer)])


def steps_before(estimator: Any) -> Pipeline | None:
    """Return the steps of a Pipeline before its last one, if there are any."""
    piped = isinstance(estimator, Pipeline) and len(estimator.steps) > 1
    return estimator[:-1] if piped else None


def _find(name: str, kind: str, method: str, estimator: Any) -> Any:
    """Return the last step, which must be of a kind; its kind alone has the method."""
    last = estimator.steps[-1][1] if isinstance(estimator, Pipeline) else estimator
    if not hasattr(last, method):
        must = f"The '{name}' parameter must be a {kind}, or a Pipeline that ends in one"
        if last is estimator:
            raise TypeError(f"{must}. Got {estimator!r}.")
        places = [i for i, (_, step) in enumerate(estimator.steps) if hasattr(step, method)]
        remedy = (
            f"; pass pipeline[:{places[-1] + 1 - len(estimator.steps)}], which does."
            if places
            else "."
        )
        raise TypeError(f"{must}. Got a Pipeline that ends in {type(last).__name__}{remedy}")
    check_is_fitted(last)
    return last


class Codec:
    """A fitted transformer with the steps of a Pipeline before it, if there are any.

    Parameters
    ----------
    estimator : BiGANTransformer or Pipeline
        Fitted; a Pipeline must end in a BiGANTransformer.
    """

    def __init__(self, estimator: Any) -> None:
        self.transformer = find_transformer(estimator)
        self.before = steps_before(estimator)

    def encode(self, X: Any) -> np.ndarray:
        """Return the codes of X, whatever `features` the transformer returns."""
        coder = _with_latent_features(self.transformer)
        return np.asarray(coder.transform(self._scaled(X)))

    def decode(self, codes: np.ndarray) -> np.ndarray:
        """Return G(codes) in the units of X."""
        coder = _with_latent_features(self.transformer)
        return self._in_units_of_x(coder.inverse_transform(codes))

    def reconstruct(self, X: Any) -> np.ndarray:
        """Return G(E(X)) in the units of X."""
        return self._in_units_of_x(self.transformer.reconstruct(self._scaled(X)))

    def sample(self, n_samples: int, random_state: Any, cluster: int | None) -> np.ndarray:
        """Return samples in the units of X."""
        samples = self.transformer.sample(n_samples, random_state, cluster=cluster)
        return self._in_units_of_x(samples)

    def limits(self, rows: np.ndarray) -> tuple[float, float]:
        """Return the values drawn black and white: G's output range, or else that of the rows."""
        bounds = OUTPUT_RANGES[self.transformer.output_activation_]
        if bounds is not None:
            columns = np.ones(self.transformer.n_features_in_)
            rows = self._in_units_of_x(np.outer(bounds, columns))
        return float(rows.min()), float(rows.max())

    def _scaled(self, X: Any) -> Any:
        return X if self.before is None else self.before.transform(X)

    def _in_units_of_x(self, rows: np.ndarray) -> np.ndarray:
        if self.before is None:
            return rows
        one_way = [
            f"{name!r} ({type(step).__name__})"
            for name, step in self.before.steps
            if step not in (None, "passthrough") and not hasattr(step, "inverse_transform")
        ]
        if one_way:
            raise ValueError(
                f"The generated rows cannot be brought back to the units of X: the step "
                f"{', '.join(one_way)} has no inverse_transform. Pass the transformer alone, "
                f"pipeline[-1], and pipeline[:-1].transform(X) as X."
            )
        return np.asarray(self.before.inverse_transform(rows))


def _with_latent_features(estimator: Any) -> Any:
    """Return an estimator on the same fitted networks whose `transform` returns codes."""
    view = object.__new__(type(estimator))
    vars(view).update(vars(estimator), features="latent")
    return view
