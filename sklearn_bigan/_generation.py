"""What the generator adds to a transformer: the way back, samples, and scores."""

import copy
from numbers import Integral
from typing import Any

import numpy as np
import torch
from sklearn.utils import check_array
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from sklearn_bigan._encoding import EncodingMixin
from sklearn_bigan._noise import Noise
from sklearn_bigan._parameters import draw_seed
from sklearn_bigan._priors import MixturePrior, Prior
from sklearn_bigan._randomness import float32_by_default

# Weight of the discriminator's term in EGBAD's anomaly score.
EGBAD_WEIGHT = 0.1


class GenerationMixin(EncodingMixin):
    """Methods of a fitted `BiGANTransformer` that need G, D or the prior."""

    mean_: np.ndarray
    n_features_in_: int

    def inverse_transform(self, Z: Any) -> np.ndarray:
        """Generate x_hat = G(z) from codes.

        Parameters
        ----------
        Z : array-like of shape (n_samples, n_features_out)
            What `transform` returned; with ``features="all"`` the leading columns are used.

        Returns
        -------
        X : ndarray of shape (n_samples, n_features_in_), dtype float32
            One generated row for each code.

        Raises
        ------
        ValueError
            With ``features="hidden"``: G maps codes, and hidden features are none.
        """
        check_is_fitted(self)
        if self.features == "hidden":
            raise ValueError(
                "inverse_transform needs codes, which features='hidden' leaves out: the generator "
                "maps z, not hidden features. Use features='latent' or features='all'."
            )
        Z = check_array(Z, input_name="Z")
        if Z.shape[1] != self._n_features_out:
            raise ValueError(
                f"Z has {Z.shape[1]} columns, but with features={self.features!r} transform gives "
                f"{self._n_features_out}; pass what transform returned."
            )
        codes = Z[:, : self._module.encoder.latent_dim]
        return self._map(self._module.generator, codes)

    def reconstruct(self, X: Any) -> np.ndarray:
        """Return G(E(X)).

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows to reconstruct.

        Returns
        -------
        X_hat : ndarray of shape (n_samples, n_features), dtype float32
            Where G and E invert each other, X itself.
        """
        X = self._rows(X)
        return self._map(lambda x: self._module.generator(self._module(x)), X)

    def sample(
        self,
        n_samples: int = 1,
        random_state: int | np.random.RandomState | None = None,
        *,
        cluster: int | None = None,
    ) -> np.ndarray:
        """Generate new rows G(z), z drawn from the prior.

        Parameters
        ----------
        n_samples : int, default=1
            How many, at least 1.
        random_state : int, RandomState instance or None, default=None
            Determines z.
        cluster : int or None, default=None
            With ``prior="mixture"``, the cluster to draw from, as `predict_cluster` numbers
            them. None: from all, as often as the training rows' codes lay there.

        Returns
        -------
        X : ndarray of shape (n_samples, n_features_in_), dtype float32
            The generated rows.
        """
        check_is_fitted(self)
        if not isinstance(n_samples, Integral) or int(n_samples) < 1:
            raise ValueError(
                f"The 'n_samples' parameter must be an int in the range [1, inf). Got "
                f"{n_samples!r} instead."
            )
        # On the CPU, so that a seed means the same z on every device.
        prior = copy.deepcopy(self._module.encoder.prior).cpu()
        noise = Noise(torch.device("cpu"), draw_seed(random_state))
        with float32_by_default():
            if cluster is None:
                z = prior.sample(n_samples, noise)
            else:
                z = _clustered(prior, cluster).sample(n_samples, noise, cluster)
        return self._map(self._module.generator, z.numpy())

    def score(self, X: Any, y: Any = None) -> float:
        """Share of the variation of X that G(E(X)) explains; comparable with PCA's.

        1 - sum (x - G(E(x)))^2 / sum (x - mean_)^2. Higher is better, 1 is perfect, 0 no better
        than the mean of the training data; negative values are possible.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows to reconstruct.
        y : None
            Ignored.

        Returns
        -------
        score : float
            The R^2 of the reconstruction.
        """
        X = self._rows(X)
        mean = torch.tensor(self.mean_, dtype=torch.float32, device=self.device_)

        def squares(x: Tensor) -> Tensor:
            x_hat = self._module.generator(self._module(x))
            return torch.stack([(x - x_hat).square().sum(1), (x - mean).square().sum(1)], dim=1)

        residual, total = self._map(squares, X).sum(axis=0, dtype=np.float64)
        if total == 0:  # X is its mean: as r2_score has it
            return 1.0 if residual == 0 else 0.0
        return float(1 - residual / total)

    def score_samples(self, X: Any) -> np.ndarray:
        """How normal each row is: minus the anomaly score of EGBAD (Zenati et al. 2018).

        -(0.9 * ||x - G(E(x))||_1 + 0.1 * ||f(x, E(x)) - f(G(E(x)), E(x))||_1), f the layer of D
        before the logit.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows to score.

        Returns
        -------
        scores : ndarray of shape (n_samples,), dtype float32
            Higher is more normal; at most 0.
        """
        discriminator, joint = self._module.discriminator, self.net_.blueprint.joint

        def anomaly(x: Tensor) -> Tensor:
            z_hat = self._module(x)
            x_hat = self._module.generator(z_hat)
            z_seen = z_hat if joint else z_hat[:, :0]
            gap = discriminator.features(x, z_seen) - discriminator.features(x_hat, z_seen)
            reconstruction, matching = (x - x_hat).abs().sum(1), gap.abs().sum(1)
            return -((1 - EGBAD_WEIGHT) * reconstruction + EGBAD_WEIGHT * matching).unsqueeze(1)

        return self._map(anomaly, self._rows(X)).ravel()


def _clustered(prior: Prior, cluster: Any) -> MixturePrior:
    """Return the prior if it has that cluster."""
    if not isinstance(prior, MixturePrior):
        raise ValueError(
            f"The 'cluster' parameter needs a model trained with prior='mixture'. Got "
            f"{cluster!r}; leave it out."
        )
    if not isinstance(cluster, Integral) or not 0 <= int(cluster) < len(prior.means):
        raise ValueError(
            f"The 'cluster' parameter must be an int in the range [0, {len(prior.means)}), one of "
            f"the prior's clusters. Got {cluster!r} instead."
        )
    return prior
