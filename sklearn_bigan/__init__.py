"""BiGAN and ALI as a scikit-learn transformer and an outlier detector."""

from importlib.metadata import version

from sklearn_bigan._display.interpolation import InterpolationDisplay
from sklearn_bigan._display.latent_map import LatentMapDisplay
from sklearn_bigan._display.outlier import OutlierDisplay
from sklearn_bigan._display.outlier_images import OutlierImagesDisplay
from sklearn_bigan._display.reconstruction import ReconstructionDisplay
from sklearn_bigan._display.samples import SampleDisplay
from sklearn_bigan._display.training import TrainingDisplay
from sklearn_bigan._outlier import BiGANOutlierDetector
from sklearn_bigan._transformer import BiGANTransformer, load

__version__ = version("sklearn_bigan")
__all__ = [
    "BiGANOutlierDetector",
    "BiGANTransformer",
    "InterpolationDisplay",
    "LatentMapDisplay",
    "OutlierDisplay",
    "OutlierImagesDisplay",
    "ReconstructionDisplay",
    "SampleDisplay",
    "TrainingDisplay",
    "__version__",
    "load",
]
