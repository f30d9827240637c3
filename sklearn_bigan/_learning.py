"""From rows and parameters to a trained net, and the net's way into a file and back."""

import copy
import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import assert_all_finite, gen_batches
from sklearn.utils.validation import check_is_fitted, validate_data
from torch.utils.data import Dataset

from sklearn_bigan._blocks import as_float32, release
from sklearn_bigan._device import resolve_device
from sklearn_bigan._distributed import Group
from sklearn_bigan._inference import CHUNK_ROWS
from sklearn_bigan._net import BiGANNet
from sklearn_bigan._parameters import (
    augmentations_for,
    blueprint_for,
    check_range,
    check_unchanged,
    cycle_weight_for,
    draw_seed,
    neighbors_for,
    precision_for,
)
from sklearn_bigan._persistence import net_from_state, net_to_state
from sklearn_bigan._randomness import float32_by_default
from sklearn_bigan._stopping import Patience
from sklearn_bigan._training import train
from sklearn_bigan.networks.generator import OUTPUT_RANGES

# Beyond these float32 loses squares of differences between rows.
LEAST_STD, MOST_STD = 1e-16, 1e16

# Errors are squared: a column in a smaller unit than all others would be all that is learned. In
# a table none counts for more than if its standard deviation were so many times the median one.
# Where all columns have the same unit hardly any has more: pixels of digits 1.5, of MNIST 2.4.
MOST_TIMES_MEDIAN = 3.0

# What varies less, as a share of its own mean, or of the column that varies most, is rounding.
ROUNDING, ROUNDING_BESIDE_OTHERS = 1e-9, 1e-12

# The parameters that the net knows by the same name.
TRAINING = (
    "batch_size",
    "discriminator_steps",
    "latent_cycle_weight",
    "consistency_weight",
    "neighbor_steps",
    "ema_decay",
)


class LearningMixin(BaseEstimator):
    """What `BiGANTransformer` does to learn and to be pickled."""

    net_: BiGANNet
    device_: str
    mean_: np.ndarray
    n_samples_seen_: int
    output_activation: str
    device: str
    callbacks: list[Any] | None
    random_state: int | np.random.RandomState | None
    verbose: int
    compile: bool
    learning_rate: float
    early_stopping: bool
    validation_fraction: float
    n_iter_no_change: int

    def _rows(self, X: Any) -> np.ndarray:
        """X as finite rows of any numeric dtype; converted chunk by chunk later."""
        # scikit-learn's own look at X takes longer than E takes for one row.
        if _plainly_valid(X, self):
            return X
        check_is_fitted(self)
        return validate_data(self, X, reset=False)

    def _learn(self, X: Any, epochs: int | None, *, anew: bool, forget: bool) -> Self:
        """Train; with `anew` on fresh networks, with `forget` towards the mean of X alone."""
        with self._unchanged_on_failure(), float32_by_default():
            anew = anew or not hasattr(self, "net_")
            rows = self._training_rows(X, reset=anew)
            seen, mean = (0, 0.0) if anew or forget else (self.n_samples_seen_, self.mean_)
            self.n_samples_seen_ = seen + len(rows)
            total = sum(x.sum(axis=0, dtype=np.float64) for x in _chunks(rows))
            self.mean_ = mean + (total - len(rows) * mean) / self.n_samples_seen_
            made = None if anew else self.net_.blueprint
            blueprint = blueprint_for(self, len(rows), rows.shape[1], made)
            if anew:
                self.device_ = str(resolve_device(self.device))
                bounded = OUTPUT_RANGES[blueprint.output_activation] is not None
                shared = bounded or blueprint.image_shape is not None
                self.net_ = BiGANNet(
                    blueprint,
                    x_mean=torch.from_numpy(self.mean_).float(),
                    x_unit=torch.from_numpy(_units(rows, self.mean_, shared=shared)),
                    seed=Group(torch.device(self.device_)).from_first(draw_seed(self.random_state)),
                    **self._net_settings(),
                ).initialize()
            else:
                check_unchanged(self.net_.blueprint, blueprint)
                for name, value in self._training().items():
                    setattr(self.net_, name, value)
                if forget:
                    self.net_.callbacks = copy.deepcopy(self.callbacks)
                    self.net_.verbose = self.verbose
                    self.net_.initialize_callbacks()
            patience = (
                Patience(self.validation_fraction, self.n_iter_no_change)
                if forget and self.early_stopping
                else None
            )
            complaints = train(
                self.net_,
                rows,
                epochs,
                settle=forget,
                patience=patience,
                compiled=self.compile,
            )
        # What was learned stays, even where warnings are errors.
        for complaint in complaints:
            warnings.warn(complaint, ConvergenceWarning, stacklevel=4)  # whoever called fit
        return self

    def _training_rows(self, X: Any, reset: bool) -> np.ndarray:
        """X as float32 rows in the generator's range; a memory map as it is, of whatever dtype."""
        if isinstance(X, Dataset):
            raise TypeError(
                f"X must be an array, a data frame or a memory map of shape (n_samples, "
                f"n_features). Got a torch Dataset, {type(X).__name__}; pass its rows as an "
                f"array or np.memmap, or piece by piece to partial_fit."
            )
        if not isinstance(X, np.memmap):
            rows = validate_data(
                self, X, reset=reset, dtype=np.float32, order="C", ensure_min_samples=2
            )
            check_range(rows, self.output_activation)
            return rows
        validate_data(self, X[:2], reset=reset, ensure_min_samples=2)
        for x in _chunks(X):
            assert_all_finite(x, estimator_name=type(self).__name__, input_name="X")
            check_range(x, self.output_activation)
        return X

    def _net_settings(self) -> dict[str, Any]:
        return self._training() | {
            "device": self.device_,
            "callbacks": copy.deepcopy(self.callbacks),
            "verbose": self.verbose,
        }

    def _training(self) -> dict[str, Any]:
        """How the net trains; may change from one call to the next."""
        return {name: getattr(self, name) for name in TRAINING} | {
            "lr": self.learning_rate,
            "cycle_weight": cycle_weight_for(self),
            "n_neighbors": neighbors_for(self),
            "augmentations": augmentations_for(self),
            "precision": precision_for(self),
        }

    @contextmanager
    def _unchanged_on_failure(self) -> Iterator[None]:
        """Put every attribute back, the net's, too, if the block raises, Ctrl-C included."""
        owners = [self, self.net_] if hasattr(self, "net_") else [self]
        before = [vars(owner).copy() for owner in owners]
        try:
            yield
        except BaseException:
            for owner, attributes in zip(owners, before, strict=True):
                vars(owner).clear()
                vars(owner).update(attributes)
            raise

    def __getstate__(self) -> dict[str, Any]:
        state = dict(super().__getstate__())
        if "net_" in state:
            state["net_"] = net_to_state(state["net_"])
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        if "net_" not in state:
            return
        try:
            resolve_device(self.device_)
        except ValueError:
            warnings.warn(
                f"This model was trained on {self.device_!r}, which is not to be had here; it is "
                f"loaded on the CPU.",
                UserWarning,
                stacklevel=2,
            )
            self.device_ = "cpu"
        with float32_by_default():
            self.net_ = net_from_state(state["net_"], **self._net_settings())


def _plainly_valid(X: Any, fitted: BaseEstimator) -> bool:
    """Whether X is an array of finite floats as wide as what was fitted, without any doubt."""
    if type(X) is not np.ndarray or X.dtype.char not in "fd" or X.ndim != 2 or not len(X):
        return False
    named = hasattr(fitted, "feature_names_in_")
    if named or X.shape[1] != getattr(fitted, "n_features_in_", None):
        return False
    with np.errstate(over="ignore", invalid="ignore"):
        return math.isfinite(np.add.reduce(X, axis=None))


def _units(rows: np.ndarray, mean: np.ndarray, *, shared: bool) -> np.ndarray:
    """Return what counts as 1 in each column, (n_features,); 1 if all are constant or nearly.

    If it is to be `shared`, the root of the columns' mean variance. Else columns that vary more
    than MOST_TIMES_MEDIAN allows have units that are larger by as much.
    """
    variances = sum(np.square(x - mean).sum(axis=0) for x in _chunks(rows)) / len(rows)
    std = math.sqrt(variances.mean())
    if std <= ROUNDING * np.abs(mean).max():
        return np.ones(len(mean), dtype=np.float32)
    if not LEAST_STD <= std <= MOST_STD:
        raise ValueError(
            f"The root of the mean variance of X's columns must be in [{LEAST_STD:g}, "
            f"{MOST_STD:g}] to be computed with in float32. Got {std:.2g}; rescale X, for example "
            f"with StandardScaler."
        )
    stds = np.sqrt(variances)
    rounding = np.maximum(ROUNDING * np.abs(mean), ROUNDING_BESIDE_OTHERS * stds.max())
    most = MOST_TIMES_MEDIAN * np.median(stds[stds > rounding])
    excess = np.ones(len(stds)) if shared else np.maximum(1, stds / most)
    return (excess * np.sqrt(np.square(stds / excess).mean())).astype(np.float32)


def _chunks(rows: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the rows in float32, a chunk at a time: all of them would be another copy of X."""
    for cut in gen_batches(len(rows), CHUNK_ROWS):
        yield as_float32(rows[cut])
        release(rows)
