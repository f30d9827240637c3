"""BiGAN's and ALI's objective, with the terms of the default recipe."""

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from sklearn_bigan._data.augmentation import ViewDraws, apply_views, draw_views
from sklearn_bigan._data.batches import Batch
from sklearn_bigan._data.draws import Draws, map_tensors
from sklearn_bigan._objectives.adversarial import adversarial_metrics, backward_both_players
from sklearn_bigan._objectives.terms import (
    cauchy_similarity,
    contrastive_loss,
    cosine_similarity,
)
from sklearn_bigan._runtime.distributed import gather
from sklearn_bigan.networks.bigan import BiGAN, ModelSpec
from sklearn_bigan.networks.priors import Prior


class BiGANObjective(nn.Module):
    """E and G against D on pairs (x, E(x)) and (G(z), z), plus terms; weight 0 leaves one out.

    `x_variance` is the mean variance of the columns of x as the networks see them. The terms are

    - cycle: ||x - G(E(x))||^2 / x_variance (ALICE, Li et al. 2017);
    - latent cycle: ||z - E(G(z))||^2 (ALICE; VEEGAN, Srivastava et al. 2017);
    - consistency: a contrastive loss that draws the codes of a row and a neighbour, or of an image
      and a random view of it, together and those of others apart.

    Of an image E sees one random view only. What is reconstructed is encoded as it is, since a code
    that comes from a view cannot tell where the object was, nor how bright.

    Where rows have neighbours, E encodes both for the contrast, and every other row has a part in
    the adversarial and cycle losses: an update takes two thirds of the time, for codes as good.
    """

    def __init__(
        self,
        spec: ModelSpec,
        *,
        cycle_weight: float,
        latent_cycle_weight: float,
        consistency_weight: float,
        has_neighbors: bool,
        augmentations: tuple[str, ...],
        x_variance: float,
    ) -> None:
        super().__init__()
        self.spec = spec
        self.cycle_weight = cycle_weight
        self.latent_cycle_weight = latent_cycle_weight
        self.augmentations = augmentations
        self.has_neighbors = has_neighbors
        # The term compares two codes of each row; without neighbours and views there is one.
        has_pairs = has_neighbors or bool(augmentations)
        self.consistency_weight = consistency_weight if has_pairs else 0.0
        self.x_variance = x_variance

    def draw(self, prior: Prior, n_rows: int, generator: torch.Generator) -> Draws:
        """Draw z ~ p(z), the noise of a Gaussian posterior, and views, for `n_rows` rows."""
        views = None
        if self.augmentations and self.spec.image_shape is not None:
            channels = self.spec.image_shape[2]
            views = draw_views((1, n_rows), channels, self.augmentations, generator)
        n_encoded = 2 if views is not None or self.has_neighbors else 1
        z = prior.sample(n_rows, generator).unsqueeze(0)
        eps = None
        if self.spec.posterior == "gaussian":
            shape = (n_encoded, n_rows, self.spec.latent_dim)
            eps = torch.randn(shape, generator=generator, device=generator.device)
        return Draws(z, eps, views)

    def backward(self, bigan: BiGAN, batch: Batch) -> dict[str, Tensor]:
        """Leave every player's gradient on its weights; return the step's metrics."""
        E, G, D = bigan.encoder, bigan.generator, bigan.discriminator
        z, eps, views = map_tensors(lambda drawn: drawn.flatten(0, 1), batch.draws)

        # Encode: z_hat ~ q(z|x).
        codes = E.sample(self.encoder_inputs(batch, views), eps)
        subset = every_other(len(z)) if self.has_neighbors and views is None else slice(None)
        x, z = batch.x[subset], z[subset]
        z_hat = codes[: len(batch.x)][subset]

        # Generate: x_hat = G(z), x_tilde = G(z_hat). G runs once, so that its batch statistics are
        # those of prior draws and codes together, as in use.
        if self.cycle_weight:
            x_hat, x_tilde = G(torch.cat([z, z_hat])).chunk(2)
        else:
            x_hat, x_tilde = G(z), None

        # Discriminate: D minimises -log D(x, z_hat) - log(1 - D(x_hat, z)), E and G the same with
        # the labels swapped. D is given views of the tensors, for its own gradients.
        generated, source = self.generator_pairs(x_hat, x_tilde, z, z_hat)
        z_hat_for_D, generated_for_D = z_hat.view_as(z_hat), generated.view_as(generated)
        logits = D((x, z_hat_for_D), (generated_for_D, source))
        metrics = adversarial_metrics(*logits.detach().split([len(z_hat), len(source)]))

        # Terms that tie E to G, and the codes of neighbours or views to each other. The latent
        # cycle sees every other draw, which was as good on digits and MNIST for half the time.
        terms: list[Tensor] = []
        if x_tilde is not None:
            metrics["cycle_loss"] = mse_loss(x_tilde, x) / self.x_variance
            terms.append(self.cycle_weight * metrics["cycle_loss"])
        if self.latent_cycle_weight:
            half = every_other(len(z))
            metrics["latent_cycle_loss"] = mse_loss(E(x_hat[half]), z[half])
            terms.append(self.latent_cycle_weight * metrics["latent_cycle_loss"])
        if self.consistency_weight:
            metrics["consistency_loss"] = self.consistency(codes)
            terms.append(self.consistency_weight * metrics["consistency_loss"])

        # One pass back through all three networks.
        total = torch.stack(terms).sum() if terms else None
        backward_both_players(bigan, logits, z_hat_for_D, generated_for_D, total)
        return {name: value.detach() for name, value in metrics.items()}

    def encoder_inputs(self, batch: Batch, views: ViewDraws | None) -> Tensor:
        """Return the rows, and after them their neighbours, or a view of each image, if any."""
        other = batch.neighbor
        if views is not None and self.spec.image_shape is not None:
            other = apply_views(other, self.spec.image_shape, views, math.sqrt(self.x_variance))
        elif not self.has_neighbors:
            return batch.x
        return torch.cat([batch.x, other])

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
        """Return the contrastive loss of all processes' codes: of views, or of neighbours."""
        similarity = cosine_similarity if self.augmentations else cauchy_similarity
        return contrastive_loss(similarity(gather(codes, 2)))


def every_other(n_rows: int) -> slice:
    """Return the slice of every other row, or of all where batch norm would be left with one."""
    return slice(None, None, 2 if n_rows > 2 else 1)
