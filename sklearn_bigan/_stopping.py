"""Early stopping by held-out rows: the adversarial losses cannot say which weights are best."""

from typing import Any, NamedTuple

import numpy as np
import torch
from sklearn.model_selection import train_test_split
from torch import Tensor

from sklearn_bigan._averaging import weights
from sklearn_bigan._inference import CHUNK_ROWS

# As `fit` needs: a single row has no spread. The most are enough for any score.
FEWEST_ROWS, MOST_ROWS = 2, 65_536


class Patience(NamedTuple):
    """How many rows to hold out, and how long to wait for a better reconstruction of them."""

    fraction: float
    n_epochs: int

    def split(self, n_rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the numbers of the rows to learn from and of those held out, in rising order."""
        n_held_out = min(MOST_ROWS, max(FEWEST_ROWS, round(self.fraction * n_rows)))
        if n_rows - n_held_out < FEWEST_ROWS:
            raise ValueError(
                f"early_stopping=True with validation_fraction={self.fraction} holds out "
                f"{n_held_out} of {n_rows} rows, which leaves fewer than {FEWEST_ROWS} to learn "
                f"from. Pass more rows, or set early_stopping=False."
            )
        split = train_test_split(np.arange(n_rows), test_size=n_held_out, random_state=seed)
        learned, held_out = map(np.sort, split)
        return learned, held_out


class HeldOut:
    """Held-out rows, how well they were reconstructed at best, and by which weights.

    Parameters
    ----------
    rows : Tensor of shape (n_held_out, n_features)
        Never trained on.
    x_mean : Tensor of shape (n_features,)
        Of the training data: what the score compares with.
    patience : int
        Epochs without a better score that exhaust it.
    """

    def __init__(self, rows: Tensor, x_mean: Tensor, patience: int) -> None:
        self.rows = rows
        # 1 if all rows are the mean: the score is then 1 - error.
        self.variation = float(sum((x - x_mean).square().sum() for x in self._chunks())) or 1.0
        self.patience = patience
        self.best = -np.inf
        self.best_weights: list[Tensor] = []
        self.waited = 0

    @property
    def exhausted(self) -> bool:
        """Whether training should end."""
        return self.waited >= self.patience

    @torch.no_grad()
    def look(self, net: Any) -> float:
        """Return R^2 of G(E(x)) by the weights and statistics as they would be used now."""
        net.use_last_weights()
        net.settle(anew=True)
        module = net.averaged_
        error = sum((x - module.generator(module(x))).square().sum() for x in self._chunks())
        score = net.group_.from_first(1 - float(error) / self.variation)
        self.waited += 1
        if score > self.best:
            self.best, self.waited = score, 0
            self.best_weights = [weight.clone() for weight in weights(module)]
        return score

    @torch.no_grad()
    def go_back(self, net: Any) -> None:
        """Use the best weights. Training would go on from the last."""
        if self.best_weights:
            torch._foreach_copy_(weights(net.averaged_), self.best_weights)

    def _chunks(self) -> tuple[Tensor, ...]:
        return torch.split(self.rows, CHUNK_ROWS)
