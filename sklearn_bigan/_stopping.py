"""Early stopping by held-out rows: the adversarial losses cannot say which weights are best."""

from typing import Any, NamedTuple

import numpy as np
import torch
from sklearn.model_selection import train_test_split
from skorch.callbacks import Callback
from torch import Tensor

from sklearn_bigan._averaging import weights
from sklearn_bigan._inference import CHUNK_ROWS
from sklearn_bigan.networks.bigan import BiGAN

# As `fit` needs: a single row has no spread.
FEWEST_ROWS = 2


class Patience(NamedTuple):
    """How many rows to hold out, and how long to wait for a better reconstruction of them."""

    fraction: float
    n_epochs: int

    def split(self, rows: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the rows to learn from and those held out."""
        n_held_out = max(FEWEST_ROWS, round(self.fraction * len(rows)))
        if len(rows) - n_held_out < FEWEST_ROWS:
            raise ValueError(
                f"early_stopping=True with validation_fraction={self.fraction} holds out "
                f"{n_held_out} of {len(rows)} rows, which leaves fewer than {FEWEST_ROWS} to learn "
                f"from. Pass more rows, or set early_stopping=False."
            )
        learned, held_out = train_test_split(rows, test_size=n_held_out, random_state=seed)
        return learned, held_out


class EarlyStopping(Callback):  # type: ignore[misc]  # skorch has no types
    """Ends training when held-out rows are no longer reconstructed better, and goes back to then.

    Parameters
    ----------
    rows : Tensor of shape (n_held_out, n_features)
        The held-out rows.
    patience : int
        Epochs without a better score after which training ends.
    """

    def __init__(self, rows: Tensor, patience: int) -> None:
        self.rows = rows
        self.patience = patience
        self.best = -np.inf
        self.best_weights: list[Tensor] = []
        self.waited = 0

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        """Score the averaged weights; stop as skorch's own callbacks do."""
        net.gather_statistics(anew=True)
        score = reconstruction_score(net.averaged_, self.rows)
        net.history.record("validation_score", score)
        if score > self.best:
            self.best, self.waited = score, 0
            self.best_weights = [weight.clone() for weight in weights(net.averaged_)]
            return
        self.waited += 1
        if self.waited == self.patience:
            raise KeyboardInterrupt

    @torch.no_grad()
    def on_train_end(self, net: Any, **kwargs: Any) -> None:
        """Go back to the best weights."""
        if self.best_weights:
            torch._foreach_copy_(weights(net.averaged_), self.best_weights)


@torch.no_grad()
def reconstruction_score(module: BiGAN, rows: Tensor) -> float:
    """R^2 of G(E(x)), as `BiGANTransformer.score` has it but for the mean, which is the rows'."""
    error = sum(
        (x - module.generator(module(x))).square().sum() for x in torch.split(rows, CHUNK_ROWS)
    )
    return float(1 - error / (rows - rows.mean(0)).square().sum())
