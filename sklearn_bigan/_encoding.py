"""What the encoder adds to a transformer beside `transform`: names, clusters, certainty."""

from collections.abc import Callable
from typing import Any, cast

import numpy as np
import torch
from sklearn.base import ClassNamePrefixFeaturesOutMixin
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from sklearn_bigan._inference import MULTIPLE, map_rows, rows_multiple
from sklearn_bigan._net import BiGANNet
from sklearn_bigan._priors import MixturePrior
from sklearn_bigan.networks.bigan import BiGAN


def _has_clusters(estimator: Any) -> bool:
    fitted = hasattr(estimator, "net_")
    prior = estimator.net_.blueprint.prior if fitted else estimator.prior
    if prior != "mixture":
        raise AttributeError(
            f"predict_cluster needs prior='mixture'; the codes of prior={prior!r} have no clusters."
        )
    return True


def _has_posterior_moments(estimator: Any) -> bool:
    fitted = hasattr(estimator, "net_")
    posterior = estimator.net_.blueprint.posterior if fitted else estimator.posterior
    if posterior != "gaussian":
        raise AttributeError(
            f"posterior_moments needs posterior='gaussian'; the codes of posterior={posterior!r} "
            f"have no spread."
        )
    return True


class EncodingMixin(ClassNamePrefixFeaturesOutMixin):
    """Methods of a fitted `BiGANTransformer` that need E."""

    features: str
    device_: str
    net_: BiGANNet
    _rows: Callable[[Any], np.ndarray]

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Name the columns that `transform` returns.

        Parameters
        ----------
        input_features : array-like of str or None, default=None
            Checked, against the names that X had or else by their number, and of no other effect.

        Returns
        -------
        names : ndarray of str
            ``bigantransformer0`` and so on; hidden features of images by layer, part of the image
            (from the upper left) and channel, ``bigantransformer_layer1_part0_2_channel5``.
        """
        names = super().get_feature_names_out(input_features)
        told = self._module.encoder.names
        if self.features != "latent" and told is not None:
            prefix = type(self).__name__.lower()
            names[-len(told) :] = [f"{prefix}_{name}" for name in told]
        return names

    @available_if(_has_posterior_moments)
    def posterior_moments(self, X: Any) -> tuple[np.ndarray, np.ndarray]:
        """How sure the encoder is: mean and standard deviation of q(z | x).

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows to encode.

        Returns
        -------
        mean, std : ndarray of shape (n_samples, n_components), dtype float32
            For each component of z.
        """
        encoder = self._module.encoder

        def moments(x: Tensor) -> Tensor:
            return torch.cat(encoder.moments(encoder.hidden(x)), dim=1)

        both = self._map(moments, self._rows(X))
        return both[:, : encoder.latent_dim], both[:, encoder.latent_dim :]

    @available_if(_has_clusters)
    def predict_cluster(self, X: Any) -> np.ndarray:
        """Say which of the prior's clusters each row's code lies in.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows to encode.

        Returns
        -------
        clusters : ndarray of shape (n_samples,), dtype int64
            Numbers from 0 to ``n_clusters - 1``, without an order; `sample` takes them.
        """
        encoder = self._module.encoder
        prior = cast(MixturePrior, encoder.prior)
        clusters = self._map(lambda x: prior.cluster(encoder(x)).unsqueeze(1), self._rows(X))
        return clusters.ravel().astype(np.int64)

    @property
    def _module(self) -> BiGAN:
        check_is_fitted(self)
        return self.net_.averaged_

    @property
    def _n_features_out(self) -> int:
        encoder = self._module.encoder
        n_hidden = encoder.n_hidden if encoder.names is None else len(encoder.names)
        widths = {"latent": encoder.latent_dim, "hidden": n_hidden}
        return widths.get(self.features, sum(widths.values()))

    def _map(self, function: Callable[[Tensor], Tensor], rows: np.ndarray) -> np.ndarray:
        plain = self.device_ == "cpu" and self.net_.blueprint.network == "mlp"
        multiple = rows_multiple() if plain else MULTIPLE
        return map_rows(function, rows, torch.device(self.device_), multiple)
