"""A trained net as plain values and numpy arrays, and back."""

from typing import Any

import torch

from sklearn_bigan._net import BiGANNet
from sklearn_bigan.networks.bigan import Blueprint


def net_to_state(net: BiGANNet) -> dict[str, Any]:
    """Describe the net by dicts, strings, numbers, arrays and the user's factories, if any.

    The live net is neither moved nor changed, and shares no memory with what is returned. The
    optimizers stay behind: they are twice the size of the networks.
    """
    return {
        "blueprint": dict(vars(net.blueprint)),
        "seed": net.seed,
        "x_std": net.x_std,
        "weights": {
            name: tensor.detach().to("cpu", copy=True).numpy()
            for name, tensor in net.averaged_.state_dict().items()
        },
        "history": net.epochs(),
    }


def net_from_state(state: dict[str, Any], **settings: Any) -> BiGANNet:
    """Make the net anew, with `settings` as `BiGANNet` takes them, and fill it."""
    blueprint = Blueprint(**state["blueprint"])
    x_mean = torch.zeros(blueprint.n_features)  # only the start of a bias that is filled below
    net = BiGANNet(
        blueprint, x_mean=x_mean, x_std=state["x_std"], seed=state["seed"], **settings
    ).initialize()
    # torch.tensor copies: joblib may hand over read-only memory maps.
    weights = {name: torch.tensor(array) for name, array in state["weights"].items()}
    net.module_.load_state_dict(weights)
    net.averaged_.load_state_dict(weights)
    for epoch in state["history"]:
        net.history.new_epoch()
        for name, value in epoch.items():
            net.history.record(name, value)
    return net
