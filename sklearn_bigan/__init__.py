"""BiGAN and ALI as a scikit-learn transformer."""

from importlib.metadata import version

from sklearn_bigan._display import (
    InterpolationDisplay,
    ReconstructionDisplay,
    SampleDisplay,
    TrainingDisplay,
)
from sklearn_bigan._transformer import BiGANTransformer, load

__version__ = version("sklearn_bigan")
__all__ = [
    "BiGANTransformer",
    "InterpolationDisplay",
    "ReconstructionDisplay",
    "SampleDisplay",
    "TrainingDisplay",
    "__version__",
    "load",
]
