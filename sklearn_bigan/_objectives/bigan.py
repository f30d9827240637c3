"""BiGAN's and ALI's objective, with the terms of the default recipe."""

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from sklearn_bigan._data.augmentation import ViewDraws, apply_views, draw_views
from sklearn_bigan._data.batches import Batch
from sklearn_bigan._data.draws import Draws, map_tensors
from sklearn_bigan._objectives.adversarial import adversarial_metrics, backward_both_players
from sklearn_bigan._objectives.terms import consistency_loss, contrastive_loss
from sklearn_bigan._runtime.distributed import gather
from sklearn_bigan.networks.bigan import BiGAN, ModelSpec
from sklearn_bigan.networks.priors import Prior


class BiGANObjective(nn.Module):
    """E and G against D on pairs (x, E(x)) and (G(z), z), plus terms; weight 0 leaves one out.

    `x_variance` is the mean variance of the columns of x as the networks see them. The terms are

    - cycle: ||x - G(E(x))||^2 / x_variance (ALICE, Li et al. 2017);
    - latent cycle: ||z - E(G(z))||^2 (ALICE; VEEGAN, Srivastava et al. 2017);
    - consistency: the distance between codes of rows and partners, or NT-Xent between views.
    """

    def __init__(
        self,
        spec: ModelSpec,
        *,
        cycle_weight: float,
        latent_cycle_weight: float,
        consistency_weight: float,
        has_partners: bool,
        augmentations: tuple[str, ...],
        x_variance: float,
    ) -> None:
        super().__init__()
        self.spec = spec
        self.cycle_weight = cycle_weight
        self.latent_cycle_weight = latent_cycle_weight
        self.augmentations = augmentations
        self.has_partners = has_partners
        # The term compares two codes of each row; without partners and views there is one.
        has_pairs = has_partners or bool(augmentations)
        self.consistency_weight = consistency_weight if has_pairs else 0.0
        self.x_variance = x_variance

    def draw(self, prior: Prior, n_rows: int, generator: torch.Generator) -> Draws:
        """Draw z ~ p(z), the noise of a Gaussian posterior, and views, for `n_rows` rows."""
        views = None
        if self.augmentations and self.spec.image_shape is not None:
            channels = self.spec.image_shape[2]
            views = draw_views((2, n_rows), channels, self.augmentations, generator)
        n_encoded = 2 if views is not None or self.has_partners else 1
        n_sets = 1 if views is not None else n_encoded
        z = prior.sample(n_sets * n_rows, generator).view(n_sets, n_rows, -1)
        eps = None
        if self.spec.posterior == "gaussian":
            shape = (n_encoded, n_rows, self.spec.latent_dim)
            eps = torch.randn(shape, generator=generator, device=generator.device)
        return Draws(z, eps, views)

    def backward(self, bigan: BiGAN, batch: Batch) -> dict[str, Tensor]:
        """Leave every player's gradient on its weights; return the step's metrics."""
        E, G, D = bigan.encoder, bigan.generator, bigan.discriminator
        z, eps, views = map_tensors(lambda drawn: drawn.flatten(0, 1), batch.draws)
        x, x_for_D, x_for_E = self.inputs(batch, views)

        # Encode and generate: z_hat ~ q(z|x), x_hat = G(z), x_tilde = G(z_hat). G runs once, so
        # that its batch statistics are those of prior draws and codes together, as in use.
        codes = E.sample(x_for_E, eps)
        z_hat = codes[: len(x)]
        if self.cycle_weight:
            x_hat, x_tilde = G(torch.cat([z, z_hat])).chunk(2)
        else:
            x_hat, x_tilde = G(z), None

        # Discriminate: D minimises -log D(x, z_hat) - log(1 - D(x_hat, z)), E and G the same with
        # the labels swapped. D is given views of the tensors, for its own gradients.
        generated, source = self.generator_pairs(x_hat, x_tilde, z, z_hat)
        z_hat_for_D, generated_for_D = z_hat.view_as(z_hat), generated.view_as(generated)
        logits = D((x_for_D, z_hat_for_D), (generated_for_D, source))
        metrics = adversarial_metrics(*logits.detach().split([len(z_hat), len(source)]))

        # Terms that tie E to G, and the codes of partners or views to each other. The latent cycle
        # sees every other draw, which was as good on digits and MNIST for half the time.
        terms: list[Tensor] = []
        if x_tilde is not None:
            metrics["cycle_loss"] = mse_loss(x_tilde, x) / self.x_variance
            terms.append(self.cycle_weight * metrics["cycle_loss"])
        if self.latent_cycle_weight:
            half = slice(None, None, 2 if len(z) > 2 else 1)  # batch norm needs two rows
            metrics["latent_cycle_loss"] = mse_loss(E(x_hat[half]), z[half])
            terms.append(self.latent_cycle_weight * metrics["latent_cycle_loss"])
        if self.consistency_weight:
            metrics["consistency_loss"] = self.consistency(codes)
            terms.append(self.consistency_weight * metrics["consistency_loss"])

        # One pass back through all three networks.
        total = torch.stack(terms).sum() if terms else None
        backward_both_players(bigan, logits, z_hat_for_D, generated_for_D, total)
        return {name: value.detach() for name, value in metrics.items()}

    def inputs(self, batch: Batch, views: ViewDraws | None) -> tuple[Tensor, Tensor, Tensor]:
        """Return the rows x, what D is given beside their codes, and what E encodes.

        With partners, D is given a row's partner beside the row's code, and the reverse. With
        views, E encodes two views of each image, and D sees the images.
        """
        if views is not None and self.spec.image_shape is not None:
            both = torch.cat([batch.x, batch.partner])
            x_for_E = apply_views(both, self.spec.image_shape, views, math.sqrt(self.x_variance))
            return batch.x, batch.partner, x_for_E
        if self.has_partners:
            x = torch.cat([batch.x, batch.partner])
            return x, torch.cat([batch.partner, batch.x]), x
        return batch.x, batch.x, batch.x

    def generator_pairs(
        self, x_hat: Tensor, x_tilde: Tensor | None, z: Tensor, z_hat: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return G's outputs and the codes they came from, as D is given them.

        For images every other pair is a reconstruction with its code, as in VAE/GAN (Larsen et al.
        2016, arXiv:1512.09300): the same pairs where E and G invert each other.
        """
        if x_tilde is None or not self.augmentations:
            return x_hat, z
        generated = torch.cat([x_hat[::2], x_tilde[1::2]])
        return generated, torch.cat([z[::2], z_hat[1::2]]).detach()

    def consistency(self, codes: Tensor) -> Tensor:
        """Return NT-Xent between views, or the squared distance between rows and partners."""
        return contrastive_loss(gather(codes, 2)) if self.augmentations else consistency_loss(codes)
