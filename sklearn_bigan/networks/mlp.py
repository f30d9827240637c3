"""Multi-layer perceptrons for tables."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.functional import linear

# LeakyReLU's slope in the encoder and the discriminator of BiGAN's MNIST networks.
SLOPE = 0.2


def layers(n_in: int, widths: Iterable[int], *, batch_norm: bool) -> list[nn.Module]:
    """Linear, optional BatchNorm, LeakyReLU, once for each width."""
    modules: list[nn.Module] = []
    for width in widths:
        modules.append(nn.Linear(n_in, width, bias=not batch_norm))
        if batch_norm:
            modules.append(nn.BatchNorm1d(width))
        modules.append(nn.LeakyReLU(SLOPE, inplace=True))
        n_in = width
    return modules


def encoder_body(n_features: int, latent_dim: int, widths: tuple[int, ...]) -> nn.Module:
    """From x (batch, n_features) to hidden features (batch, widths[-1])."""
    return nn.Sequential(*layers(n_features, widths, batch_norm=True))


def generator_body(n_features: int, latent_dim: int, widths: tuple[int, ...]) -> nn.Module:
    """From z (batch, latent_dim) to x before bias and activation (batch, n_features)."""
    upwards = widths[::-1]
    return nn.Sequential(
        *layers(latent_dim, upwards, batch_norm=True),
        nn.Linear(upwards[-1], n_features, bias=False),
    )


class DiscriminatorBody(nn.Module):
    """x and z, side by side from the first layer on, to features (batch, widths[-1]).

    No batch norm: each row's logit depends on that row alone, which is what lets one backward
    pass serve D, E and G (see `_gradients`).
    """

    row_independent = True
    takes_batches = True

    def __init__(self, n_features: int, latent_dim: int, widths: tuple[int, ...]) -> None:
        super().__init__()
        first, *others = widths
        self.layers = nn.Sequential(
            PairLinear(n_features + latent_dim, first),
            nn.LeakyReLU(SLOPE, inplace=True),
            *layers(first, others, batch_norm=False),
        )

    def forward(self, *parts: Tensor) -> Tensor:
        """Features (batch, widths[-1]) of pairs x, z, or of several batches x, z, x', z', ..."""
        return self.layers(parts)


class PairLinear(nn.Linear):
    """A linear layer of pairs (x, z), of several batches of them as of one.

    What D is told was made by a network in part only: z of encoder pairs, x of generator pairs.
    The gradient at its input is computed there; in one tensor of all pairs it would be everywhere.
    """

    def forward(self, parts: tuple[Tensor, ...]) -> Tensor:  # type: ignore[override]
        """From x, z, x', z', ... to (n, out_features), one batch below the other."""
        product: Callable[..., Tensor] = _PairProduct.apply
        return product(self.weight, self.bias, *parts)


class _PairProduct(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, weight: Tensor, bias: Tensor, *parts: Tensor) -> Tensor:
        pairs = joined(parts)
        ctx.save_for_backward(weight, pairs)
        ctx.n_x = parts[0].shape[1]
        return linear(pairs, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        # In mixed precision what comes back has fewer bits than what was kept.
        weight, pairs = (kept.to(gradient.dtype) for kept in ctx.saved_tensors)
        columns = weight[:, : ctx.n_x], weight[:, ctx.n_x :]
        of_weight, of_bias, *of_parts = ctx.needs_input_grad
        batches = gradient.chunk(len(of_parts) // 2)
        return (
            gradient.T @ pairs if of_weight else None,
            gradient.sum(0) if of_bias else None,
            *(
                batches[k // 2] @ columns[k % 2] if needed else None
                for k, needed in enumerate(of_parts)
            ),
        )


def joined(parts: tuple[Tensor, ...]) -> Tensor:
    """Put x and z side by side, and the batches x, z, x', z', ... one below the other."""
    return torch.cat([torch.cat(parts[k : k + 2], dim=1) for k in range(0, len(parts), 2)])
