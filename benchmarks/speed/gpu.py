"""What a step, the search for neighbors and `transform` take on an accelerator.

Steps are timed as `fit` takes them, whole epochs with what surrounds them: in float32, in bfloat16
and compiled.
"""

from typing import Any

from sklearn_bigan import BiGANTransformer
from speed.clock import Clock, Figures, before_first_step, seconds, spread
from speed.steps import noise

TABLE, IMAGE = {"hidden_layer_sizes": (512, 512)}, {"image_shape": (32, 32, 3)}
# Columns, rows of an update without partners, parameters.
CASES: dict[str, tuple[int, int, dict[str, Any]]] = {
    "default, 64 columns, width 256": (64, 64, {"hidden_layer_sizes": (256, 256)}),
    "default, 784 columns": (784, 64, TABLE),
    "default, 784 columns, batch 1024": (784, 512, TABLE),
    "BiGAN, 784 columns": (784, 128, {**TABLE, "method": "bigan"}),
    "ALI, 784 columns": (784, 128, {**TABLE, "method": "ali"}),
    "default, dcgan, 32 x 32 x 3": (3072, 128, IMAGE),
    "default, dcgan, 32 x 32 x 3, batch 1024": (3072, 1024, IMAGE),
    "ALI, its networks, 32 x 32 x 3": (3072, 128, {**IMAGE, "method": "ali", "network": "ali"}),
}
WAYS: dict[str, dict[str, Any]] = {
    "recorded": {"precision": "float32"},
    "recorded, bfloat16": {"precision": "bfloat16"},
    "recorded, compiled": {"precision": "float32", "compile": True},
}
N_STEPS, BLOCK_ROWS = 50, 65_536


def milliseconds(n_columns: int, batch: int, n_epochs: int, **parameters: Any) -> float:
    """Return the median over the epochs but the first, in which steps are recorded."""
    clock = Clock(parameters["device"])
    BiGANTransformer(
        32,
        **{"batch_size": batch, "max_epochs": n_epochs, "random_state": 0, "callbacks": [clock]},
        **parameters,
    ).fit(noise(N_STEPS * batch, n_columns))
    return spread(1e3 * epoch / N_STEPS for epoch in clock.epochs[1:])[0]


def steps(*, device: str, rounds: int = 4) -> Figures:
    """Time the steps."""
    return {
        name: {
            way: milliseconds(n_columns, batch, rounds + 1, device=device, **parameters, **how)
            for way, how in WAYS.items()
        }
        for name, (n_columns, batch, parameters) in CASES.items()
    }


def rows(*, device: str, rounds: int = 5) -> Figures:
    """Time the neighbors of a block of 50 columns, and rows a second of `transform`."""
    X = noise(BLOCK_ROWS, 50)
    took = [before_first_step(X, device) for _ in range(2)]
    without, within = map(min, zip(*took, strict=True))
    figures: Figures = {"neighbours of a block, milliseconds": round(1e3 * (within - without), 1)}
    for name in ("default, 784 columns", "default, dcgan, 32 x 32 x 3"):
        n_columns, _, parameters = CASES[name]
        X = noise(BLOCK_ROWS, n_columns)
        model = BiGANTransformer(32, max_epochs=0, device=device, **parameters).fit(X[:1000])
        took = [seconds(lambda m=model, X=X: m.transform(X), 1, device) for _ in range(rounds + 1)]
        figures[f"{name}, rows a second in transform"] = round(BLOCK_ROWS / spread(took[1:])[0])
    return figures


PARTS = {"steps": steps, "rows": rows}
