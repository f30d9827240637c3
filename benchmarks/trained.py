"""What a trained method can be asked, whatever it is."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sklearn_bigan._inference import map_rows
from sklearn_bigan._noise import Noise
from sklearn_bigan._priors import Prior
from sklearn_bigan.networks import dcgan
from sklearn_bigan.networks.bigan import BiGAN
from sklearn_bigan.networks.images import pool, to_maps, to_rows

CPU = torch.device("cpu")


@dataclass
class Trained:
    """Functions of rows or of a number of rows, None for what a method has not; and what it took.

    `encode` returns the representations that there are: codes "z", features "hidden", "all", both
    side by side, and features "discriminator".
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
    encoder = module.encoder
    latent_dim = encoder.latent_dim

    def both(x: Tensor) -> Tensor:
        hidden, shown = encoder.features(x)
        return torch.cat([encoder.moments(hidden)[0], shown], dim=1)

    def encode(X: np.ndarray) -> dict[str, np.ndarray]:
        everything = map_rows(both, X, CPU)
        z, hidden = everything[:, :latent_dim], everything[:, latent_dim:]
        return {"z": z, "hidden": hidden, "all": everything}

    def decode(Z: np.ndarray) -> np.ndarray:
        return map_rows(module.generator, Z, CPU)

    def reconstruct(X: np.ndarray) -> np.ndarray:
        return map_rows(lambda x: module.generator(module(x)), X, CPU)

    return Trained(encode, reconstruct, decode=decode, **took)


def bigan(module: BiGAN, prior: Prior, **took: Any) -> Trained:
    """E and G, which also draws samples; `prior` is the one of the game."""

    def prior_draws(n: int) -> np.ndarray:
        return prior.sample(n, Noise(CPU, 0)).numpy()

    def sample(n: int) -> np.ndarray:
        with torch.inference_mode():
            return module.generator(module.encoder.prior.sample(n, Noise(CPU, 0))).numpy()

    return replace(codec(module, **took), prior_draws=prior_draws, sample=sample)


def plain_gan(module: BiGAN, prior: Prior, **took: Any) -> Trained:
    """E and G of a latent regressor, and what D, which sees x alone, makes of it before its logit.

    The one training has both to offer: the regressor, and a plain GAN's discriminator features, of
    images the pooled maps of all layers, as DCGAN's authors took them.
    """
    regressor, discriminator = bigan(module, prior, **took), module.discriminator
    body = discriminator.body

    def features(x: Tensor) -> Tensor:
        if not isinstance(body, dcgan.DiscriminatorBody):
            return discriminator.features(x, x[:, :0])
        maps = [to_maps(x, body.image_shape)]
        for layer in body.x_tower:
            maps.append(layer(maps[-1]))
        return torch.cat([to_rows(found) for found in pool(maps[1:])], dim=1)

    def encode(X: np.ndarray) -> dict[str, np.ndarray]:
        return {**regressor.encode(X), "discriminator": map_rows(features, X, CPU)}

    return replace(regressor, encode=encode)
