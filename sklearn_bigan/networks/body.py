"""How the heads run the body that they are built around, and what a body must return."""

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

# Differences between outputs for the same row, as a share of the largest output, that count as
# rounding: kernels for other batches, and TF32 on CUDA devices, stay below it.
ROUNDING = 5e-3

# Rows that a user's body is tried on before training, at most.
TRIAL_ROWS = 32


class Network(nn.Module):
    """What encoder, generator and discriminator share: a body, and how it is run."""

    role: str

    # What the body computes in during training (mixed precision); None is float32.
    autocast_dtype: torch.dtype | None = None

    # Whether the user's factory made the body. It gets copies, as it may work in place: its inputs
    # are rows of X, or go to other networks, too. What it returns is checked.
    own_body: bool = False

    def __init__(self, body: nn.Module, n_outputs: int) -> None:
        super().__init__()
        self.body = body
        self.n_outputs = n_outputs

    def run_body(self, *inputs: Tensor, function: Callable[..., Tensor] | None = None) -> Tensor:
        """Return the output of the body, or of its `function`, flattened to (batch, n_outputs).

        In training, matrix products and convolutions of the body run in `autocast_dtype` (mixed
        precision); its inputs, outputs and weights stay in float32.
        """
        body = self.body if function is None else function
        if self.own_body:
            body, inputs = self._run_own_body, tuple(batch.clone() for batch in inputs)
        if self.autocast_dtype is None or not self.training:
            return body(*inputs).flatten(1)
        # Each weight is used once in a forward pass: a cache of casted weights would only take
        # memory.
        with torch.autocast(inputs[0].device.type, self.autocast_dtype, cache_enabled=False):
            out = body(*inputs)
        return out.to(inputs[0].dtype).flatten(1)

    def _run_own_body(self, *inputs: Tensor) -> Tensor:
        """Run the user's body; an error says which network's it was."""
        try:
            out = self.body(*inputs)
        except Exception as error:
            shapes = " and ".join(str(tuple(batch.shape)) for batch in inputs)
            error.add_note(f"Raised by the network's {self.role} for inputs of shape {shapes}.")
            raise
        autocast = self.autocast_dtype if self.training else None
        check_output(self.role, out, inputs[0], self.n_outputs, autocast)
        return out


def check_output(
    role: str,
    out: Any,
    batch: Tensor,
    n_outputs: int | None = None,
    autocast_dtype: torch.dtype | None = None,
) -> None:
    """Raise TypeError or ValueError unless `out` is what a body may return for a batch.

    `n_outputs` is the number of columns that the body returned before, once flattened.
    """
    start = f"The network's {role} must return"
    if not isinstance(out, Tensor):
        raise TypeError(
            f"{start} one tensor. Got {type(out).__name__}; return the tensor of features alone."
        )
    # Sizes, not len(): torch.export would take the number of rows for a constant.
    if out.ndim < 2 or out.shape[0] != batch.shape[0]:
        raise ValueError(
            f"{start} one row of features for each row of its input, shape ({len(batch)}, "
            f"n_outputs) or more dimensions for {len(batch)} rows. Got {tuple(out.shape)}; keep "
            f"the first dimension as it is."
        )
    n_found = out[0].numel()
    if n_found == 0 or n_outputs not in (None, n_found):
        wanted = "at least one column" if n_outputs is None else f"{n_outputs} columns"
        raise ValueError(
            f"{start} {wanted} for any batch. Got {n_found}, from an output of shape "
            f"{tuple(out.shape)}."
        )
    if out.dtype not in (batch.dtype, autocast_dtype):
        raise ValueError(
            f"{start} {batch.dtype}, the dtype of its input. Got {out.dtype}; convert the output, "
            f"for example with .float(), or the weights with module.float()."
        )
    if out.device != batch.device:
        raise ValueError(
            f"{start} a tensor on the device of its input, {batch.device}. Got one on "
            f"{out.device}; make tensors on x.device, or register them as buffers."
        )


def count_outputs(role: str, body: Any, *widths: int) -> int:
    """Return the number of columns of the body's flattened output, by a trial on two zero rows."""
    if not isinstance(body, nn.Module):
        raise TypeError(
            f"The network's {role} factory must return a torch.nn.Module. Got "
            f"{type(body).__name__}; pass the class or function that makes the module."
        )
    trial = [torch.zeros(2, width) for width in widths]
    elsewhere = {str(weight.device) for weight in body.parameters()} - {str(trial[0].device)}
    if elsewhere:
        raise ValueError(
            f"The network's {role} factory must make weights on the CPU; training moves them to "
            f"its device. Got weights on {', '.join(sorted(elsewhere))}; leave the device out."
        )
    was_training = body.training
    try:
        with torch.no_grad():
            outputs = body.eval()(*trial)
        body.train(was_training)
    except Exception as error:
        dtypes = {str(weight.dtype) for weight in body.parameters()} - {str(trial[0].dtype)}
        if dtypes:
            raise ValueError(
                f"The network's {role} must compute in {trial[0].dtype}, the dtype of its input. "
                f"Got weights of {', '.join(sorted(dtypes))}, and the error {error}; convert them "
                f"with module.float()."
            ) from error
        shapes = " and ".join(str(tuple(batch.shape)) for batch in trial)
        error.add_note(f"Raised when the network's {role} was tried on zeros of shape {shapes}.")
        raise
    check_output(role, outputs, trial[0])
    return outputs.flatten(1).shape[1]


def check_body(network: Network, *inputs: Tensor) -> None:
    """Raise ValueError unless the body is finite, trainable and treats each row by itself.

    `inputs` are rows of X or codes, on the device. The network stays as it is: a copy is tried, in
    evaluation mode, since a body may count its calls or keep statistics.
    """
    tried = copy.deepcopy(network).eval()
    start = f"The network's {network.role} must"
    with torch.enable_grad():
        leaves = [batch.clone().requires_grad_() for batch in inputs]
        whole = tried.run_body(*leaves)
    if not _trains(tried, whole, leaves[0]):
        raise ValueError(
            f"{start} pass gradients on: it learns by them, or others through it. Got an output "
            f"without gradients; compute it without torch.no_grad() and detach()."
        )
    finite = whole.isfinite().all(1)
    if not finite.all():
        raise ValueError(
            f"{start} return finite numbers before it is trained. Got NaN or infinity for "
            f"{int((~finite).sum())} of {len(whole)} rows; look at its initial weights, and at "
            f"logarithms, roots and divisions."
        )
    if not _is_row_independent(tried, inputs):
        raise ValueError(
            f"{start} return the same for a row whatever rows are in the batch, in evaluation "
            f"mode. Got other features for a row among {len(whole)} different ones than among "
            f"copies of itself; give batch norm running statistics, compute nothing across the "
            f"first dimension, and draw nothing at random unless self.training."
        )


def _trains(network: Network, out: Tensor, leaf: Tensor) -> bool:
    """Return whether gradients at the output reach what they must, the input `leaf` or weights."""
    if network.role == "encoder":  # may compute fixed features
        return True
    if network.role == "generator":
        return out.requires_grad or not any(w.requires_grad for w in network.body.parameters())
    return (
        out.requires_grad and torch.autograd.grad(out.sum(), leaf, allow_unused=True)[0] is not None
    )


@torch.no_grad()
def _is_row_independent(network: Network, inputs: tuple[Tensor, ...]) -> bool:
    """Return whether a row has the same output among others as among copies of itself.

    Nothing differs more from the other rows' statistics than such copies. The rows nearest to the
    mean and farthest from it are tried: one of them is not the maximum over the rows. Weights of
    `network` that are zero are changed, since they may hide what they multiply until they learn.
    """
    for weight in network.parameters():
        if not weight.any():
            weight.uniform_(0.5, 1)
    whole, rows = network.run_body(*inputs), torch.cat(inputs, dim=1)
    order = (rows - rows.mean(0)).square().sum(1).argsort()
    for row in (order[0], order[-1]):
        copies = (batch[row].expand(2 * len(batch), -1) for batch in inputs)
        gap = (network.run_body(*copies) - whole[row]).abs().max()
        if not gap <= ROUNDING * whole.abs().max():
            return False
    return True
