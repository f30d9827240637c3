"""One training shared by several processes, each with a part of every batch.

The processes compute what one process would with whole batches: each makes the same draws and keeps
its part, batch normalisation uses the statistics of all parts, and gradients are averaged.
`torchrun` starts the processes; torch.distributed connects them.
"""

import atexit
import os
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch import distributed as dist
from torch.nn.modules.batchnorm import _BatchNorm


def rank_and_size() -> tuple[int, int]:
    """Return this process's number and how many there are: (0, 1) unless under `torchrun`."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return 0, 1
    if not dist.is_initialized():
        dist.init_process_group()
        atexit.register(dist.destroy_process_group)
    return dist.get_rank(), dist.get_world_size()


def shard(tensor: Tensor, rank: int, size: int) -> Tensor:
    """Return one of `size` equal parts of the rows of a tensor."""
    n_rows = len(tensor) // size
    return tensor[rank * n_rows : (rank + 1) * n_rows]


def check_rows(n_rows: int, batch_size: int, device: torch.device) -> None:
    """Raise ValueError unless every process has the same number of rows, and enough of them."""
    _, size = rank_and_size()
    if size == 1:
        return
    of_first = from_first(n_rows, device)
    if n_rows != of_first:
        raise ValueError(
            f"Under torchrun every process must be given the same X, from which it takes its part. "
            f"Got {n_rows} rows here and {of_first} in the first process; pass all rows in each."
        )
    if n_rows < 4 * size:
        raise ValueError(
            f"X must have at least {4 * size} rows, four for each of {size} processes. Got "
            f"{n_rows}; start fewer processes."
        )
    if batch_size < 4 * size:
        raise ValueError(
            f"batch_size must be at least {4 * size}, four rows for each of {size} processes. Got "
            f"{batch_size}; raise batch_size, or start fewer processes."
        )


def average(tensors: Iterable[Tensor]) -> None:
    """Replace each tensor by its mean over the processes, in one message."""
    _, size = rank_and_size()
    if size > 1:
        tensors = list(tensors)
        flat = torch.cat([tensor.flatten() for tensor in tensors])
        dist.all_reduce(flat)
        means = torch.split(flat.div_(size), [tensor.numel() for tensor in tensors])
        for tensor, mean in zip(tensors, means, strict=True):
            tensor.copy_(mean.view_as(tensor))


def gather(rows: Tensor, n_sets: int) -> Tensor:
    """Return all processes' parts of a batch as that batch; gradients flow back to every part.

    The batch consists of `n_sets` sets of rows below each other, of which each process has the same
    part: rows and their neighbours, or views.
    """
    _, size = rank_and_size()
    if size == 1:
        return rows
    sets = gather_stacked(rows).view(size, n_sets, -1, *rows.shape[1:])
    return sets.transpose(0, 1).reshape(-1, *rows.shape[1:])


def gather_stacked(tensor: Tensor) -> Tensor:
    """Return all processes' tensors, (size, *tensor.shape); gradients flow back to each."""
    rank, size = rank_and_size()
    zeros = torch.zeros_like(tensor)
    own = torch.stack([tensor if other == rank else zeros for other in range(size)])
    total: Tensor = _SumOverProcesses.apply(own)  # type: ignore[no-untyped-call]
    return total


class _SumOverProcesses(torch.autograd.Function):
    """Sum over the processes. Every process's loss depends on every process's tensor.

    torch's own differentiable collectives (`torch.distributed.nn`) are deprecated, and their
    gather does not run on gloo, the backend of CPUs.
    """

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


def from_first(value: Any, device: torch.device) -> Any:
    """Return the first process's value, anything that can be pickled."""
    if rank_and_size()[1] > 1:
        values = [value]
        dist.broadcast_object_list(values, device=device)
        (value,) = values
    return value


def copy_from_first(module: nn.Module) -> None:
    """Give the module the weights and buffers that it has in the first process."""
    if rank_and_size()[1] > 1:
        for tensor in module.state_dict().values():
            dist.broadcast(tensor, 0)


class SharedBatchNorm(_BatchNorm):
    """Batch normalisation whose statistics in training are those of all processes' rows.

    Parts have equal size, so that the whole's variance is the mean variance of the parts plus the
    variance of their means. (`torch.nn.SyncBatchNorm` does the same on GPUs only.) `shared` is
    False where all processes have the same rows.
    """

    shared = True

    def _check_input_dim(self, input: Tensor) -> None:
        pass  # the layer that this one replaces was made for its input

    @classmethod
    def convert(cls, module: nn.Module) -> nn.Module:
        """Replace every batch norm in the module if several processes share the training."""
        if rank_and_size()[1] == 1:
            return module
        if isinstance(module, _BatchNorm):
            shared = cls(
                module.num_features,
                module.eps,
                module.momentum,
                module.affine,
                module.track_running_stats,
            )
            shared.load_state_dict(module.state_dict())
            return shared.train(module.training)
        for name, child in module.named_children():
            setattr(module, name, cls.convert(child))
        return module

    def forward(self, x: Tensor) -> Tensor:
        """Normalise x, (batch, channels, ...)."""
        _, size = rank_and_size()
        if not self.training or not self.shared or size == 1:
            return super().forward(x)
        given = x.dtype  # bfloat16 in mixed precision; torch's batch norm computes in float32, too
        x = x.to(torch.promote_types(given, torch.float32))
        dims = [dim for dim in range(x.dim()) if dim != 1]
        own = torch.stack([x.mean(dims), x.var(dims, correction=0)])
        means, variances = gather_stacked(own).unbind(1)
        mean, variance = means.mean(0), variances.mean(0) + means.var(0, correction=0)
        self._update_running(mean.detach(), variance.detach(), x.numel() // x.shape[1] * size)
        shape = [1, -1, *[1] * (x.dim() - 2)]
        scale = torch.rsqrt(variance + self.eps)
        if self.affine:
            scale = scale * self.weight
        y = (x - mean.view(shape)) * scale.view(shape)
        return (y + self.bias.view(shape) if self.affine else y).to(given)

    @torch.no_grad()
    def _update_running(self, mean: Tensor, variance: Tensor, n: int) -> None:
        if self.running_mean is None or self.running_var is None:
            return
        assert self.num_batches_tracked is not None
        self.num_batches_tracked += 1
        share = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean, share)
        self.running_var.lerp_(variance * n / (n - 1), share)
