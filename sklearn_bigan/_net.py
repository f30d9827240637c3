"""The training engine: a skorch net whose step updates two players at once."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from skorch import NeuralNet
from skorch.callbacks import EpochTimer, PrintLog
from skorch.utils import TeeGenerator
from torch import Tensor
from torch.nn import Module

from sklearn_bigan._averaging import (
    STATISTICS_BATCHES,
    average,
    averaged_copy,
    settle,
    weights,
)
from sklearn_bigan._batches import BlockBatches, PairBatches, TensorBatches, cuts
from sklearn_bigan._gradients import play
from sklearn_bigan._health import Health, check_finite, health
from sklearn_bigan._losses import LOSSES
from sklearn_bigan._noise import Noise
from sklearn_bigan._randomness import child_seed, default_generators_seeded, repeatable
from sklearn_bigan._stopping import HeldOut
from sklearn_bigan._terms import (
    consistency_loss,
    contrast_loss,
    cycle_loss,
    latent_cycle_loss,
    latent_regression,
)
from sklearn_bigan._views import views
from sklearn_bigan.networks.bigan import BiGAN, Blueprint, make_bigan

# Adam's decay rates in both papers (ALI prints beta2 as 1 - beta2).
ADAM_BETAS = (0.5, 0.999)

# G's and D's learning rate as a share of E's, where E is shown views of images. The contrast of
# views wants steps that are too long for the game: D then tells all pairs apart, and G draws blur.
# On CIFAR-10 a quarter and a tenth left features as they were (1000 updates, one seed).
GAME_SHARE = 0.25

# Where the learning rate ends, as a share of where it began: BiGAN's published schedule, too, ends
# at 0.01 (exponentially).
LAST_LEARNING_RATE = 0.01


class StopTraining(Exception):
    """A callback asked for the end of training."""


class BiGANNet(NeuralNet):
    """Trains a `BiGAN`: one optimizer for E and G, one for D, both stepped on the same batch.

    Parameters
    ----------
    blueprint : Blueprint
        What to make and train.
    x_mean : Tensor of shape (n_features,)
        Mean of the training data, where samples start.
    x_unit : Tensor of shape (n_features,)
        The units of reconstruction errors and distances, and of rows that are not bounded.
    seed : int
        All randomness hangs below it.
    discriminator_steps : int
        D learns from every batch, E and G from every `discriminator_steps`-th.
    cycle_weight, latent_cycle_weight, consistency_weight : float
        What the terms beside the adversarial loss count for; 0 leaves a term out.
    n_neighbors, neighbor_steps : int
        Size of a row's neighbourhood, and length of the walks that start there. 0: no pairs.
    augmentations : tuple of str
        What views of images differ in, see `_views.views`. None: E is shown the rows themselves.
    ema_decay : float
        Of the averages of E's and G's weights, from update to update.
    precision : str
        That the networks multiply in while they train, see `_device.mixed_precision`.
    **kwargs
        `lr`, `batch_size`, `device`, `callbacks` and `verbose` of `skorch.NeuralNet`.
    """

    def __init__(
        self,
        blueprint: Blueprint,
        *,
        x_mean: Tensor,
        x_unit: Tensor,
        seed: int,
        discriminator_steps: int,
        cycle_weight: float,
        latent_cycle_weight: float,
        consistency_weight: float,
        n_neighbors: int,
        neighbor_steps: int,
        augmentations: tuple[str, ...],
        ema_decay: float,
        precision: str,
        **kwargs: Any,
    ) -> None:
        self.blueprint = blueprint
        self.x_mean = x_mean
        self.x_unit = x_unit
        self.seed = seed
        self.discriminator_steps = discriminator_steps
        self.cycle_weight = cycle_weight
        self.latent_cycle_weight = latent_cycle_weight
        self.consistency_weight = consistency_weight
        self.n_neighbors = n_neighbors
        self.neighbor_steps = neighbor_steps
        self.augmentations = augmentations
        self.ema_decay = ema_decay
        self.precision = precision
        self.n_steps_ = 0
        self.watch_: HeldOut | None = None
        super().__init__(
            make_bigan,
            criterion=LOSSES[blueprint.loss],
            optimizer=torch.optim.Adam,
            train_split=None,
            **kwargs,
        )

    def initialize_module(self) -> "BiGANNet":
        """Make the networks on the CPU, with weights that depend on the seed alone."""
        cpu = torch.device("cpu")
        with repeatable(), default_generators_seeded(child_seed(self.seed, 0), cpu):
            self.module_ = self.module(self.blueprint, self.x_mean, self.x_unit).eval()
        return self

    def epochs(self) -> list[dict[str, Any]]:
        """Return the history, one dict an epoch, without skorch's empty list of batches."""
        return [{k: v for k, v in epoch.items() if k != "batches"} for epoch in self.history]

    def train_step(self, batch: Tensor, **fit_params: Any) -> dict[str, Any]:
        """Update D, E and G once, simultaneously: all gradients at the same weights."""
        self.n_steps_ += 1
        encoder_generator_moves = self.n_steps_ % self.discriminator_steps == 0
        self._set_learning_rate()
        self.optimizer_.zero_grad()
        self.optimizer_discriminator_.zero_grad()
        weights_of_terms = self.cycle_weight, self.latent_cycle_weight, self.consistency_weight
        figures = self.gradients_(batch, encoder_generator_moves, *weights_of_terms)
        self.group_.average(
            weight.grad for weight in self.module_.parameters() if weight.grad is not None
        )
        self.notify(
            "on_grad_computed",
            named_parameters=TeeGenerator(self.module_.named_parameters()),
            batch=batch,
            training=True,
        )
        self.optimizer_discriminator_.step()
        if encoder_generator_moves:
            self.optimizer_.step()
            if self.ema_decay > 0:
                n_updates = self.n_steps_ // self.discriminator_steps
                average(*self.weights_, self.ema_decay, n_updates)
        return {"figures": figures}

    def gradients(
        self,
        noise: Noise,
        batch: Tensor,
        encoder_generator_moves: bool,
        cycle_weight: float,
        latent_cycle_weight: float,
        consistency_weight: float,
    ) -> dict[str, Tensor]:
        """Leave both players' gradients on their weights, and return the step's figures."""
        encoder, generator = self.module_.encoder, self.module_.generator

        # Draw z ~ p(z). A row's partner, x', comes from its neighbourhood: the other half of the
        # batch. Without neighbours it is the row itself. Of images E is shown views, of rows and
        # partners; the game is about the rows.
        joint = self.blueprint.joint
        x, shown, partner = batch, batch, batch
        if self.viewed:
            x, partner = batch.chunk(2)
            shown = self._views(batch, noise)
        elif self.graphs_ is not None:
            partner = batch.roll(len(batch) // 2, dims=0)
        z = encoder.prior.sample(len(x), noise)

        # Encode and generate, once each: z_hat ~ q(z | x), x_hat = G(z) and, for the cycle,
        # x_tilde = G(z_hat), in one batch: G's batch statistics are then those of draws and codes
        # together, in training as afterwards. A latent regressor's D sees x alone, and its
        # encoder sees only x_hat.
        with torch.set_grad_enabled(encoder_generator_moves):
            codes = encoder.draw(shown, noise) if joint else z[:, :0]
            z_hat = codes[: len(x)]
            x_hat, x_tilde = (
                generator(torch.cat([z, z_hat])).chunk(2) if self.cycled else (generator(z), None)
            )

        # Discriminate: minimise -log D(x', z_hat) - log(1 - D(x_hat, z)) over D, and the same
        # with the labels swapped over E and G (or the hinge's two sides). Of images every other
        # generator pair is (x_tilde, z_hat), as in VAE/GAN (Larsen et al. 2016, arXiv:1512.09300).
        # Where E and G invert each other and codes are distributed as z, the two are the same.
        generated, source = x_hat, z if joint else z[:, :0]
        if self.viewed and x_tilde is not None:
            generated = torch.cat([x_hat[::2], x_tilde[1::2]])
            source = torch.cat([z[::2], z_hat[1::2]]).detach()
        outcome = play(
            self.module_.discriminator,
            self.criterion_,
            encoder_pair=(partner, z_hat),
            generator_pair=(generated, source),
        )
        figures = {
            "discriminator_loss": outcome.discriminator_loss,
            "encoder_generator_loss": outcome.encoder_generator_loss,
            "encoder_pair_accuracy": outcome.encoder_pair_accuracy,
            "generator_pair_accuracy": outcome.generator_pair_accuracy,
        }

        # E's and G's gradients: by what that pass left, and by the terms beside it.
        if encoder_generator_moves and joint:
            total = torch.zeros_like(outcome.encoder_generator_loss)
            if x_tilde is not None:
                figures["cycle_loss"] = cycle_loss(x, x_tilde, self.unit_)
                total = total + cycle_weight * figures["cycle_loss"]
            if latent_cycle_weight > 0:
                half = slice(max(2, len(z) // 2))  # of the draws: as good, for half the price
                figures["latent_cycle_loss"] = latent_cycle_loss(encoder, x_hat[half], z[half])
                total = total + latent_cycle_weight * figures["latent_cycle_loss"]
            if consistency_weight > 0 and (self.viewed or self.graphs_ is not None):
                figures["consistency_loss"] = (
                    contrast_loss(self.group_.whole(codes))
                    if self.viewed
                    else consistency_loss(codes)
                )
                total = total + consistency_weight * figures["consistency_loss"]
            tensors, gradients = [z_hat, generated], [outcome.at_z_hat, outcome.at_x_hat]
            if total.requires_grad:
                tensors.append(total)
                gradients.append(torch.ones_like(total))
            torch.autograd.backward(tensors, gradients)
        elif encoder_generator_moves:
            figures["latent_regression_loss"], at_x_hat = latent_regression(
                encoder, x_hat, z, self.blueprint.inference
            )
            torch.autograd.backward(x_hat, outcome.at_x_hat + at_x_hat)
        return {name: figure.detach() for name, figure in figures.items()}

    def look_at(self, module: BiGAN) -> Health:
        """Figures of the health of these networks, the ones in training or the ones in use."""
        rows, seed = self.probe_
        prior = self.module_.encoder.prior
        return health(module, prior, rows, Noise(rows.device, seed))

    def use_last_weights(self) -> None:
        """Where nothing is averaged, copy the last weights: at the end, and not at every step."""
        if self.ema_decay == 0:
            average(*self.weights_, decay=0, n_updates=1)

    def settle(self, *, anew: bool) -> None:
        """Make the averaged networks ready for use; see `_averaging.settle`."""
        settle(
            self.averaged_,
            self.module_,
            self.blocks_.sample(STATISTICS_BATCHES * self.batch_size),
            self.batch_size,
            self.noise_,
            cycled=self.cycled,
            anew=anew,
        )

    def _views(self, batch: Tensor, noise: Noise) -> Tensor:
        shape = self.blueprint.image_shape
        assert shape is not None  # there are no augmentations without
        return views(batch, shape, self.augmentations, noise, self.unit_[0])

    @property
    def viewed(self) -> bool:
        """Whether E is shown views of images."""
        return bool(self.augmentations) and self.blueprint.joint

    @property
    def cycled(self) -> bool:
        """Whether G sees the codes of the rows, too."""
        return self.blueprint.joint and self.cycle_weight > 0

    def _set_learning_rate(self) -> None:
        """Constant for the first half of the way, then in a line to LAST_LEARNING_RATE of it."""
        rate = self.lr
        if self.fall_:
            way = (self.n_steps_ - 1 - self.n_steps_before_) / self.fall_
            rate *= max(LAST_LEARNING_RATE, min(1.0, 2 * (1 - way)))
        of_encoder, of_generator = self.optimizer_.param_groups
        (of_discriminator,) = self.optimizer_discriminator_.param_groups
        of_encoder["lr"] = rate
        of_generator["lr"] = of_discriminator["lr"] = rate * (GAME_SHARE if self.viewed else 1)

    def run_single_epoch(
        self,
        iterator: Iterable[Tensor] | None,
        training: bool,
        prefix: str,
        step_fn: Callable[..., dict[str, Any]],
        **fit_params: Any,
    ) -> None:
        """skorch's, but figures stay on the device: read once an epoch, not every step."""
        if iterator is None:
            return
        if self.watch_ is not None and self.watch_.exhausted:
            raise StopTraining
        n_batches = 0
        # Of the steps that had the same figures: there are more where E and G moved, too.
        sums: dict[tuple[str, ...], Tensor] = {}
        n_rows: dict[tuple[str, ...], int] = {}
        for batch in iterator:
            self.notify("on_batch_begin", batch=batch, training=training)
            step = step_fn(batch, **fit_params)
            names = tuple(step["figures"])
            together = torch.stack(list(step["figures"].values()))
            sums[names] = sums.get(names, 0) + len(batch) * together
            n_rows[names] = n_rows.get(names, 0) + len(batch)
            self.notify("on_batch_end", batch=batch, training=training, **step)
            n_batches += 1
        means = {}
        for name in dict.fromkeys(name for names in sums for name in names):
            having = [names for names in sums if name in names]
            total = torch.stack([sums[names][names.index(name)] for names in having]).sum()
            means[name] = total / sum(n_rows[names] for names in having)
        self.group_.average(means.values())
        state = self.look_at(self.module_)._asdict()
        figures = torch.stack([*means.values(), *state.values()]).cpu().tolist()
        recorded = dict(zip([*means, *state], figures, strict=True))
        if self.watch_ is not None:
            recorded["validation_score"] = self.watch_.look(self)
        for name, figure in recorded.items():
            self.history.record(name, figure)
        self.history.record(prefix + "_batch_count", n_batches)
        self.check_finite({name: recorded[name] for name in means})

    def check_finite(self, figures: dict[str, float]) -> None:
        """Raise if one of the figures is not finite."""
        check_finite(figures, epoch=len(self.history), learning_rate=self.lr)

    def initialize_optimizer(self) -> "BiGANNet":
        """One Adam for E and G together, one for D."""
        self.optimizer_ = self._adam(self.module_.encoder, self.module_.generator)
        self.optimizer_discriminator_ = self._adam(self.module_.discriminator)
        # Now that the networks are on their device.
        self.averaged_ = averaged_copy(self.module_)
        self.weights_ = weights(self.averaged_), weights(self.module_)
        return self

    def _adam(self, *networks: Module) -> torch.optim.Adam:
        groups = [{"params": list(network.parameters())} for network in networks]
        # Fused: one kernel for a network's weights, where the default takes several for each.
        return self.optimizer(groups, lr=self.lr, betas=ADAM_BETAS, fused=True)

    def get_iterator(self, dataset: Any, training: bool = False) -> Any:
        """Batches of the tensor that skorch wrapped; skorch's own for its `predict`."""
        if not training:
            return super().get_iterator(dataset, training)
        return self.batches()

    def batches(self) -> BlockBatches:
        """Return the rows as batches, in a new order each time they are gone through."""
        group = {"rank": self.group_.rank, "size": self.group_.size}
        n_rows = self.rows_a_batch

        def batches_of(number: int) -> TensorBatches | PairBatches:
            rows = self.blocks_.block(number)
            if not self.viewed and self.graphs_ is None:
                return TensorBatches(rows, n_rows, self.order_, **group)
            graph = None if self.graphs_ is None else self.graphs_.of_block(number)
            return PairBatches(
                rows, n_rows, self.order_, graph=graph, steps=self.neighbor_steps, **group
            )

        def count(n_in_block: int) -> int:
            return len(list(cuts(n_in_block, n_rows, self.group_.size)))

        return BlockBatches(self.blocks_, count, batches_of)

    @property
    def rows_a_batch(self) -> int:
        """How many rows a batch has, without their partners."""
        partnered = self.n_neighbors > 0 and self.blueprint.joint
        return self.batch_size // 2 if partnered and not self.viewed else self.batch_size

    @property
    def _default_callbacks(self) -> list[tuple[str, Any]]:
        printing = [("print_log", PrintLog())] if self.verbose else []
        return [("epoch_timer", EpochTimer()), *printing]

    def notify(self, method_name: str, **cb_kwargs: Any) -> None:
        """Tell the callbacks; skorch's raise KeyboardInterrupt where they want training to end.

        Turned into an exception of our own, so that a Ctrl-C stays a Ctrl-C.
        """
        try:
            super().notify(method_name, **cb_kwargs)
        except KeyboardInterrupt as stop:
            raise StopTraining from stop
