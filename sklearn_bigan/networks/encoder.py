"""The encoder: a body, and the head that makes a posterior q(z | x) of its features."""

import torch
from torch import Tensor, nn

from sklearn_bigan._noise import Noise
from sklearn_bigan._priors import Prior
from sklearn_bigan.networks.images import ImageEncoderBody

# log sigma^2 stays within +-LOG_VARIANCE_BOUND by a smooth map whose gradient never vanishes:
# sigma between 0.007 and 150, far beyond what a code of unit scale can use.
LOG_VARIANCE_BOUND = 10.0


class Encoder(nn.Module):
    """E : x -> z, deterministic (BiGAN) or Gaussian by reparameterisation (ALI).

    Parameters
    ----------
    body : nn.Module
        Maps x (batch, n_features) to hidden features, (batch, n_hidden) once flattened.
    n_hidden : int
        Width of those features.
    latent_dim : int
        Width of z.
    gaussian : bool
        Whether the posterior has a variance.
    prior : a prior of `_priors`
        Its range is the range of the codes.
    inward : nn.Module
        Brings x into the units that the body sees.
    """

    def __init__(
        self,
        body: nn.Module,
        n_hidden: int,
        latent_dim: int,
        gaussian: bool,
        prior: Prior,
        inward: nn.Module,
    ) -> None:
        super().__init__()
        self.inward = inward
        self.body = body
        self.n_hidden = n_hidden
        self.latent_dim = latent_dim
        self.gaussian = gaussian
        self.prior = prior
        self.head = nn.Linear(n_hidden, latent_dim * (2 if gaussian else 1))
        # Names of what `features` gives, where they say more than a number.
        self.names = body.feature_names() if isinstance(body, ImageEncoderBody) else None

    def hidden(self, x: Tensor) -> Tensor:
        """Return the body's features, (batch, n_hidden)."""
        return self.body(self.inward(x)).flatten(1)

    def features(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the body's features, and what `transform` gives as hidden features.

        Those are the same unless the body says otherwise, as those for images do.
        """
        if isinstance(self.body, ImageEncoderBody):
            return self.body.features(self.inward(x))
        hidden = self.hidden(x)
        return hidden, hidden

    def posterior(self, hidden: Tensor) -> tuple[Tensor, Tensor | None]:
        """Location, and scale unless deterministic, before squashing, each (batch, latent_dim)."""
        if not self.gaussian:
            return self.head(hidden), None
        location, raw = self.head(hidden).chunk(2, dim=1)
        log_variance = LOG_VARIANCE_BOUND * torch.tanh(raw / LOG_VARIANCE_BOUND)
        return location, torch.exp(0.5 * log_variance)

    def draw(self, x: Tensor, noise: Noise) -> Tensor:
        """z_hat ~ q(z | x): E(x), or by reparameterisation mu(x) + sigma(x) * eps (ALI sec. 2)."""
        location, scale = self.posterior(self.hidden(x))
        if scale is not None:
            location = location + scale * noise.normal(*location.shape)
        return self.prior.squash(location)

    def moments(self, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of q(z | x), each (batch, latent_dim)."""
        location, scale = self.posterior(hidden)
        if scale is None:
            location = self.prior.squash(location)
            return location, torch.zeros_like(location)
        return self.prior.moments(location, scale)

    def forward(self, x: Tensor) -> Tensor:
        """E[z | x], never a draw, (batch, latent_dim)."""
        return self.moments(self.hidden(x))[0]
