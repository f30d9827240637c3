"""A model that is fitted in a moment."""

from sklearn_bigan import BiGANTransformer


def bigan(**parameters) -> BiGANTransformer:
    defaults = {"n_components": 4, "hidden_layer_sizes": (32,), "max_epochs": 2, "random_state": 0}
    return BiGANTransformer(**{**defaults, **parameters})


def module_of(estimator: BiGANTransformer):
    """Return what a fitted model computes with."""
    return estimator.net_.averaged_
