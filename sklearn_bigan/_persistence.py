"""A trained net as plain values and numpy arrays, and back."""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

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
        "x_unit": net.x_unit.numpy(force=True).copy(),
        "weights": _arrays(net.averaged_),
        # The game's, should it go on; the one among the weights is fitted to the codes.
        "prior": _arrays(net.module_.encoder.prior),
        "history": net.epochs(),
    }


def net_from_state(state: dict[str, Any], **settings: Any) -> BiGANNet:
    """Make the net anew, with `settings` as `BiGANNet` takes them, and fill it."""
    blueprint = Blueprint(**state["blueprint"])
    x_mean = torch.zeros(blueprint.n_features)  # only the start of a bias that is filled below
    x_unit = torch.tensor(state["x_unit"])
    net = BiGANNet(
        blueprint, x_mean=x_mean, x_unit=x_unit, seed=state["seed"], **settings
    ).initialize()
    net.module_.load_state_dict(_tensors(state["weights"]))
    net.averaged_.load_state_dict(_tensors(state["weights"]))
    net.module_.encoder.prior.load_state_dict(_tensors(state["prior"]))
    for epoch in state["history"]:
        net.history.new_epoch()
        for name, value in epoch.items():
            net.history.record(name, value)
    return net


def _arrays(module: nn.Module) -> dict[str, np.ndarray]:
    return {
        name: tensor.detach().to("cpu", copy=True).numpy()
        for name, tensor in module.state_dict().items()
    }


def _tensors(arrays: dict[str, np.ndarray]) -> dict[str, Tensor]:
    # torch.tensor copies: joblib may hand over read-only memory maps.
    return {name: torch.tensor(array) for name, array in arrays.items()}
