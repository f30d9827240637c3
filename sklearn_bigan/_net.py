"""The training engine: a skorch net whose step updates two players at once."""

import copy
import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from itertools import chain
from typing import Any

import torch
from skorch import NeuralNet
from skorch.callbacks import EpochTimer, PrintLog
from skorch.utils import TeeGenerator
from torch import Tensor

from sklearn_bigan._batches import TensorBatches
from sklearn_bigan._gradients import play
from sklearn_bigan._losses import LOSSES
from sklearn_bigan._priors import PRIORS
from sklearn_bigan._randomness import (
    child_seed,
    default_generators_seeded,
    generator_on,
    one_thread,
)
from sklearn_bigan.networks.bigan import Blueprint, make_bigan

# Adam's decay rates in both papers (ALI prints beta2 as 1 - beta2).
ADAM_BETAS = (0.5, 0.999)

# Weight of the latent regression loss in G's gradient. BiGAN's authors: 0.25 in the joint latent
# regressor, "1 results in a degenerate solution"; the plain latent regressor leaves G alone.
REGRESSION_WEIGHT_IN_G = {"latent_regression": 0.0, "joint_latent_regression": 0.25}

# Beyond it squares overflow in float32, and with them Adam's second moments: nothing is learned
# any more, even where the figure itself is still finite.
LARGEST = math.sqrt(torch.finfo(torch.float32).max)


class StopTraining(Exception):
    """A callback asked for the end of training."""


class BiGANNet(NeuralNet):
    """Trains a `BiGAN`: one optimizer for E and G, one for D, both stepped on the same batch.

    Parameters
    ----------
    blueprint : Blueprint
        What to make and train.
    x_mean : Tensor of shape (n_features,)
        Mean of the training data, where G's output bias starts.
    seed : int
        All randomness hangs below it.
    discriminator_steps : int
        D learns from every batch, E and G from every `discriminator_steps`-th.
    **kwargs
        `lr`, `batch_size`, `device`, `callbacks` and `verbose` of `skorch.NeuralNet`.
    """

    def __init__(
        self,
        blueprint: Blueprint,
        *,
        x_mean: Tensor,
        seed: int,
        discriminator_steps: int,
        **kwargs: Any,
    ) -> None:
        self.blueprint = blueprint
        self.x_mean = x_mean
        self.seed = seed
        self.discriminator_steps = discriminator_steps
        self.n_steps_ = 0
        super().__init__(
            make_bigan,
            criterion=LOSSES[blueprint.loss],
            optimizer=torch.optim.Adam,
            train_split=None,
            **kwargs,
        )

    def initialize_module(self) -> "BiGANNet":
        """Make the networks on the CPU, with weights that depend on the seed alone."""
        with default_generators_seeded(child_seed(self.seed, 0), torch.device("cpu")):
            self.module_ = self.module(self.blueprint, self.x_mean).eval()
        return self

    def train(self, rows: Tensor, epochs: int) -> None:
        """Take `epochs` passes over the rows, which lie on the device; if it fails, be as before.

        Raises
        ------
        ValueError
            If a loss or a weight is no longer finite.
        """
        # Seeds depend on how many epochs came before, not on a generator's inner state: training
        # goes on alike in this process and from a file.
        order, noise, default = (
            child_seed(self.seed, 1, len(self.history), purpose) for purpose in range(3)
        )
        self.order_, self.noise_ = (generator_on(rows.device, seed) for seed in (order, noise))
        # Our networks draw from private generators only; a user's may hold dropout, which cannot.
        draws = (
            nullcontext()
            if self.blueprint.ours
            else default_generators_seeded(default, rows.device)
        )
        for optimizer in (self.optimizer_, self.optimizer_discriminator_):
            for group in optimizer.param_groups:
                group["lr"] = self.lr
        with self._unchanged_on_failure(), draws, one_thread():
            self.module_.train()
            try:
                self.notify("on_train_begin", X=rows, y=None)
                self.fit_loop(rows, epochs=epochs)
            except StopTraining:
                # An epoch that was not finished has no losses to report.
                if self.history and "train_batch_count" not in self.history[-1]:
                    del self.history[-1]
            with suppress(StopTraining):
                self.notify("on_train_end", X=rows, y=None)
            weights = dict(self.module_.named_parameters())
            sums = torch.stack([weight.detach().sum() for weight in weights.values()])
            self._check_finite(dict(zip(weights, sums.cpu().tolist(), strict=True)))
            self.module_.eval()

    def epochs(self) -> list[dict[str, Any]]:
        """Return the history, one dict an epoch, without skorch's empty list of batches."""
        return [{k: v for k, v in epoch.items() if k != "batches"} for epoch in self.history]

    def train_step(self, batch: Tensor, **fit_params: Any) -> dict[str, Any]:
        """Update D, E and G once, simultaneously: all gradients at the same weights."""
        self.n_steps_ += 1
        encoder_generator_moves = self.n_steps_ % self.discriminator_steps == 0
        encoder, generator = self.module_.encoder, self.module_.generator
        self.optimizer_.zero_grad()
        self.optimizer_discriminator_.zero_grad()

        # Draw z ~ p(z).
        prior = PRIORS[self.blueprint.prior]
        z = prior.sample(len(batch), encoder.latent_dim, self.noise_, batch.device)

        # Encode and generate, once each: z_hat ~ q(z | x) and x_hat = G(z). A latent regressor's
        # D sees x alone, and its encoder sees only x_hat.
        joint = self.blueprint.joint
        with torch.set_grad_enabled(encoder_generator_moves):
            x_hat = generator(z)
            z_hat = encoder.draw(batch, self.noise_) if joint else z[:, :0]

        # Discriminate: minimise -log D(x, z_hat) - log(1 - D(x_hat, z)) over D, and the same with
        # the labels swapped over E and G (or the hinge's two sides).
        outcome = play(
            self.module_.discriminator,
            self.criterion_,
            encoder_pair=(batch, z_hat),
            generator_pair=(x_hat, z if joint else z[:, :0]),
        )

        losses = {
            "discriminator_loss": outcome.discriminator_loss,
            "encoder_generator_loss": outcome.encoder_generator_loss,
        }

        # Update E and G, and D, by what that pass left.
        if encoder_generator_moves:
            if joint:
                torch.autograd.backward([z_hat, x_hat], [outcome.at_z_hat, outcome.at_x_hat])
            else:
                losses["latent_regression_loss"], at_x_hat = self._regress(x_hat, z)
                torch.autograd.backward(x_hat, outcome.at_x_hat + at_x_hat)
        self.notify(
            "on_grad_computed",
            named_parameters=TeeGenerator(self.module_.named_parameters()),
            batch=batch,
            training=True,
        )
        self.optimizer_discriminator_.step()
        if encoder_generator_moves:
            self.optimizer_.step()
        return {"losses": losses}

    def _regress(self, x_hat: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        """L(z, E(x_hat)), its gradient left on E, and G's share of that gradient, at x_hat."""
        encoder = self.module_.encoder
        sample = x_hat.detach().requires_grad_()
        location, _ = encoder.posterior(encoder.hidden(sample))
        loss = PRIORS[self.blueprint.prior].regression_loss(location, z)
        torch.autograd.backward(loss)
        share = REGRESSION_WEIGHT_IN_G[self.blueprint.inference]
        return loss.detach(), share * sample.grad  # type: ignore[operator, return-value]

    def run_single_epoch(
        self,
        iterator: Iterable[Tensor] | None,
        training: bool,
        prefix: str,
        step_fn: Callable[..., dict[str, Any]],
        **fit_params: Any,
    ) -> None:
        """skorch's, but the losses stay on the device: read once an epoch, not every step."""
        if iterator is None:
            return
        n_batches = 0
        sums: dict[str, Tensor] = {}
        weights: dict[str, int] = {}
        for batch in iterator:
            self.notify("on_batch_begin", batch=batch, training=training)
            step = step_fn(batch, **fit_params)
            for name, loss in step["losses"].items():
                sums[name] = sums.get(name, 0) + len(batch) * loss
                weights[name] = weights.get(name, 0) + len(batch)
            self.notify("on_batch_end", batch=batch, training=training, **step)
            n_batches += 1
        for name, total in zip(sums, torch.stack(list(sums.values())).cpu().tolist(), strict=True):
            self.history.record(name, total / weights[name])
        self.history.record(prefix + "_batch_count", n_batches)
        self._check_finite({name: self.history[-1, name] for name in sums})

    def _check_finite(self, figures: dict[str, float]) -> None:
        """Raise, naming the figures, unless float32 can hold all of them and their squares."""
        wrong = [f"{name} is {x:.3g}" for name, x in figures.items() if not abs(x) < LARGEST]
        if wrong:
            raise ValueError(
                f"Training diverged in epoch {len(self.history)}: {', '.join(wrong)}. Lower "
                f"learning_rate (currently {self.lr:g}), or rescale X if it contains large "
                f"values, for example with StandardScaler."
            )

    def initialize_optimizer(self) -> "BiGANNet":
        """One Adam for E and G together, one for D."""
        encoder_generator = chain(
            self.module_.encoder.named_parameters(), self.module_.generator.named_parameters()
        )
        self.optimizer_ = self._adam(encoder_generator)
        self.optimizer_discriminator_ = self._adam(self.module_.discriminator.named_parameters())
        return self

    def _adam(self, named_parameters: Iterable[tuple[str, Tensor]]) -> torch.optim.Adam:
        # Fused: one kernel for all weights, where the default takes several for each.
        weights = [weight for _, weight in named_parameters]
        return self.optimizer(weights, lr=self.lr, betas=ADAM_BETAS, fused=True)

    def get_iterator(self, dataset: Any, training: bool = False) -> Any:
        """Batches of the tensor that skorch wrapped; skorch's own for its `predict`."""
        if not training:
            return super().get_iterator(dataset, training)
        return TensorBatches(dataset.X, self.batch_size, self.order_)

    @property
    def _default_callbacks(self) -> list[tuple[str, Any]]:
        return [("epoch_timer", EpochTimer()), ("print_log", PrintLog())]

    def notify(self, method_name: str, **cb_kwargs: Any) -> None:
        """Tell the callbacks; skorch's raise KeyboardInterrupt where they want training to end.

        Turned into an exception of our own, so that a Ctrl-C stays a Ctrl-C.
        """
        try:
            super().notify(method_name, **cb_kwargs)
        except KeyboardInterrupt as stop:
            raise StopTraining from stop

    @contextmanager
    def _unchanged_on_failure(self) -> Iterator[None]:
        """Put weights, optimizers and history back if training ends in an exception."""
        parts = (self.module_, self.optimizer_, self.optimizer_discriminator_)
        states = [copy.deepcopy(part.state_dict()) for part in parts]
        n_epochs, n_steps = len(self.history), self.n_steps_
        try:
            yield
        except BaseException:
            for part, state in zip(parts, states, strict=True):
                part.load_state_dict(state)
            del self.history[n_epochs:]
            self.n_steps_ = n_steps
            self.module_.eval()
            raise
