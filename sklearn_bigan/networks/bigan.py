"""The three networks together, and how they are made from a plain description."""

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from sklearn_bigan._runtime.determinism import default_generators_seeded
from sklearn_bigan._runtime.distributed import SharedBatchNorm
from sklearn_bigan._runtime.settings import fixed_threads
from sklearn_bigan.networks import ali, dcgan, mlp
from sklearn_bigan.networks.body import count_outputs
from sklearn_bigan.networks.discriminator import JointDiscriminator
from sklearn_bigan.networks.encoder import Encoder
from sklearn_bigan.networks.generator import Generator
from sklearn_bigan.networks.images import ImageShape
from sklearn_bigan.networks.priors import MixturePrior, make_prior

CPU = torch.device("cpu")
Factory = Callable[..., nn.Module]
ROLES = ("encoder", "generator", "discriminator")
MLP_BODIES: tuple[Factory, ...] = (mlp.encoder_body, mlp.generator_body, mlp.PairBody)
IMAGE_BODIES: dict[str, tuple[Factory, ...]] = {
    "dcgan": (dcgan.encoder_body, dcgan.GeneratorBody, dcgan.DiscriminatorBody),
    "ali": (ali.encoder_body, ali.GeneratorBody, ali.DiscriminatorBody),
}


@dataclass(frozen=True)
class ModelSpec:
    """Everything needed to make the networks: plain values and the user's factories.

    Most fields are parameters of the estimator, with "auto" resolved; `image_shape` has three
    entries. `network` is "mlp", "dcgan", "ali", or the user's factories by role. `first_channels`
    are those of the largest map of DCGAN's networks; models of earlier versions have 32.
    """

    n_features: int
    latent_dim: int
    method: str
    posterior: str
    prior: str
    n_clusters: int
    output_activation: str
    hidden_layer_sizes: tuple[int, ...]
    image_shape: ImageShape | None
    network: str | Mapping[str, Factory]
    first_channels: int = dcgan.FIRST_CHANNELS

    @property
    def joint(self) -> bool:
        """Whether D sees z. The latent regressors train a plain GAN, whose D sees x alone."""
        return self.method not in ("latent_regression", "joint_latent_regression")

    @property
    def discriminator_latent_dim(self) -> int:
        """Size of z that D is made for."""
        return self.latent_dim if self.joint else 0

    @property
    def has_private_randomness(self) -> bool:
        """Whether training draws from private generators only.

        Dropout, which ALI's and users' networks may have, draws from torch's default generator.
        """
        return self.network in ("mlp", "dcgan")

    def network_names(self) -> str | dict[str, str]:
        """Return the name of the network, or those of the user's factories by role."""
        if isinstance(self.network, str):
            return self.network
        return {role: getattr(f, "__qualname__", repr(f)) for role, f in self.network.items()}

    def user_factories(self) -> dict[str, Factory]:
        """Return the user's factories by role, if any."""
        if isinstance(self.network, str):
            return {}
        image = {} if self.image_shape is None else {"image_shape": self.image_shape}
        return {role: partial(factory, **image) for role, factory in self.network.items()}

    def factories(self) -> dict[str, Factory]:
        """Return one factory for each role: the user's where given, else the package's."""
        kind = self.network if isinstance(self.network, str) else default_network(self.image_shape)
        if kind == "mlp":
            bodies = [partial(body, widths=self.hidden_layer_sizes) for body in MLP_BODIES]
        else:
            first = {"n_first": self.first_channels} if kind == "dcgan" else {}
            options = {"image_shape": self.image_shape} | first
            bodies = [partial(body, **options) for body in IMAGE_BODIES[kind]]
        return dict(zip(ROLES, bodies, strict=True)) | self.user_factories()


def default_network(image_shape: ImageShape | None) -> str:
    """Return the default networks: "mlp" for tables, "dcgan" for images."""
    return "mlp" if image_shape is None else "dcgan"


class Averaged(nn.Module):
    """E and G as they are used after training: with averaged weights."""

    def __init__(self, encoder: Encoder, generator: Generator) -> None:
        super().__init__()
        self.encoder = encoder
        self.generator = generator
        # Their batch statistics are computed after training, from the same rows in every process.
        for part in self.modules():
            if isinstance(part, SharedBatchNorm):
                part.shared = False


class BiGAN(nn.Module):
    """The three networks as they are trained, and E and G as they are used.

    `averaged` holds copies of E and G for averaged weights, always in evaluation mode; they are not
    trained themselves.
    """

    def __init__(
        self, encoder: Encoder, generator: Generator, discriminator: JointDiscriminator
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.generator = generator
        self.discriminator = discriminator
        copies = Averaged(copy.deepcopy(encoder), copy.deepcopy(generator))
        self.averaged = copies.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> "BiGAN":
        """Set the training mode of E, G and D; the averaged networks stay in evaluation mode."""
        super().train(mode)
        self.averaged.eval()
        return self

    def set_precision(self, precision: str) -> None:
        """Train the bodies in `precision`, "float32" or "bfloat16" (mixed precision)."""
        dtype = None if precision == "float32" else getattr(torch, precision)
        for network in (self.encoder, self.generator, self.discriminator):
            network.autocast_dtype = dtype

    def trained_parameters(self) -> list[nn.Parameter]:
        """Return the parameters of E, G and D, without the averaged copies."""
        networks = (self.encoder, self.generator, self.discriminator)
        return [weight for network in networks for weight in network.parameters()]

    def forward(self, x: Tensor) -> Tensor:
        """E[z | x] by the averaged encoder, (batch, latent_dim)."""
        return self.averaged.encoder(x)


def make_bigan(spec: ModelSpec, x_mean: Tensor, seed: int) -> BiGAN:
    """Make the networks on the CPU, with weights that depend on the seed alone.

    Samples start at `x_mean`, the mean of the rows as the networks see them.
    """
    with fixed_threads(), default_generators_seeded(seed, CPU):
        bodies = _make_bodies(spec, spec.factories())
        encoder, generator, discriminator = _assemble(spec, bodies, _count(spec, bodies))
        if isinstance(encoder.prior, MixturePrior):
            encoder.prior.initialise()
    generator.initialise_bias(x_mean)
    return BiGAN(encoder, generator, discriminator)


def load_bigan(spec: ModelSpec, arrays: Mapping[str, np.ndarray]) -> BiGAN:
    """Make the networks with the weights and buffers of `arrays`, a state dict of numpy arrays.

    The package's own networks are made without memory and without drawing weights; a user's
    factory runs as it is.
    """
    # torch.tensor copies: joblib may hand over read-only memory maps.
    tensors = {name: torch.tensor(array) for name, array in arrays.items()}
    n_outputs = {
        "encoder": tensors["encoder.head.weight"].shape[1],
        "generator": spec.n_features,
        "discriminator": tensors["discriminator.head.weight"].shape[1],
    }
    bigan = bigan_without_weights(spec, n_outputs)
    bigan.load_state_dict(tensors, assign=True)
    return bigan


def bigan_without_weights(spec: ModelSpec, n_outputs: Mapping[str, int] | None = None) -> BiGAN:
    """Make the networks as `load_bigan` does; the bodies' outputs are counted unless given."""
    users = spec.user_factories()
    own = {role: factory for role, factory in spec.factories().items() if role not in users}
    bodies: dict[str, nn.Module] = {}
    counted: dict[str, int] = {}
    if users:  # which may draw weights
        with default_generators_seeded(0, CPU):
            bodies = _make_bodies(spec, users)
            counted = _count(spec, bodies) if n_outputs is None else {}
    with torch.device("meta"):
        added = _make_bodies(spec, own)
        if n_outputs is None:
            n_outputs = counted | _count(spec, added)
        return BiGAN(*_assemble(spec, bodies | added, n_outputs))


def _count(spec: ModelSpec, bodies: Mapping[str, nn.Module]) -> dict[str, int]:
    """Return the number of outputs of each body."""
    widths = {
        "encoder": (spec.n_features,),
        "generator": (spec.latent_dim,),
        "discriminator": (spec.n_features, spec.discriminator_latent_dim),
    }
    return {role: count_outputs(role, body, *widths[role]) for role, body in bodies.items()}


def _assemble(
    spec: ModelSpec, bodies: dict[str, nn.Module], n_outputs: Mapping[str, int]
) -> tuple[Encoder, Generator, JointDiscriminator]:
    """Put bodies, whose numbers of outputs are given, and heads together."""
    if n_outputs["generator"] != spec.n_features:
        raise ValueError(
            f"The network's generator must return {spec.n_features} columns, one for each feature "
            f"of X. Got {n_outputs['generator']}; end it with a layer of {spec.n_features} outputs."
        )
    bodies = {role: SharedBatchNorm.convert(body) for role, body in bodies.items()}
    prior = make_prior(spec.prior, spec.latent_dim, spec.n_clusters)
    gaussian = spec.posterior == "gaussian"
    networks = (
        Encoder(bodies["encoder"], n_outputs["encoder"], spec.latent_dim, gaussian, prior),
        Generator(
            bodies["generator"],
            spec.n_features,
            spec.output_activation,
            fixed_bias=spec.image_shape is not None,
        ),
        JointDiscriminator(bodies["discriminator"], n_outputs["discriminator"], spec.joint),
    )
    users = spec.user_factories()
    for network in networks:
        network.own_body = network.role in users
    return networks


def _make_bodies(spec: ModelSpec, factories: Mapping[str, Factory]) -> dict[str, nn.Module]:
    """Call the factory of each role."""
    latent_dims = (spec.latent_dim, spec.latent_dim, spec.discriminator_latent_dim)
    of_role = dict(zip(ROLES, latent_dims, strict=True))
    return {
        role: factory(n_features=spec.n_features, latent_dim=of_role[role])
        for role, factory in factories.items()
    }
