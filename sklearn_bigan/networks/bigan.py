"""The container of the three networks, and how it is made from a plain description."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from sklearn_bigan._priors import make_prior
from sklearn_bigan.networks import ali, dcgan, mlp
from sklearn_bigan.networks.discriminator import JointDiscriminator
from sklearn_bigan.networks.encoder import Encoder
from sklearn_bigan.networks.generator import OUTPUT_RANGES, Generator
from sklearn_bigan.networks.images import ImageShape
from sklearn_bigan.networks.units import Inward

Factory = Callable[..., nn.Module]
ROLES = ("encoder", "generator", "discriminator")
TABLE_BODIES: tuple[Factory, ...] = (
    mlp.encoder_body,
    mlp.generator_body,
    mlp.DiscriminatorBody,
)
IMAGE_BODIES: dict[str, tuple[Factory, ...]] = {
    "dcgan": (dcgan.encoder_body, dcgan.GeneratorBody, dcgan.DiscriminatorBody),
    "ali": (ali.encoder_body, ali.GeneratorBody, ali.DiscriminatorBody),
}


@dataclass(frozen=True)
class Blueprint:
    """What a model is made of: plain values and the user's factories, enough to make it anew."""

    n_features: int
    latent_dim: int
    posterior: str
    prior: str
    n_clusters: int
    inference: str
    loss: str
    output_activation: str
    hidden_layer_sizes: tuple[int, ...]
    image_shape: ImageShape | None
    network: str | Mapping[str, Factory]

    @property
    def joint(self) -> bool:
        """Whether D sees z. The latent regressors train a plain GAN, whose D sees x alone."""
        return self.inference == "adversarial"

    @property
    def draws_privately(self) -> bool:
        """Whether all randomness of training comes from the net's own generators.

        Dropout, ALI's and what a user's network may have, draws from torch's global one.
        """
        return self.network in ("mlp", "dcgan")

    def factories(self) -> dict[str, Factory]:
        """Return one factory a role: the package's, and the user's where there is one."""
        image = {} if self.image_shape is None else {"image_shape": self.image_shape}
        made_by_user: Mapping[str, Factory] = {}
        kind = default_network(self.image_shape)
        if isinstance(self.network, str):
            kind = self.network
        else:
            made_by_user = self.network
        if kind == "mlp":
            bodies = [partial(body, widths=self.hidden_layer_sizes) for body in TABLE_BODIES]
        else:
            bodies = [partial(body, **image) for body in IMAGE_BODIES[kind]]
        ours: dict[str, Factory] = dict(zip(ROLES, bodies, strict=True))
        return ours | {role: partial(body, **image) for role, body in made_by_user.items()}


def default_network(image_shape: ImageShape | None) -> str:
    """Return the networks that suit tables, or images."""
    return "mlp" if image_shape is None else "dcgan"


class BiGAN(nn.Module):
    """The three networks; called as one, it is the encoder."""

    def __init__(
        self, encoder: Encoder, generator: Generator, discriminator: JointDiscriminator
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.generator = generator
        self.discriminator = discriminator

    def forward(self, x: Tensor) -> Tensor:
        """E[z | x], (batch, latent_dim)."""
        return self.encoder(x)


def make_bigan(blueprint: Blueprint, x_mean: Tensor, x_unit: Tensor) -> BiGAN:
    """Make the three networks on the CPU, with weights from torch's global generator."""
    bounded = OUTPUT_RANGES[blueprint.output_activation] is not None
    inward = nn.Identity() if bounded else Inward(x_mean, x_unit)
    n_features, latent_dim = blueprint.n_features, blueprint.latent_dim
    factories = blueprint.factories()
    # A plain GAN is a joint discriminator that is shown no column of z.
    seen_latent_dim = latent_dim if blueprint.joint else 0

    body = factories["encoder"](n_features=n_features, latent_dim=latent_dim)
    n_hidden = _n_outputs("encoder", body, n_features)
    gaussian = blueprint.posterior == "gaussian"
    prior = make_prior(blueprint.prior, latent_dim, blueprint.n_clusters)
    encoder = Encoder(body, n_hidden, latent_dim, gaussian, prior, inward)

    body = factories["generator"](n_features=n_features, latent_dim=latent_dim)
    width = _n_outputs("generator", body, latent_dim)
    if width != n_features:
        raise ValueError(
            f"The network's generator must return {n_features} columns, one for each feature of "
            f"X. Got {width}; end it with a layer of {n_features} outputs."
        )
    generator = Generator(body, x_mean, x_unit, blueprint.output_activation)

    body = factories["discriminator"](n_features=n_features, latent_dim=seen_latent_dim)
    n_hidden = _n_outputs("discriminator", body, n_features, seen_latent_dim)
    return BiGAN(encoder, generator, JointDiscriminator(body, n_hidden, inward))


def _n_outputs(role: str, body: Any, *widths: int) -> int:
    """Width of the body's flattened output, found by a trial on two rows of zeros."""
    if not isinstance(body, nn.Module):
        raise TypeError(
            f"The network's {role} factory must return a torch.nn.Module. Got "
            f"{type(body).__name__}; pass the class or function that makes the module."
        )
    trial = [torch.zeros(2, width) for width in widths]
    was_training = body.training
    try:
        with torch.no_grad():
            outputs = body.eval()(*trial)
        body.train(was_training)
        return outputs.flatten(1).shape[1]
    except Exception as error:
        shapes = " and ".join(str(tuple(batch.shape)) for batch in trial)
        error.add_note(f"Raised when the network's {role} was tried on zeros of shape {shapes}.")
        raise
