"""What may be passed to `fit` and to the methods that take X; and sparse rows made dense."""

import math
import os
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import Tensor

from sklearn_bigan._runtime.settings import numpy_settings

# Dtypes of numbers and of what may hold numbers; scikit-learn judges the latter and complex ones.
NUMERIC_KINDS = "biufcOSU"
DATE_KINDS = ("m", "M")

# What numpy and scikit-learn read arrays and data frames by.
ARRAY_PROTOCOLS = ("__array__", "__array_interface__", "__dataframe__")

# Channels of photographs, which some libraries put before the rows of pixels.
CHANNELS = (1, 3)


def check_kind(X: Any, name: str = "X") -> None:
    """Raise TypeError or ValueError for what is not rows of numbers, and say how to make them.

    What passes is an array, a sparse matrix, a data frame or a sequence, of two axes and numbers as
    far as it says.
    """
    if isinstance(X, Tensor):
        _check_tensor(X, name)
    is_array = is_sparse(X) or any(hasattr(X, protocol) for protocol in ARRAY_PROTOCOLS)
    is_sequence = isinstance(X, Sequence | memoryview) and not isinstance(X, str | bytes)
    if not is_array and not is_sequence:
        raise TypeError(
            f"{name} must be an array, a sparse matrix, a data frame or a memory map of shape "
            f"(n_samples, n_features). Got {_described(X)}."
        )
    shape = _shape(X)
    if len(shape) > 2:
        raise ValueError(
            f"{name} must have two axes, (n_samples, n_features). Got shape {shape}; "
            f"{_flattening(shape, name)}"
        )
    dates = _dates(X)
    if dates:
        raise TypeError(
            f"{name} must be numeric. Got {dates}; convert dates and durations to numbers first, "
            f"for example to days: (dates - dates.min()) / np.timedelta64(1, 'D')."
        )
    kind = getattr(getattr(X, "dtype", None), "kind", "f")
    if kind not in NUMERIC_KINDS:
        raise TypeError(
            f"{name} must be numeric. Got dtype {X.dtype}; pass an array of numbers, for example "
            f"that of the numeric columns."
        )


def unweighted(fit: Callable[..., Any]) -> Callable[..., Any]:
    """Say that rows cannot be weighted, where Python would say that the keyword is unexpected."""

    @wraps(fit)
    def checked(self: Any, *args: Any, **kwargs: Any) -> Any:
        if "sample_weight" in kwargs:
            raise TypeError(
                f"{type(self).__name__}.{fit.__name__} takes no sample_weight: rows cannot be "
                f"weighted. Leave it out, or repeat rows of X."
            )
        return fit(self, *args, **kwargs)

    return checked


def checked_rows(estimator: BaseEstimator, X: Any, accept_sparse: str | bool = False) -> Any:
    """Return finite rows of any numeric dtype, as wide as those that the estimator was fitted to.

    Raises TypeError or ValueError for others, and NotFittedError if there was no `fit`.
    """
    # scikit-learn's validation takes as long as the encoder takes for one row.
    if _is_valid(estimator, X):
        return X
    check_is_fitted(estimator)
    check_kind(X)
    with numpy_settings():
        return validate_data(estimator, X, reset=False, accept_sparse=accept_sparse)


def _is_valid(estimator: BaseEstimator, X: Any) -> bool:
    """Return whether X is certainly an array of finite floats as wide as in `fit`."""
    if type(X) is not np.ndarray or X.dtype.char not in "fd" or X.ndim != 2 or not len(X):
        return False
    named = hasattr(estimator, "feature_names_in_")
    if named or X.shape[1] != getattr(estimator, "n_features_in_", None):
        return False
    with np.errstate(over="ignore", invalid="ignore"):
        return math.isfinite(np.add.reduce(X, axis=None))


def is_sparse(X: Any) -> bool:
    """Return whether X is a sparse matrix or array of SciPy."""
    return hasattr(X, "tocsr")


def dense(rows: Any) -> np.ndarray:
    """Return rows as an array, which they are unless they are sparse."""
    return rows.toarray() if is_sparse(rows) else rows


def as_rows(X: Any) -> Any:
    """Return an array as it is, a sparse matrix as CSR, of which rows are cut, or else an array."""
    if isinstance(X, np.ndarray):
        return X
    return X.tocsr() if is_sparse(X) else np.asarray(X)


def extremes(X: Any) -> tuple[Any, Any]:
    """Return the smallest and the largest value of an array or a sparse matrix."""
    if is_sparse(X):
        X = X.copy()  # these methods sum duplicate entries in place
        return X.min(), X.max()
    return np.minimum.reduce(X, axis=None), np.maximum.reduce(X, axis=None)


def _check_tensor(X: Tensor, name: str) -> None:
    """Raise TypeError for a tensor that NumPy cannot read, and say how to make one that it can."""
    if X.requires_grad or X.device.type != "cpu":
        problem = "requires a gradient" if X.requires_grad else f"is on device {str(X.device)!r}"
        change = "detach().cpu()"
    elif X.layout is not torch.strided:
        problem, change = f"has layout {X.layout}", "to_dense()"
    elif X.dtype is torch.bfloat16:
        problem, change = f"has dtype {X.dtype}", "float()"
    else:
        return
    raise TypeError(f"NumPy cannot read the tensor {name}, which {problem}. Pass {name}.{change}.")


def _described(X: Any) -> str:
    """Return the type of X, and how to make rows of it."""
    kind = f"{type(X).__module__}.{type(X).__qualname__}".removeprefix("builtins.")
    if hasattr(X, "collect"):
        return f"{kind}; pass X.collect()"
    if isinstance(X, str | bytes | os.PathLike):
        return f"{X!r}; read the file first, for example with np.load or pandas.read_csv"
    if hasattr(X, "keys"):
        return f"{kind}; pass its columns as a data frame, or one of its values"
    if hasattr(X, "__next__") or hasattr(X, "__iter__") or hasattr(X, "__getitem__"):
        return (
            f"{kind}; pass its rows as one array or np.memmap, or piece by piece to partial_fit, "
            f"each an array"
        )
    return kind


def _shape(X: Any) -> tuple[Any, ...]:
    """Return the shape of X, or that of a list of arrays, as far as it says."""
    if isinstance(X, list | tuple) and X and hasattr(X[0], "ndim") and X[0].ndim > 1:
        return (len(X), *X[0].shape)
    return tuple(getattr(X, "shape", ()))


def _flattening(shape: tuple[Any, ...], name: str) -> str:
    """Return how to flatten each sample to a row."""
    if len(shape) == 4 and shape[1] in CHANNELS and shape[3] not in CHANNELS:
        _, channels, height, width = shape
        return (
            f"flatten each image to a row with its channels last, np.moveaxis({name}, 1, "
            f"-1).reshape(len({name}), -1), and set image_shape=({height}, {width}, {channels})."
        )
    images = (
        f" For images set image_shape={tuple(shape[1:])}: height, width, and channels last."
        if len(shape) == 4
        else f" For images set image_shape={tuple(shape[1:])}, for batches use np.concatenate."
        if len(shape) == 3
        else ""
    )
    return f"flatten each sample to a row, {name}.reshape(len({name}), -1).{images}"


def _dates(X: Any) -> str:
    """Name what in X is a date or a duration; "" if nothing is."""
    dtype = getattr(X, "dtype", None)
    if getattr(dtype, "kind", None) in DATE_KINDS:
        return f"dtype {dtype}"
    columns, dtypes = getattr(X, "columns", None), getattr(X, "dtypes", None)
    if columns is None or dtypes is None:
        return ""
    # pandas' dtypes have a kind as numpy's do, polars' know whether they are temporal.
    wrong = [
        f"column {column!r} of dtype {of_column}"
        for column, of_column in zip(columns, dtypes, strict=False)
        if getattr(of_column, "kind", "O") in DATE_KINDS
        or getattr(of_column, "is_temporal", lambda: False)()
    ]
    return ", ".join(wrong[:3]) + (", ..." if len(wrong) > 3 else "")
