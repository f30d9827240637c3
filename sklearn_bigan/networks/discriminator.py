"""The joint discriminator: a body over pairs (x, z), and the logit."""

from itertools import chain

import torch
from torch import Tensor, nn

from sklearn_bigan.networks.body import Network
from sklearn_bigan.networks.mlp import PairBody


class JointDiscriminator(Network):
    """D : (x, z) -> logit, above 0 for encoder pairs (x, E(x)).

    The body maps x (batch, n_features) and z (batch, latent_dim) to features, (batch, n_hidden)
    once flattened. If its attribute `row_independent` is True, each row's features depend on that
    row alone (no batch statistics), and a training step takes one backward pass through D instead
    of two. The discriminator of a plain GAN is not `joint`: its body gets a z without columns.
    """

    role = "discriminator"

    def __init__(self, body: nn.Module, n_hidden: int, joint: bool) -> None:
        super().__init__(body, n_hidden)
        self.joint = joint
        self.row_independent = bool(getattr(body, "row_independent", False))
        self.head = nn.Linear(n_hidden, 1)
        # BiGAN's code starts the last layer at zero: every loss begins at its value for logit 0.
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def features(self, *pairs: tuple[Tensor, Tensor]) -> Tensor:
        """Return the layer before the logit for all pairs, one batch below the other."""
        if not self.joint:
            pairs = tuple((x, z[:, :0]) for x, z in pairs)
        if isinstance(self.body, PairBody) and not self.own_body:
            return self.run_body(*chain(*pairs), function=self.body.of_pairs)
        x, z = (torch.cat(batches) for batches in zip(*pairs, strict=True))
        return self.run_body(x, z)

    def forward(self, *pairs: tuple[Tensor, Tensor]) -> Tensor:
        """Logits of all pairs (x, z), (batch,), one batch below the other."""
        return self.head(self.features(*pairs)).squeeze(1)
