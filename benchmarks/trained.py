"""What a trained method can be asked, whatever it is."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sklearn_bigan._inference import map_rows
from sklearn_bigan._noise import Noise
from sklearn_bigan._priors import Prior
from sklearn_bigan.networks import dcgan
from sklearn_bigan.networks.bigan import BiGAN
from sklearn_bigan.networks.discriminator import JointDiscriminator
from sklearn_bigan.networks.encoder import Encoder
from sklearn_bigan.networks.generator import Generator
from sklearn_bigan.networks.images import pool, to_maps, to_rows

CPU = torch.device("cpu")


@dataclass
class Trained:
    """Functions of rows or of a number of rows, None for what a method has not; and what it took.

    `encode` returns the representations that there are: codes "z", features "hidden", "all", both
    side by side, and features "discriminator". What networks do can be pickled.
    """

    encode: Callable[[np.ndarray], dict[str, np.ndarray]]
    reconstruct: Callable[[np.ndarray], np.ndarray] | None = None
    prior_draws: Callable[[int], np.ndarray] | None = None
    sample: Callable[[int], np.ndarray] | None = None
    decode: Callable[[np.ndarray], np.ndarray] | None = None
    seconds: float = 0.0
    updates: int = 0
    checkpoints: list["Trained"] = field(default_factory=list)


def codec(module: BiGAN, **took: Any) -> Trained:
    """E, and the way back by G."""
    encoder, generator = module.encoder, module.generator
    return Trained(
        partial(codes_and_features, encoder),
        partial(there_and_back, encoder, generator),
        decode=partial(map_rows, generator, device=CPU),
        **took,
    )


def codes_and_features(encoder: Encoder, X: np.ndarray) -> dict[str, np.ndarray]:
    """Encode rows: codes, features and both side by side."""

    def both(x: Tensor) -> Tensor:
        hidden, shown = encoder.features(x)
        return torch.cat([encoder.moments(hidden)[0], shown], dim=1)

    everything = map_rows(both, X, CPU)
    z, hidden = np.split(everything, [encoder.latent_dim], axis=1)
    return {"z": z, "hidden": hidden, "all": everything}


def there_and_back(encoder: Encoder, generator: Generator, X: np.ndarray) -> np.ndarray:
    """Return G(E(x))."""
    return map_rows(lambda x: generator(encoder(x)), X, CPU)


def bigan(module: BiGAN, prior: Prior, **took: Any) -> Trained:
    """E and G, which also draws samples; `prior` is the one of the game."""
    sample = partial(sampled, module.generator, module.encoder.prior)
    return replace(codec(module, **took), prior_draws=partial(drawn, prior), sample=sample)


def drawn(prior: Prior, n: int) -> np.ndarray:
    """Draw codes."""
    return prior.sample(n, Noise(CPU, 0)).numpy()


def sampled(generator: Generator, prior: Prior, n: int) -> np.ndarray:
    """Draw codes, and return what G makes of them."""
    with torch.inference_mode():
        return generator(prior.sample(n, Noise(CPU, 0))).numpy()


def plain_gan(module: BiGAN, prior: Prior, **took: Any) -> Trained:
    """E and G of a latent regressor, and what D, which sees x alone, makes of it before its logit.

    The one training has both to offer: the regressor, and a plain GAN's discriminator features, of
    images the pooled maps of all layers, as DCGAN's authors took them.
    """
    regressor = bigan(module, prior, **took)
    encode = partial(with_discriminator, module.encoder, module.discriminator)
    return replace(regressor, encode=encode)


def with_discriminator(
    encoder: Encoder, discriminator: JointDiscriminator, X: np.ndarray
) -> dict[str, np.ndarray]:
    """Encode rows, by D, too."""
    body = discriminator.body

    def features(x: Tensor) -> Tensor:
        if not isinstance(body, dcgan.DiscriminatorBody):
            return discriminator.features(x, x[:, :0])
        maps = [to_maps(x, body.image_shape)]
        for layer in body.x_tower:
            maps.append(layer(maps[-1]))
        return torch.cat([to_rows(found) for found in pool(maps[1:])], dim=1)

    found = codes_and_features(encoder, X)
    return {**found, "discriminator": map_rows(features, X, CPU)}
