"""Warnings at the line of the user's code that led to them."""

import sys
import warnings

# What lies between the user's code and a warning: this package, what calls it, decorators, and what
# copies and loads estimators.
BETWEEN = {"sklearn_bigan", "sklearn", "skorch", "joblib", "copy", "pickle", "contextlib"}


def warn(message: str | Warning, category: type[Warning] = UserWarning) -> None:
    """Warn at the innermost line outside of this package and of the libraries that call it.

    A fixed `stacklevel` would point into scikit-learn where the estimator is part of a Pipeline or
    a search.
    """
    frame = sys._getframe(1)
    while _package(frame.f_globals) in BETWEEN and frame.f_back is not None:
        frame = frame.f_back
    warnings.warn_explicit(
        message,
        category,
        filename=frame.f_code.co_filename,
        lineno=frame.f_lineno,
        module=frame.f_globals.get("__name__"),
        registry=frame.f_globals.setdefault("__warningregistry__", {}),
    )


def _package(namespace: dict[str, object]) -> str:
    return str(namespace.get("__name__")).partition(".")[0]
