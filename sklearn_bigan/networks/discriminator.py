"""The joint discriminator: a body over pairs (x, z), and the logit."""

import torch
from torch import Tensor, nn


class JointDiscriminator(nn.Module):
    """D : (x, z) -> logit, above 0 for encoder pairs.

    Parameters
    ----------
    body : nn.Module
        Maps x (batch, n_features) and z (batch, latent_dim) to features, (batch, n_hidden) once
        flattened. If its attribute `row_independent` is True, each row's features depend on that
        row alone (no batch statistics), and training takes one backward pass through D, not two.
    n_hidden : int
        Width of the features.
    inward : nn.Module
        Brings x into the units that the body sees.
    """

    def __init__(self, body: nn.Module, n_hidden: int, inward: nn.Module) -> None:
        super().__init__()
        self.inward = inward
        self.body = body
        self.row_independent = bool(getattr(body, "row_independent", False))
        self.takes_batches = bool(getattr(body, "takes_batches", False))
        self.head = nn.Linear(n_hidden, 1)
        # BiGAN's code starts the last layer at zero: every loss begins at its value for logit 0.
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def features(self, *parts: Tensor) -> Tensor:
        """Return the layer before the logit, (batch, n_hidden), of x, z; or as in `forward`."""
        parts = tuple(part if k % 2 else self.inward(part) for k, part in enumerate(parts))
        if len(parts) > 2 and not self.takes_batches:
            parts = torch.cat(parts[::2]), torch.cat(parts[1::2])
        return self.body(*parts).flatten(1)

    def forward(self, *parts: Tensor) -> Tensor:
        """Logits (batch,) of x, z; of several batches x, z, x', z', ..., one after the other."""
        return self.head(self.features(*parts)).squeeze(1)
