"""What the JSON of a file may say: one rule for each value, and how values agree."""

import math
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from sklearn_bigan import _parameters as parameters
from sklearn_bigan._data.augmentation import AUGMENTATIONS
from sklearn_bigan._files.content import FACTORIES, FILE_FORMAT, Content, Malformed
from sklearn_bigan._persistence import FORMAT, OPTIONAL, versions
from sklearn_bigan.networks.bigan import IMAGE_BODIES, ROLES, Factory
from sklearn_bigan.networks.dcgan import MOST_CHANNELS
from sklearn_bigan.networks.generator import OUTPUT_RANGES
from sklearn_bigan.networks.priors import PRIORS

# Networks are made without memory for weights, but each layer takes some.
MAX_LAYERS = 1000

Rule = Callable[[Any], bool]


def _count(least: int = 0) -> Rule:
    return lambda value: type(value) is int and least <= value < 2**63


def _number(value: Any) -> bool:
    return type(value) in (int, float) and 0 <= value <= sys.float_info.max


def _positive(value: Any) -> bool:
    return _number(value) and value > 0


def _string(value: Any) -> bool:
    return type(value) is str


def _one_of(*allowed: str) -> Rule:
    return lambda value: type(value) is str and value in allowed


def _some_of(*allowed: str) -> Rule:
    return lambda value: type(value) is list and all(item in allowed for item in value)


def _counts(lengths: range) -> Rule:
    return lambda value: (
        type(value) is list and len(value) in lengths and all(map(_count(1), value))
    )


def _roles(value: Any) -> bool:
    """Return whether a value names roles of the user's own networks."""
    return (
        type(value) is dict
        and list(value) == [FACTORIES]
        and _some_of(*ROLES)(value[FACTORIES])
        and len(value[FACTORIES]) > 0
    )


def _epochs(value: Any) -> bool:
    return type(value) is list and all(type(epoch) is dict for epoch in value)


def _mapping(value: Any) -> bool:
    return type(value) is dict


def _device(value: Any) -> bool:
    # "meta" has no values, and "auto" is no device.
    known = type(value) is str and re.fullmatch(r"[a-z]{1,32}(:[0-9]{1,3})?", value)
    return bool(known) and value.partition(":")[0] not in ("auto", "meta")


HEADER: dict[str, Rule] = {
    "checksum": lambda value: type(value) is str and bool(re.fullmatch("[0-9a-f]{64}", value)),
    "format": _count(),
    "versions": _mapping,
    "parameters": _mapping,
    "attributes": _mapping,
    "net": _mapping,
}
NET: dict[str, Rule] = {
    "format": _count(),
    "spec": _mapping,
    "config": _mapping,
    "settings": _mapping,
    "variance": _positive,
    "seed": _count(),
    "n_updates": _count(),
    "history": _epochs,
}
SPEC: dict[str, Rule] = {
    "n_features": _count(1),
    "latent_dim": _count(1),
    "method": _one_of(*parameters.PRESETS),
    "posterior": _one_of("deterministic", "gaussian"),
    "prior": _one_of(*PRIORS),
    "n_clusters": _count(1),
    "output_activation": _one_of(*OUTPUT_RANGES),
    "hidden_layer_sizes": _counts(range(1, MAX_LAYERS + 1)),
    "image_shape": lambda value: value is None or _counts(range(3, 4))(value),
    "first_channels": lambda value: _count(1)(value) and value <= MOST_CHANNELS,
    "network": lambda value: _one_of("mlp", *IMAGE_BODIES)(value) or _roles(value),
}
CONFIG: dict[str, Rule] = {
    "cycle_weight": _number,
    "latent_cycle_weight": _number,
    "consistency_weight": _number,
    "n_neighbors": _count(),
    "augmentations": _some_of(*AUGMENTATIONS),
    "ema_decay": lambda value: _number(value) and value <= 1,
    "precision": _one_of(*parameters.PRECISIONS),
    "compile": lambda value: type(value) is bool,
    "n_threads": _count(1),
}
SETTINGS: dict[str, Rule] = {"lr": _positive, "batch_size": _count(1), "max_epochs": _count()}
ATTRIBUTES: dict[str, Rule] = {
    "n_features_in_": _count(1),
    "n_samples_seen_": _count(1),
    "device_": _device,
    "feature_names_in_": lambda value: type(value) is list and all(map(_string, value)),
    "_sklearn_output_config": lambda value: (
        type(value) is dict
        and list(value) in ([], ["transform"])
        and all(map(_one_of("default", "pandas", "polars"), value.values()))
    ),
}
OPTIONAL_ATTRIBUTES = {"feature_names_in_", "_sklearn_output_config"}


def _check_keys(
    values: dict[str, Any], rules: dict[str, Rule], where: str, optional: Iterable[str] = ()
) -> None:
    """Raise unless `values` has the keys of `rules`, and each value follows its rule."""
    missing = rules.keys() - values.keys() - set(optional)
    for name in sorted(missing | values.keys() - rules.keys()):
        raise Malformed(f"{where} {'lacks' if name in missing else 'has an unknown'} {name!r}.")
    for name, value in values.items():
        if not rules[name](value):
            raise Malformed(f"{where} has {name!r} = {short(value)}, which no model has.")


def short(value: Any) -> str:
    """Return the beginning of a value as a message shows it."""
    shown = repr(value)
    return shown if len(shown) <= 60 else f"{shown[:60]}..."


def check_format(header: dict[str, Any]) -> None:
    """Raise if the file, or the state of the net in it, has another format than this version's."""
    saved = header.get("versions")
    if type(saved) is not dict or not all(map(_string, saved.values())):
        raise Malformed("its header names no versions.")
    net = header.get("net")
    of_net = net.get("format") if type(net) is dict else None
    if (header.get("format"), of_net) != (FILE_FORMAT, FORMAT):
        raise Malformed(
            f"its format is {short(header.get('format'))} with networks in format "
            f"{short(of_net)}, and this version of sklearn_bigan "
            f"({versions()['sklearn_bigan']}) reads {FILE_FORMAT} with {FORMAT}. Load it with the "
            f"version that saved it, {short(saved.get('sklearn_bigan'))}, or fit again."
        )


def checked_content(header: dict[str, Any], n_payload: int) -> Content:
    """Return the header's values, once they are found to be valid and to agree."""
    _check_keys(header, HEADER, "The header")
    net, attributes = header["net"], header["attributes"]
    _check_keys(net, NET, "The net")
    for part, rules in {"spec": SPEC, "config": CONFIG, "settings": SETTINGS}.items():
        _check_keys(net[part], rules, f"The net's {part}", OPTIONAL)
        net[part] = {name: _with_tuples(value) for name, value in net[part].items()}
    _check_keys(attributes, ATTRIBUTES, "The estimator", OPTIONAL_ATTRIBUTES)
    spec = net["spec"]
    n_features, names = spec["n_features"], attributes.get("feature_names_in_")
    if names is not None:
        attributes["feature_names_in_"] = np.array(names, dtype=object)
    n_names = n_features if names is None else len(names)
    if not n_features == attributes["n_features_in_"] == n_names:
        raise Malformed("its numbers of features differ.")
    if spec["image_shape"] is not None and math.prod(spec["image_shape"]) != n_features:
        raise Malformed("its images do not have the number of its features.")
    if 8 * n_features > n_payload or 4 * spec["latent_dim"] > n_payload:
        raise Malformed("its arrays are smaller than one row or one code.")
    known = parameters.CONSTRAINTS.keys() - {"callbacks"}
    for name, value in header["parameters"].items():
        if name not in known or (type(value) is dict and not (name == "network" and _roles(value))):
            raise Malformed(f"The estimator has a parameter {name!r} = {short(value)}.")
    arguments = {name: _with_tuples(value) for name, value in header["parameters"].items()}
    return Content(arguments, attributes, net | {"versions": header["versions"]})


def _with_tuples(value: Any) -> Any:
    """Return a value of JSON with tuples for lists, as the estimator's defaults are."""
    return tuple(map(_with_tuples, value)) if isinstance(value, list) else value


def fill_in_factories(content: Content, network: Mapping[str, Factory] | None) -> None:
    """Put the user's factories where the file names their roles."""
    places = [content.parameters, content.net["spec"]]
    places = [place for place in places if isinstance(place.get("network"), dict)]
    roles = {role for place in places for role in place["network"][FACTORIES]}
    given = set() if network is None else set(network)
    if roles != given:
        needed = ", ".join(f"{role!r}: ..." for role in ROLES if role in roles)
        advice = f"load(path, network={{{needed}}})" if roles else "load(path)"
        what = "was made with networks of your own" if roles else "has no networks of your own"
        raise Malformed(f"the model {what}; use {advice}, with the factories that made it.")
    if network is not None:
        for place in places:
            named = {role: network[role] for role in place["network"][FACTORIES]}
            place["network"] = parameters.resolve_network(named, content.net["spec"]["image_shape"])
