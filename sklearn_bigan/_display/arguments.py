"""Checks of what is passed to the displays."""

from numbers import Integral
from typing import Any

import numpy as np
from sklearn.utils import _safe_indexing, check_array, check_random_state
from sklearn.utils.validation import _num_features, _num_samples

from sklearn_bigan._data.rows import check_kind


def check_number(name: str, value: Any, least: int) -> int:
    """Return the value as an int; ValueError unless it is one and large enough."""
    if not isinstance(value, Integral) or int(value) < least:
        raise ValueError(
            f"The '{name}' parameter must be an int in the range [{least}, inf). Got {value!r} "
            f"instead."
        )
    return int(value)


def check_rows(X: Any, name: str = "X") -> np.ndarray:
    """Return X as an array of rows of finite numbers."""
    check_kind(X, name)
    return check_array(X, input_name=name)


def choose_rows(n_rows: int, n_chosen: int, random_state: Any) -> np.ndarray:
    """Return the indices of at most `n_chosen` random rows, in their order."""
    if n_rows <= n_chosen:
        return np.arange(n_rows)
    return np.sort(check_random_state(random_state).choice(n_rows, n_chosen, replace=False))


def count_rows(X: Any, name: str = "X") -> int:
    """Return the number of rows of X."""
    check_kind(X, name)
    return _num_samples(X)


def count_columns(X: Any, name: str = "X") -> int:
    """Return the number of columns of X."""
    check_kind(X, name)
    return _num_features(X)


def take_rows(X: Any, indices: np.ndarray) -> Any:
    """Return some rows of X, of the type of X: data frames keep the names of their columns."""
    return _safe_indexing(X, indices)


def check_axes(axes: Any, name: str, meant: tuple[str, ...]) -> np.ndarray:
    """Return matplotlib Axes in an array, one for each of what is meant; TypeError otherwise."""
    from matplotlib.axes import Axes

    found = np.ravel(np.asarray(axes, dtype=object))
    if len(found) == len(meant) and all(isinstance(ax, Axes) for ax in found):
        return found
    if len(meant) == 1:
        rule, example = "a matplotlib Axes", "plt.subplots()"
    else:
        rule = f"{len(meant)} matplotlib Axes, for {' and '.join(meant)}"
        example = f"plt.subplots(1, {len(meant)})"
    kinds = ", ".join(type(ax).__name__ for ax in found[:4]) or "none"
    raise TypeError(
        f"The '{name}' parameter must be None or {rule}, such as those of {example}. Got "
        f"{len(found)}: {kinds}."
    )
