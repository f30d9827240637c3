"""The BiGAN paper's baselines: a plain GAN whose encoder regresses z from G(z)."""

import torch
from torch import Tensor, nn

from sklearn_bigan._data.batches import Batch
from sklearn_bigan._data.draws import Draws
from sklearn_bigan._objectives.adversarial import adversarial_metrics, backward_both_players
from sklearn_bigan.networks.bigan import BiGAN, ModelSpec
from sklearn_bigan.networks.priors import Prior

# Share of the regression loss's gradient that G receives. BiGAN's authors (section 4.1): 0.25 in
# the joint latent regressor, "1 results in a degenerate solution"; the latent regressor leaves G
# alone.
SHARE_IN_G = {"latent_regression": 0.0, "joint_latent_regression": 0.25}


class LatentRegressionObjective(nn.Module):
    """G against a discriminator of x alone; E minimises the loss of regressing z on G(z)."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        self.share_in_g = SHARE_IN_G[spec.method]

    def draw(self, prior: Prior, n_rows: int, generator: torch.Generator) -> Draws:
        """Draw z ~ p(z) for `n_rows` rows."""
        return Draws(prior.sample(n_rows, generator).unsqueeze(0))

    def backward(self, bigan: BiGAN, batch: Batch) -> dict[str, Tensor]:
        """Leave every player's gradient on its weights; return the step's metrics."""
        E, G, D = bigan.encoder, bigan.generator, bigan.discriminator
        z = batch.draws.z.flatten(0, 1)

        # Generate and discriminate: D minimises -log D(x) - log(1 - D(x_hat)), G -log D(x_hat).
        x_hat = G(z)
        x_hat_for_D = x_hat.view_as(x_hat)
        logits = D((batch.x, z), (x_hat_for_D, z))
        metrics = adversarial_metrics(*logits.detach().chunk(2))

        # Regress: E minimises L(z, E(x_hat)); G gets a share of the gradient.
        share = self.share_in_g
        seen = share * x_hat + (1 - share) * x_hat.detach() if share else x_hat.detach()
        location, _ = E.posterior(E.hidden(seen))
        regression = E.prior.regression_loss(location, z)
        metrics["latent_regression_loss"] = regression

        backward_both_players(bigan, logits, None, x_hat_for_D, regression)
        return {name: value.detach() for name, value in metrics.items()}
