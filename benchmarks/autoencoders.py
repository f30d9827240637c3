"""E and G, the same networks, trained by plain PyTorch to reconstruct."""

import copy
from collections.abc import Sequence
from itertools import chain, repeat
from typing import Any

import numpy as np
import torch
from budget import Budget
from trained import Trained, codec

from sklearn_bigan import BiGANTransformer
from sklearn_bigan._batches import TensorBatches
from sklearn_bigan._neighbors import neighbor_graph, walk
from sklearn_bigan._net import LAST_LEARNING_RATE
from sklearn_bigan._parameters import NEIGHBORS


def autoencoder(
    X: np.ndarray,
    seconds: float,
    marks: Sequence[float],
    *,
    neighbors: bool = False,
    updates: int | None = None,
    **parameters: Any,
) -> Trained:
    """Minimise the squared error of G(E(x)), or with `neighbors` that of a partner from G(E(x)).

    Training ends after so many `updates` if they are given, else with the seconds.
    Partners are the default estimator's. As there the learning rate falls in the second half, so
    that batch statistics settle.
    """
    budget = Budget(seconds, marks)
    model = BiGANTransformer(max_epochs=0, **parameters).fit(X)
    module = model.net_.averaged_.train()
    rows = torch.from_numpy(X).to(model.device_)
    graph = neighbor_graph(X, NEIGHBORS, model.random_state) if neighbors else None
    weights = [*module.encoder.parameters(), *module.generator.parameters()]
    optimizer = torch.optim.Adam(weights, lr=model.learning_rate, fused=True)
    order = torch.Generator().manual_seed(model.random_state)
    batches = TensorBatches(torch.arange(len(rows)), model.batch_size, order)
    checkpoints = []
    for made, here in enumerate(chain.from_iterable(repeat(batches)), start=1):
        there = here if graph is None else walk(graph, here, model.neighbor_steps, order)
        gone = made / updates if updates else budget.spent() / seconds
        share = max(LAST_LEARNING_RATE, min(1.0, 2 * (1 - gone)))
        optimizer.param_groups[0]["lr"] = model.learning_rate * share
        optimizer.zero_grad()
        x_hat = module.generator(module.encoder(rows[here]))
        (x_hat - rows[there]).square().sum(1).mean().backward()
        optimizer.step()
        if budget.passes_mark():
            took = {"seconds": budget.spent(), "updates": made}
            with budget.paused():
                checkpoints.append(codec(copy.deepcopy(module).eval(), **took))
        if made == updates if updates else budget.used_up():
            break
    module.eval().cpu()
    return codec(module, seconds=budget.spent(), updates=made, checkpoints=checkpoints)
