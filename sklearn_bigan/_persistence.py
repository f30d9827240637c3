"""A fitted net as plain values and numpy arrays, and back."""

from dataclasses import asdict, fields
from functools import cache
from importlib.metadata import version
from typing import Any

import numpy as np
import sklearn
import torch
from sklearn.exceptions import InconsistentVersionWarning

from sklearn_bigan._data.standardizer import Standardizer
from sklearn_bigan._runtime.caller import warn
from sklearn_bigan._runtime.settings import training_settings
from sklearn_bigan._training.config import TrainingConfig
from sklearn_bigan._training.net import BiGANNet
from sklearn_bigan.networks.bigan import ModelSpec

# Raised when a change makes older states unreadable.
FORMAT = 2

# The names in a state, and in those of its parts that become a dataclass again.
STATE = {
    *("format", "versions", "spec", "config", "settings", "standardizer", "x_mean", "seed"),
    *("n_updates", "history", "weights"),
}
LAYOUT = {
    part: {field.name for field in fields(made)}
    for part, made in {
        "spec": ModelSpec,
        "config": TrainingConfig,
        "standardizer": Standardizer,
    }.items()
}
# Models of earlier versions lack these fields, which have defaults.
OPTIONAL = {"first_channels"}


@cache
def versions() -> dict[str, str]:
    """Return the versions that a state depends on, without local parts such as "+cpu"."""
    return {
        "sklearn_bigan": version("sklearn_bigan"),
        "torch": torch.__version__.partition("+")[0],
        "scikit-learn": sklearn.__version__,
        "numpy": np.__version__,
    }


def is_saved(name: str) -> bool:
    """Return whether a weight or buffer is part of the state: of E and G the averaged ones are."""
    # The prior of the training, should it go on: the averaged one is fitted to the codes.
    return not name.startswith(("encoder.", "generator.")) or name.startswith("encoder.prior.")


def net_to_state(net: BiGANNet) -> dict[str, Any]:
    """Describe the net by dicts, strings, numbers, arrays and the user's factories, if any.

    The net is neither moved nor changed, and shares no memory with the result. Of E and G the
    averaged weights are kept, of the optimizer nothing: it is twice the size of the networks.
    """
    with training_settings():  # a forked process copies by one thread
        state = {
            name: tensor.detach().to("cpu", copy=True).numpy()
            for name, tensor in net.module_.state_dict().items()
        }
    return {
        "format": FORMAT,
        "versions": dict(versions()),
        "spec": dict(vars(net.spec)),
        "config": dict(vars(net.config)),
        "settings": {name: getattr(net, name) for name in ("lr", "batch_size", "max_epochs")},
        "standardizer": asdict(net.standardizer),
        "x_mean": net.x_mean.copy(),
        "seed": net.seed,
        "n_updates": net.n_updates_,
        "history": net.epochs(),
        "weights": {name: array for name, array in state.items() if is_saved(name)},
    }


def net_from_state(state: dict[str, Any], estimator_name: str, **settings: Any) -> BiGANNet:
    """Rebuild the net; no weights are drawn and no callback is initialised.

    `estimator_name` is for messages; `settings` are `callbacks`, `verbose` and `device`. Another
    format raises ValueError, and every package of another version gives a warning.
    """
    _check_layout(state, estimator_name)
    for package, current in versions().items():
        saved = state["versions"].get(package)
        if saved != current:
            warn(
                InconsistentVersionWarning(
                    estimator_name=estimator_name,
                    current_sklearn_version=f"{package} {current}",
                    original_sklearn_version=f"{package} {saved}",
                )
            )
    weights = dict(state["weights"])
    for name in list(weights):
        _, dot, own = name.partition("averaged.")
        if dot:
            weights.setdefault(own, weights[name])
    with training_settings():  # training may go on with the weights
        net = BiGANNet(
            ModelSpec(**state["spec"]),
            TrainingConfig(**state["config"]),
            Standardizer(**state["standardizer"]),
            state["x_mean"],
            state["seed"],
            **state["settings"],
            **settings,
        )
        return net.restore(weights, state["history"], state["n_updates"])


def _check_layout(state: Any, estimator_name: str) -> None:
    """Raise ValueError if the state is not one that this version's `net_to_state` makes."""
    known = isinstance(state, dict)
    found = state.get("format") if known else None
    saved = state.get("versions", {}).get("sklearn_bigan") if known else None
    layout = f"in format {found!r}"
    if known and found == FORMAT:
        differing = [
            part
            for part, keys in LAYOUT.items()
            if not keys - OPTIONAL <= set(state.get(part) or ()) <= keys
        ]
        if state.keys() == STATE and not differing:
            return
        parts = differing or sorted(state.keys() ^ STATE)
        layout = f"with another layout of {', '.join(map(repr, parts))}"
    raise ValueError(
        f"This {estimator_name} was saved {layout}, and this version of sklearn_bigan "
        f"({version('sklearn_bigan')}) reads format {FORMAT}. Load it with the version that saved "
        f"it, {saved!r}, or fit it again."
    )
