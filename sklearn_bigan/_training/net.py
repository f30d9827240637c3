"""The training: a skorch net whose step updates two players at once."""

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from functools import partial
from typing import Any, Self

import numpy as np
import torch
from skorch import NeuralNet
from skorch.callbacks import Callback, EpochTimer
from skorch.utils import TeeGenerator
from torch import Tensor, nn

from sklearn_bigan._data.batches import Batch, Batches
from sklearn_bigan._data.neighbors import NeighborGraphs
from sklearn_bigan._data.rows import as_rows
from sklearn_bigan._data.source import BLOCK_ROWS, RowSource
from sklearn_bigan._data.standardizer import Standardizer, as_float32
from sklearn_bigan._objectives.bigan import BiGANObjective
from sklearn_bigan._objectives.latent_regression import LatentRegressionObjective
from sklearn_bigan._runtime import distributed
from sklearn_bigan._runtime.caller import warn
from sklearn_bigan._runtime.determinism import (
    Stream,
    child_seed,
    default_generators_seeded,
    generator_on,
)
from sklearn_bigan._runtime.inference import MULTIPLE, map_chunks, smallest_exact_multiple
from sklearn_bigan._runtime.interrupts import is_interrupt, marking_interrupts
from sklearn_bigan._runtime.settings import (
    InferenceSettings,
    fixed_threads,
    training_settings,
)
from sklearn_bigan._training.averaging import (
    STATISTICS_BATCHES,
    MovingAverage,
    fit_prior,
    update_statistics,
)
from sklearn_bigan._training.callbacks import check_callbacks, has_scheduler
from sklearn_bigan._training.checkpoint import Checkpoint, EpochMeans
from sklearn_bigan._training.compiling import CompiledStep
from sklearn_bigan._training.config import TrainingConfig
from sklearn_bigan._training.cuda_graphs import CUDAGraphStep
from sklearn_bigan._training.diagnostics import PROBE_ROWS, Diagnostics, check_finite, diagnose
from sklearn_bigan._training.progress import Progress
from sklearn_bigan._training.schedule import ADVERSARIAL_SHARE, learning_rate_factor
from sklearn_bigan.networks.bigan import ModelSpec, load_bigan, make_bigan
from sklearn_bigan.networks.body import TRIAL_ROWS, check_body

# Adam's decay rates in both papers (ALI prints beta2 as 1 - beta2).
ADAM_BETAS = (0.5, 0.999)

Metrics = dict[str, Tensor]


class StopTraining(KeyboardInterrupt):
    """A callback ended the training; as in skorch, by raising KeyboardInterrupt."""


class BiGANNet(NeuralNet):
    """Trains a `BiGAN` on the rows of X, by one Adam with a parameter group for each network.

    A complete skorch net: `fit`, `partial_fit` and `predict` take X in its own units, `save_params`
    and `load_params` and callbacks work as skorch says. It differs in three ways. A real Ctrl-C is
    raised to the caller. Metrics stay on the device during an epoch and are recorded at its end, so
    that the host never waits for a step. Callbacks are initialised when a training begins.

    Samples start at `x_mean`, the centre of X in its own units; all randomness is derived from
    `seed`. Keywords are skorch's `lr`, `batch_size`, `max_epochs`, `device`, `callbacks`,
    `warm_start` and `verbose`.

    Attributes
    ----------
    module_ : BiGAN
        `encoder`, `generator` and `discriminator` as they are trained, and ``averaged`` with
        `encoder` and `generator` as they are used.
    criterion_ : BiGANObjective or LatentRegressionObjective
        What the players minimise.
    optimizer_ : torch.optim.Adam
        With one parameter group for each of E, G and D.
    history_ : skorch.history.History
        Metrics of each epoch.
    n_updates_ : int
        Number of updates so far.
    """

    def __init__(
        self,
        spec: ModelSpec,
        config: TrainingConfig,
        standardizer: Standardizer,
        x_mean: np.ndarray,
        seed: int,
        **kwargs: Any,
    ) -> None:
        self.module: Any
        self.spec = spec
        self.config = config
        self.standardizer = standardizer
        self.x_mean = x_mean
        self.seed = seed
        self.n_updates_ = 0
        start = standardizer.transform(x_mean[np.newaxis])[0]
        defaults = {
            "module": partial(make_bigan, spec, torch.from_numpy(start), child_seed(seed, 0)),
            "criterion": partial(make_objective, spec, config, standardizer.variance),
            "optimizer": torch.optim.Adam,
            "train_split": None,
            "use_caching": False,  # scores are computed from the averaged networks
        }
        super().__init__(**defaults | kwargs)

    # What skorch lets a net define: its parts.

    def initialize_module(self) -> Self:
        """Make the networks, with weights that depend on the seed alone."""
        super().initialize_module()
        self.module_.eval().set_precision(self.config.precision)
        return self

    def initialize_optimizer(self) -> Self:
        """Make one Adam with a parameter group for each network."""
        networks = (self.module_.encoder, self.module_.generator, self.module_.discriminator)
        groups = [
            {
                "params": list(network.parameters()),
                "lr": share * self.lr,
                "initial_lr": share * self.lr,  # what torch's schedulers resume from
            }
            for network, share in zip(networks, self._shares, strict=True)
        ]
        self.optimizer_ = self.optimizer(groups, lr=self.lr, betas=ADAM_BETAS, fused=True)
        return self

    def initialize_callbacks(self) -> Self:
        """Leave the callbacks alone until a training begins."""
        self.callbacks_: list[tuple[str, Any]] = []
        return self

    def _set_params_callback(self, **params: Any) -> Self:
        super().initialize_callbacks()  # skorch sets the parameters of initialised callbacks
        return super()._set_params_callback(**params)

    @property
    def _default_callbacks(self) -> list[tuple[str, Any]]:
        return [("epoch_timer", EpochTimer())]

    def get_all_learnable_params(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Yield the parameters of E, G and D, without the averaged copies."""
        for name, weight in self.module_.named_parameters():
            if not name.startswith("averaged."):
                yield name, weight

    def get_dataset(self, X: Any, y: Any = None) -> RowSource:
        """Return rows of X in blocks on the device, standardised."""
        if isinstance(X, RowSource):
            return X
        rows = as_rows(X)
        if rows.ndim != 2 or rows.shape[1] != self.spec.n_features:
            raise ValueError(
                f"X must have shape (n_samples, {self.spec.n_features}). Got {rows.shape}."
            )
        seed = self._seed(Stream.BLOCKS)
        return RowSource(rows, self.standardizer, torch.device(self.device), seed)

    def get_iterator(
        self,
        dataset: RowSource,
        training: bool = False,
        announce: Callable[[str], None] = lambda phase: None,
    ) -> Any:
        """Return batches of the rows; building the nearest-neighbour graph takes the time.

        `announce` is called with the name of each block whose graph is built.
        """
        if not training:
            return super().get_iterator(dataset, training)
        graphs = None
        if self.has_neighbors:
            seed = self._seed(Stream.GRAPH)
            graphs = NeighborGraphs(dataset, self.config.n_neighbors, seed, announce)
        return Batches(
            dataset,
            self.batch_size,
            partial(self.criterion_.draw, self.module_.encoder.prior),
            order=generator_on(dataset.device, self._seed(Stream.ORDER)),
            noise=generator_on(dataset.device, self._seed(Stream.DRAWS)),
            graphs=graphs,
        )

    @training_settings()
    def initialize(self) -> Self:
        """Make the networks, their optimizer and all else, as skorch does."""
        super().initialize()
        return self

    # Training.

    @training_settings()
    def fit(self, X: Any, y: Any = None, **fit_params: Any) -> Self:
        """Train for `max_epochs` epochs with a decaying learning rate; from scratch by default.

        X holds finite rows in their own units, or is a `RowSource`. `epochs` may be given in place
        of `max_epochs`, and a `checkpoint`, a `progress` that has begun before, and `tasks`: a
        callback for this call only.
        """
        if not self.warm_start or not self.initialized_:
            self.initialize()
        return self._train(X, decay=True, **fit_params)

    @training_settings()
    def partial_fit(self, X: Any, y: Any = None, classes: Any = None, **fit_params: Any) -> Self:
        """Train on, for `max_epochs` epochs with a constant learning rate; otherwise as `fit`."""
        if not self.initialized_:
            self.initialize()
        return self._train(X, decay=False, **fit_params)

    def _train(
        self,
        X: Any,
        *,
        decay: bool,
        epochs: int | None = None,
        checkpoint: Checkpoint | None = None,
        progress: Progress | None = None,
        tasks: Callback | None = None,
    ) -> Self:
        check_callbacks(self.callbacks or [])
        if checkpoint is not None and checkpoint.finished:
            checkpoint.restore(self)
            return self
        source = self.get_dataset(X)
        distributed.check_rows(len(source), self.batch_size, source.device)
        if decay or not self.callbacks_:
            super().initialize_callbacks()
        from_scratch = decay or not self.history
        finish = generator_on(source.device, self._seed(Stream.FINISH))
        rank, _ = distributed.rank_and_size()
        # Dropout must differ between processes.
        dropout = (
            nullcontext()
            if self.spec.has_private_randomness
            else default_generators_seeded(self._seed(Stream.DROPOUT) + rank, source.device)
        )
        held = nullcontext() if checkpoint is None else checkpoint.interrupts.handling()
        shown = Progress(self.verbose) if progress is None else nullcontext(progress)
        with (
            fixed_threads(self.config.n_threads),
            dropout,
            marking_interrupts(),
            held,
            shown as progress,
            self._called_too(progress, tasks),
        ):
            if not self.history:
                self._check_own_bodies(source)
            try:
                self.notify("on_train_begin", X=source.X, y=None)
                self.fit_loop(
                    source, None, epochs, decay=decay, checkpoint=checkpoint, progress=progress
                )
            except StopTraining:
                # An unfinished epoch has no metrics, but its updates count.
                if self.history and "train_batch_count" not in self.history[-1]:
                    del self.history[-1]
            with suppress(StopTraining):
                self.notify("on_train_end", X=source.X, y=None)
            self.module_.eval()
            self._finish(source, finish, decay=decay, from_scratch=from_scratch)
        if checkpoint is not None:
            checkpoint.save(self, None, len(self.history), EpochMeans())
        return self

    @contextmanager
    def _called_too(self, *callbacks: Callback | None) -> Iterator[None]:
        """Call these callbacks, too, without keeping them."""
        kept = self.callbacks_
        passing = [(type(one).__name__, one) for one in callbacks if one is not None]
        self.callbacks_ = [*kept, *passing]
        try:
            yield
        finally:
            self.callbacks_ = kept

    def _check_own_bodies(self, source: RowSource) -> None:
        """Try the bodies that the user's factories made on a few rows and draws."""
        E, G, D = self.module_.encoder, self.module_.generator, self.module_.discriminator
        if not any(network.own_body for network in (E, G, D)):
            return
        seed = self._seed(Stream.TRIAL)
        x = source.sample(TRIAL_ROWS, seed)
        z = E.prior.sample(len(x), generator_on(source.device, seed))
        z_for_D = z[:, : self.spec.discriminator_latent_dim]
        with default_generators_seeded(seed, source.device):
            for network, inputs in ((E, (x,)), (G, (z,)), (D, (x, z_for_D))):
                if network.own_body:
                    check_body(network, *inputs)

    def fit_loop(
        self,
        X: Any,
        y: Any = None,
        epochs: int | None = None,
        *,
        decay: bool = False,
        checkpoint: Checkpoint | None = None,
        progress: Progress | None = None,
        **_: Any,
    ) -> Self:
        """Take a step for every batch of every epoch; with a checkpoint, of those that are left.

        What lives during the training, and no longer, are the local variables of this method.
        """
        source = self.get_dataset(X)
        epochs = self.max_epochs if epochs is None else epochs
        if epochs == 0:
            return self
        datasets = {"dataset_train": source, "dataset_valid": None}
        progress = progress or Progress()
        batches = self.get_iterator(source, training=True, announce=progress.doing)
        average = MovingAverage(self.module_, self.config.ema_decay)
        weights, learning = self.module_.trained_parameters(), None
        probe_seed = self._seed(Stream.DIAGNOSTICS)
        probe = source.sample(PROBE_ROWS, probe_seed)
        n_steps, first = epochs * len(batches), self.n_updates_
        scheduled = has_scheduler(callback for _, callback in self.callbacks_)
        n_before, means = 0, EpochMeans()
        if checkpoint is not None:
            n_before, means = checkpoint.resume(self, batches)
        n_rows_before = n_before * len(source) + sum(means.sizes)
        progress.start(epochs * len(source), n_rows_before, epochs)

        for n_epochs in range(n_before, epochs):
            if self.history:  # else memory would grow with every update
                self.history[-1]["batches"] = []
            self.notify("on_epoch_begin", **datasets)
            before, learning = learning, [weight.requires_grad for weight in weights]
            if (
                learning != before
            ):  # at first, and where a callback has frozen weights or freed some
                backward = self._backward(source.device, batches.n_rows)
            self.module_.train()
            for n_rows in means.sizes:  # of batches before the checkpoint
                self.history.new_batch()
                self.history.record_batch("train_batch_size", n_rows)
            for batch in batches:
                self.notify("on_batch_begin", batch=batch, training=True)
                if not scheduled:
                    step = self.n_updates_ - first
                    self._set_learning_rate(learning_rate_factor(step, n_steps) if decay else 1.0)
                metrics = self.train_step(batch, backward=backward)
                average.update(self.n_updates_)
                means.add(batch, metrics)
                self.history.record_batch("train_batch_size", len(batch.x))
                self.notify(
                    "on_batch_end", batch=batch, training=True, y_pred=None, metrics=metrics
                )
                if checkpoint is not None:
                    checkpoint.after_step(self, batches, n_epochs, means)
            average.copy()
            self._record_epoch(means, probe, probe_seed)
            self.notify("on_epoch_end", **datasets)
            means = EpochMeans()
        return self

    def train_step(
        self, batch: Batch, *, backward: Callable[[Batch], Metrics] | None = None, **_: Any
    ) -> Metrics:
        """Update E, G and D once, simultaneously: all gradients at the same weights.

        `backward` leaves the gradients on the weights; None: the objective itself does. Returns
        losses and accuracies before the update, scalars on the device.
        """
        if backward is None:
            backward = partial(self.criterion_.backward, self.module_)
        self.optimizer_.zero_grad()
        metrics = backward(batch)
        distributed.average(
            weight.grad for _, weight in self.get_all_learnable_params() if weight.grad is not None
        )
        self.notify(
            "on_grad_computed",
            named_parameters=TeeGenerator(self.get_all_learnable_params()),
            batch=batch,
            training=True,
        )
        self.optimizer_.step()
        self.n_updates_ += 1
        return metrics

    def _backward(self, device: torch.device, n_rows: int) -> Callable[[Batch], Metrics]:
        """Return the objective's backward pass, compiled or recorded where that pays."""
        backward: Callable[[Batch], Metrics] = partial(self.criterion_.backward, self.module_)
        # Users' networks may do what a graph does not record; collectives are not recorded.
        fixed = isinstance(self.spec.network, str) and distributed.rank_and_size()[1] == 1
        if self.config.compile and fixed and self.spec.has_private_randomness:
            backward = CompiledStep(backward, self.module_, n_rows)
        elif self.config.compile:
            warn(
                "compile=True has no effect: only network='mlp' and 'dcgan' can be compiled, in "
                "one process. Training continues without.",
                RuntimeWarning,
            )
        if device.type == "cuda" and fixed:
            weights = self.module_.trained_parameters()
            backward = CUDAGraphStep(backward, weights, device, n_rows)
        return backward

    def _set_learning_rate(self, factor: float) -> None:
        """Set the learning rate of each network to a share of the initial one."""
        for group, share in zip(self.optimizer_.param_groups, self._shares, strict=True):
            group["lr"] = self.lr * factor * share

    @property
    def _shares(self) -> tuple[float, float, float]:
        """Learning rates of E, G and D as shares of `lr`; with views, G and D learn more slowly."""
        share = ADVERSARIAL_SHARE if self.config.augmentations and self.spec.joint else 1.0
        return 1.0, share, share

    def _record_epoch(self, epoch: EpochMeans, probe: Tensor, seed: int) -> None:
        """Record the epoch's mean metrics and its diagnostics; the device is read once."""
        names, means = epoch.names, epoch.mean()
        distributed.average([means])
        module, noise = self.module_.eval(), generator_on(probe.device, seed)
        found = diagnose(module.encoder, module.generator, module.encoder.prior, probe, noise)
        values = torch.cat([means, torch.stack(found)]).cpu().tolist()
        for name, value in zip([*names, *found._fields], values, strict=True):
            self.history.record(name, value)
        self.history.record("train_batch_count", len(self.history[-1]["batches"]))
        metrics = dict(zip(names, values, strict=False))
        check_finite(metrics, len(self.history), self.lr)

    def _finish(
        self, source: RowSource, generator: torch.Generator, *, decay: bool, from_scratch: bool
    ) -> None:
        """Check that the weights are finite, and make the averaged networks ready for use."""
        weights = dict(self.get_all_learnable_params())
        sums = torch.stack([weight.detach().sum() for weight in weights.values()]).cpu().tolist()
        check_finite(dict(zip(weights, sums, strict=True)), len(self.history), self.lr)
        joint, seed = self.spec.joint, self._seed(Stream.FINISH)
        MovingAverage(self.module_, self.config.ema_decay).copy()
        update_statistics(
            self.module_,
            source.sample(STATISTICS_BATCHES * self.batch_size, seed),
            self.batch_size,
            generator,
            with_codes=joint and self.config.cycle_weight > 0,
            from_scratch=from_scratch,
        )
        if decay and joint and self.history:
            fit_prior(self.module_, source.sample(BLOCK_ROWS, seed), generator)
        distributed.copy_from_first(self.module_)
        self.history[:] = distributed.from_first(list(self.history), source.device)

    def as_if_ended(self, source: RowSource, n_before: int) -> Self:
        """Return a copy, finished as a `fit` that began after `n_before` epochs would finish it."""
        copied, seed = self.twin(), child_seed(self.seed, 1, n_before, Stream.FINISH)
        copied.initialize_callbacks()
        with default_generators_seeded(seed, source.device):
            noise = generator_on(source.device, seed)
            copied._finish(source, noise, decay=True, from_scratch=True)
        copied.module_.eval()
        return copied

    @training_settings()
    def diagnose(self, X: Any) -> Diagnostics:
        """Compute the diagnostics of the networks as they are used, on rows of X."""
        source = self.get_dataset(X)
        noise = generator_on(source.device, self._seed(Stream.DIAGNOSTICS))
        probe = source.sample(PROBE_ROWS, self._seed(Stream.DIAGNOSTICS))
        used, prior = self.module_.averaged, self.module_.encoder.prior
        return diagnose(used.encoder, used.generator, prior, probe, noise)

    def notify(self, method_name: str, **cb_kwargs: Any) -> None:
        """Call the callbacks; one that raises KeyboardInterrupt ends the training, as in skorch.

        It is raised on as `StopTraining`, so that a Ctrl-C of the user is not taken for it.
        """
        try:
            super().notify(method_name, **cb_kwargs)
        except KeyboardInterrupt as stop:
            if is_interrupt(stop):
                raise
            raise StopTraining from stop

    @property
    def has_neighbors(self) -> bool:
        """Whether rows get neighbours from the nearest-neighbour graph."""
        return self.config.n_neighbors > 0 and self.spec.joint

    def _seed(self, stream: Stream) -> int:
        """Return the seed of a random stream, by the epochs before and no generator's state."""
        return child_seed(self.seed, 1, len(self.history or []), stream)

    # Use.

    def map_rows(self, function: Callable[[Tensor], Tensor], X: Any) -> np.ndarray:
        """Apply a function of standardised rows to rows of X in their own units, in chunks."""
        return self._map(function, X, self.standardizer.transform)

    def map_codes(self, function: Callable[[Tensor], Tensor], Z: np.ndarray) -> np.ndarray:
        """Apply a function of codes to rows of Z, in chunks."""
        return self._map(function, Z, as_float32)

    def _map(
        self,
        function: Callable[[Tensor], Tensor],
        rows: Any,
        to_float32: Callable[[Any, np.ndarray], np.ndarray],
    ) -> np.ndarray:
        plain = self.device == "cpu" and self.spec.network == "mlp"
        multiple = smallest_exact_multiple() if plain else MULTIPLE
        return map_chunks(function, rows, torch.device(self.device), to_float32, multiple)

    def draw_codes(self, n_samples: int, seed: int, cluster: int | None) -> np.ndarray:
        """Draw codes from the prior fitted to the codes, or from one of its clusters."""
        # On the CPU, so that a seed means the same z on every device.
        with InferenceSettings():
            prior = copy.deepcopy(self.module_.averaged.encoder.prior).cpu()
            generator = generator_on(torch.device("cpu"), seed)
            drawn = {} if cluster is None else {"cluster": cluster}
            return prior.sample(n_samples, generator, **drawn).numpy()

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return the codes of X; `predict` does the same. The name is skorch's."""
        rows = X.X if isinstance(X, RowSource) else as_rows(X)
        return self.map_rows(self.module_, rows)

    def forward_iter(self, X: Any, training: bool = False, device: str = "cpu") -> Iterator[Tensor]:
        """Yield the codes of X as one tensor."""
        yield torch.from_numpy(self.predict_proba(X)).to(device)

    # Copies and files.

    @training_settings()
    def load_params(self, *args: Any, **kwargs: Any) -> None:
        """Load what `save_params` has saved; the history tells the number of updates."""
        super().load_params(*args, **kwargs)
        self.n_updates_ = sum(epoch.get("train_batch_count", 0) for epoch in self.history)

    def twin(self, **params: Any) -> Self:
        """Return a net with copies of networks, optimizer and history, and changed parameters.

        The callbacks are shared. Training the twin leaves this net as it is.
        """
        twin = object.__new__(type(self))
        constants = (self.spec, self.config, self.standardizer, self.x_mean)
        shared = {id(value): value for value in (self.callbacks, self.callbacks_, *constants)}
        # What torch.nn.utils.weight_norm computed in the last step cannot be copied with its graph.
        computed = {
            id(value): value.detach().clone()
            for part in self.module_.modules()
            for value in vars(part).values()
            if isinstance(value, Tensor) and not value.is_leaf
        }
        twin.__dict__.update(copy.deepcopy(vars(self), shared | computed))
        twin.__dict__.update(params)
        if twin.callbacks is not self.callbacks or twin.verbose != self.verbose:
            twin.initialize_callbacks()
        twin.criterion = partial(make_objective, twin.spec, twin.config, twin.standardizer.variance)
        twin.criterion_ = twin.criterion()
        twin.module_.set_precision(twin.config.precision)
        if twin.lr != self.lr:  # else a user's scheduler continues from where it was
            for group, share in zip(twin.optimizer_.param_groups, twin._shares, strict=True):
                group["lr"] = group["initial_lr"] = share * twin.lr
        return twin

    def restore(
        self, arrays: dict[str, np.ndarray], history: list[dict[str, Any]], n_updates: int
    ) -> Self:
        """Initialise with given weights and history instead of drawing weights."""
        fresh = self.module
        self.module = partial(load_bigan, self.spec, arrays)
        try:
            self.initialize()
        finally:
            self.module = fresh
        for epoch in history:
            self.history.new_epoch()
            for name, value in epoch.items():
                self.history.record(name, value)
        self.n_updates_ = n_updates
        return self

    def epochs(self) -> list[dict[str, Any]]:
        """Return the history, one dict an epoch, without the records of its batches."""
        return [{k: v for k, v in epoch.items() if k != "batches"} for epoch in self.history]


def make_objective(
    spec: ModelSpec, config: TrainingConfig, x_variance: float
) -> BiGANObjective | LatentRegressionObjective:
    """Return the objective of the spec's method."""
    if not spec.joint:
        return LatentRegressionObjective(spec)
    return BiGANObjective(
        spec,
        cycle_weight=config.cycle_weight,
        latent_cycle_weight=config.latent_cycle_weight,
        consistency_weight=config.consistency_weight,
        has_neighbors=config.n_neighbors > 0,
        augmentations=config.augmentations,
        x_variance=x_variance,
    )
