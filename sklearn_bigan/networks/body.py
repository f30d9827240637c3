"""How the heads run the body that they are built around."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn


def run_body(network: Any, body: Callable[..., Tensor], *inputs: Tensor) -> Tensor:
    """Return the output of a network's body, flattened to (batch, n_outputs).

    In training, matrix products and convolutions of the body run in the network's `autocast_dtype`
    (mixed precision); its inputs, outputs and weights stay in float32.
    """
    if network.autocast_dtype is None or not network.training:
        return body(*inputs).flatten(1)
    # Each weight is used once in a forward pass: a cache of casted weights would only take memory.
    with torch.autocast(inputs[0].device.type, network.autocast_dtype, cache_enabled=False):
        out = body(*inputs)
    return out.to(inputs[0].dtype).flatten(1)


def count_outputs(role: str, body: Any, *widths: int) -> int:
    """Return the number of columns of the body's flattened output, by a trial on two zero rows."""
    if not isinstance(body, nn.Module):
        raise TypeError(
            f"The network's {role} factory must return a torch.nn.Module. Got "
            f"{type(body).__name__}; pass the class or function that makes the module."
        )
    trial = [torch.zeros(2, width) for width in widths]
    was_training = body.training
    try:
        with torch.no_grad():
            outputs = body.eval()(*trial)
        body.train(was_training)
        return outputs.flatten(1).shape[1]
    except Exception as error:
        shapes = " and ".join(str(tuple(batch.shape)) for batch in trial)
        error.add_note(f"Raised when the network's {role} was tried on zeros of shape {shapes}.")
        raise
