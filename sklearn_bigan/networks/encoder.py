"""The encoder: a body, and the head that turns its features into a posterior q(z | x)."""

import torch
from torch import Tensor, nn

from sklearn_bigan.networks.body import Network
from sklearn_bigan.networks.images import ImageEncoderBody
from sklearn_bigan.networks.priors import Prior

# log sigma^2 is mapped smoothly into +-LOG_VARIANCE_BOUND, with a gradient that never vanishes:
# sigma lies between 0.007 and 150, far beyond what a code of unit scale needs.
LOG_VARIANCE_BOUND = 10.0


class Encoder(Network):
    """E : x -> z, deterministic (BiGAN) or Gaussian by reparameterisation (ALI).

    The body maps x (batch, n_features) to hidden features, (batch, n_hidden) once flattened. The
    codes have the range of the prior.
    """

    role = "encoder"

    def __init__(
        self, body: nn.Module, n_hidden: int, latent_dim: int, gaussian: bool, prior: Prior
    ) -> None:
        super().__init__(body, n_hidden)
        self.n_hidden = n_hidden
        self.latent_dim = latent_dim
        self.gaussian = gaussian
        self.prior = prior
        self.head = nn.Linear(n_hidden, latent_dim * (2 if gaussian else 1))

    @property
    def feature_names(self) -> list[str] | None:
        """Names of the hidden features of images; None where a number says as much."""
        return self.body.feature_names if isinstance(self.body, ImageEncoderBody) else None

    def hidden(self, x: Tensor) -> Tensor:
        """Return the body's features, (batch, n_hidden)."""
        return self.run_body(x)

    def hidden_and_pooled(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the body's features, and the hidden features that `transform` returns.

        The two are the same unless the body pools its feature maps, as bodies for images do.
        """
        if isinstance(self.body, ImageEncoderBody):
            return self.body.hidden_and_pooled(x)
        hidden = self.hidden(x)
        return hidden, hidden

    def features(self, x: Tensor, kind: str) -> Tensor:
        """Return what `transform` does for "latent", "hidden" or "all": E[z | x] comes first."""
        if kind == "latent":
            return self(x)
        hidden, pooled = self.hidden_and_pooled(x)
        return pooled if kind == "hidden" else torch.cat([self.moments(hidden)[0], pooled], dim=1)

    def posterior(self, hidden: Tensor) -> tuple[Tensor, Tensor | None]:
        """Location, and scale unless deterministic, before squashing, each (batch, latent_dim)."""
        if not self.gaussian:
            return self.head(hidden), None
        location, raw = self.head(hidden).chunk(2, dim=1)
        log_variance = LOG_VARIANCE_BOUND * torch.tanh(raw / LOG_VARIANCE_BOUND)
        return location, torch.exp(0.5 * log_variance)

    def sample(self, x: Tensor, eps: Tensor | None) -> Tensor:
        """z_hat ~ q(z | x): E(x), or mu(x) + sigma(x) * eps (ALI, section 2)."""
        location, scale = self.posterior(self.hidden(x))
        if scale is not None and eps is not None:
            location = location + scale * eps
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
        location, scale = self.posterior(self.hidden(x))
        if scale is None:
            return self.prior.squash(location)
        return self.prior.moments(location, scale)[0]
