"""What may be passed as X, before scikit-learn looks at its values."""

import os
from collections.abc import Sequence
from typing import Any

# Dtypes of numbers and of what may hold numbers; scikit-learn judges the latter and complex ones.
NUMERIC_KINDS = "biufcOSU"

# What numpy and scikit-learn read arrays and data frames by.
ARRAY_PROTOCOLS = ("__array__", "__array_interface__", "__dataframe__")

# Channels of photographs, which some libraries put before the rows of pixels.
CHANNELS = (1, 3)


def check_kind(X: Any, name: str = "X") -> None:
    """Raise TypeError or ValueError for what is not rows of numbers, and say how to make them.

    What passes is an array, a data frame or a sequence, of two axes and numbers as far as it says.
    """
    if hasattr(X, "tocsr"):
        raise TypeError(
            f"Sparse data was passed for {name}, but dense data is required. Use {name}.toarray(). "
            f"Within a Pipeline use OneHotEncoder(sparse_output=False), "
            f"ColumnTransformer(sparse_threshold=0), TruncatedSVD for text, or "
            f"FunctionTransformer(lambda X: X.toarray(), accept_sparse=True)."
        )
    is_array = any(
        hasattr(X, name) for name in ("__array__", "__dataframe__", "__array_interface__")
    )
    is_sequence = isinstance(X, Sequence | memoryview) and not isinstance(X, str | bytes)
    if not is_array and not is_sequence:
        raise TypeError(
            f"{name} must be an array, a data frame or a memory map of shape (n_samples, "
            f"n_features). Got {_described(X)}."
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
    """Name what in X is a date, a duration or of another dtype that is no number; "" if nothing."""
    dtype = getattr(X, "dtype", None)
    kind = getattr(dtype, "kind", None)
    if kind is not None and kind not in NUMERIC_KINDS:
        return f"dtype {dtype}"
    columns, dtypes = getattr(X, "columns", None), getattr(X, "dtypes", None)
    if columns is None or dtypes is None:
        return ""
    # pandas' dtypes have a kind as numpy's do, polars' know whether they are temporal.
    wrong = [
        f"column {column!r} of dtype {of_column}"
        for column, of_column in zip(columns, dtypes, strict=False)
        if getattr(of_column, "kind", "O") in ("m", "M")
        or getattr(of_column, "is_temporal", lambda: False)()
    ]
    return ", ".join(wrong[:3]) + (", ..." if len(wrong) > 3 else "")
