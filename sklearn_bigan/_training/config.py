"""How the networks are trained, apart from skorch's own parameters."""

from dataclasses import dataclass


@dataclass(frozen=True)
class TrainingConfig:
    """Settings of the training, with "auto" resolved.

    skorch's parameters of `BiGANNet` hold the others: `lr`, `batch_size`, `max_epochs`.
    """

    # Weights of the loss terms, see `BiGANObjective`.
    cycle_weight: float
    latent_cycle_weight: float
    consistency_weight: float
    n_neighbors: int  # in the graph; 0 for no graph
    augmentations: tuple[str, ...]  # of what E sees; empty for none
    ema_decay: float  # of the moving average of E's and G's weights; 0 uses the last weights
    precision: str  # "float32" or "bfloat16" (mixed precision)
    compile: bool  # whether torch compiles the training step
    n_threads: int  # of the CPU
