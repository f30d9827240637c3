"""One training shared by several processes, each with a part of every batch.

Together they do what one process would do with whole batches: each draws the same order and the
same noise and keeps its part, batch norm takes its statistics from all parts, and gradients are
averaged. `torchrun` starts the processes, and they find one another by torch.distributed.
"""

import atexit
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch import distributed as dist
from torch.nn.modules.batchnorm import _BatchNorm


class Group:
    """The processes that share a training: one alone, unless `torchrun` has started more.

    Parameters
    ----------
    device : torch.device
        Where this process trains.

    Attributes
    ----------
    rank, size : int
        This process's number among them, and how many there are.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.rank, self.size = 0, 1
        if int(os.environ.get("WORLD_SIZE", "1")) > 1:
            if not dist.is_initialized():
                dist.init_process_group()
                atexit.register(dist.destroy_process_group)
            self.rank, self.size = dist.get_rank(), dist.get_world_size()

    def check(self, n_rows: int, rows_a_batch: int) -> None:
        """Raise unless all processes have as many rows, and enough to share, a batch, too."""
        of_first = self.from_first(n_rows)
        if n_rows != of_first:
            raise ValueError(
                f"Under torchrun every process must be given the same X, of which it takes its "
                f"part by itself. Got {n_rows} rows here and {of_first} in the first process; pass "
                f"all rows in each."
            )
        if self.size > 1 and n_rows < 2 * self.size:
            raise ValueError(
                f"X must have at least {2 * self.size} rows, two for each of {self.size} "
                f"processes. Got {n_rows}; start fewer processes."
            )
        if self.size > 1 and rows_a_batch < 2 * self.size:
            raise ValueError(
                f"A batch must have at least {2 * self.size} rows beside their partners, two for "
                f"each of {self.size} processes. Got {rows_a_batch}; raise batch_size, or start "
                f"fewer processes."
            )

    def average(self, tensors: Iterable[Tensor]) -> None:
        """Put the mean over the processes in place of each tensor; all of them travel as one."""
        if self.size > 1:
            tensors = list(tensors)
            flat = torch.cat([tensor.flatten() for tensor in tensors])
            dist.all_reduce(flat)
            means = torch.split(flat.div_(self.size), [tensor.numel() for tensor in tensors])
            for tensor, mean in zip(tensors, means, strict=True):
                tensor.copy_(mean.view_as(tensor))

    def whole(self, rows: Tensor) -> Tensor:
        """Return all processes' parts of a batch as that batch, the opposite of `_noise.part`."""
        if self.size == 1:
            return rows
        parts = self.stacked(rows)
        return (
            parts.view(self.size, 2, -1, *rows.shape[1:])
            .transpose(0, 1)
            .reshape(-1, *rows.shape[1:])
        )

    def stacked(self, tensor: Tensor) -> Tensor:
        """Return all processes' tensors, (size, *tensor.shape); gradients find their way back."""
        nothing = torch.zeros_like(tensor)
        own = [tensor if rank == self.rank else nothing for rank in range(self.size)]
        stacked: Tensor = _Sum.apply(torch.stack(own))  # type: ignore[no-untyped-call]
        return stacked

    def from_first(self, value: Any) -> Any:
        """Return what the first process has: anything that can be pickled."""
        if self.size > 1:
            values = [value]
            dist.broadcast_object_list(values, device=self.device)
            (value,) = values
        return value

    def as_first(self, module: nn.Module) -> None:
        """Give the module the weights and buffers that it has in the first process."""
        if self.size > 1:
            for tensor in module.state_dict().values():
                dist.broadcast(tensor, 0)

    @contextmanager
    def sharing_statistics(self, module: nn.Module) -> Iterator[None]:
        """Let batch norms in training take their statistics from all processes' rows."""
        norms = [part for part in module.modules() if isinstance(part, _BatchNorm)]
        if self.size == 1:
            norms = []
        for norm in norms:
            norm.forward = partial(shared_batch_norm, norm, self)  # type: ignore[method-assign]
        try:
            yield
        finally:
            for norm in norms:
                del norm.forward


class _Sum(torch.autograd.Function):
    """The sum over the processes; each one's loss hangs on what every one put in."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor) -> Tensor:
        total = tensor.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        total = gradients[0].clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total


def shared_batch_norm(norm: _BatchNorm, group: Group, x: Tensor) -> Tensor:
    """Batch norm over parts of equal size: the whole's variance is that within and between them."""
    if not norm.training:
        return type(norm).forward(norm, x)
    dims = [dim for dim in range(x.dim()) if dim != 1]
    own = torch.stack([x.mean(dims), x.var(dims, correction=0)])
    means, variances = group.stacked(own).unbind(1)
    mean, variance = means.mean(0), variances.mean(0) + means.var(0, correction=0)
    _follow(norm, mean.detach(), variance.detach(), x.numel() // x.shape[1] * group.size)
    shape = [1, -1, *[1] * (x.dim() - 2)]
    scale = torch.rsqrt(variance + norm.eps)
    if norm.affine:
        scale = scale * norm.weight
    y = (x - mean.view(shape)) * scale.view(shape)
    return y + norm.bias.view(shape) if norm.affine else y


@torch.no_grad()
def _follow(norm: _BatchNorm, mean: Tensor, variance: Tensor, n: int) -> None:
    """Move the running statistics, as batch norm itself does."""
    if norm.running_mean is None or norm.running_var is None:
        return
    assert norm.num_batches_tracked is not None
    norm.num_batches_tracked += 1
    share = 1 / float(norm.num_batches_tracked) if norm.momentum is None else norm.momentum
    norm.running_mean.lerp_(mean, share)
    norm.running_var.lerp_(variance * n / (n - 1), share)
