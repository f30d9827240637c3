"""Encoder and generator as ONNX models.

Standardisation is a part of them: in front of the encoder, and undone behind the generator.
"""

import copy
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sklearn_bigan._data.standardizer import Standardizer
from sklearn_bigan._runtime.extras import require
from sklearn_bigan._runtime.settings import training_settings
from sklearn_bigan._training.net import BiGANNet
from sklearn_bigan.networks.body import Network
from sklearn_bigan.networks.encoder import Encoder
from sklearn_bigan.networks.generator import Generator

# The lowest that torch.onnx writes without converting, and one that skl2onnx can use.
OPSET = 18


class _Units(nn.Module):
    """`Standardizer`, in torch."""

    center: Tensor | None
    scale: Tensor
    bound: Tensor | None
    minimum: Tensor
    maximum: Tensor

    def __init__(self, standardizer: Standardizer) -> None:
        super().__init__()
        for name in ("center", "scale", "bound", "minimum", "maximum"):
            array = getattr(standardizer, name)
            self.register_buffer(name, None if array is None else torch.tensor(array))
        wide = standardizer.output_dtype is np.float64
        self.dtype = torch.float64 if wide else torch.float32  # of X

    def transform(self, x: Tensor) -> Tensor:
        """As `Standardizer.transform`, in float64, too."""
        if self.center is not None:
            x = (x.double() - self.center) / self.scale
            if self.bound is not None:
                x = x / torch.sqrt(1 + (x / self.bound) ** 2)
        return x.float()

    def inverse_transform(self, y: Tensor) -> Tensor:
        """As `Standardizer.inverse_transform`."""
        if self.center is None:
            return y
        x = y.double()
        if self.bound is not None:
            x = x / torch.sqrt(torch.clamp(1 - (x / self.bound) ** 2, min=0))
        x = x * self.scale + self.center
        if self.bound is not None:
            x = torch.minimum(torch.maximum(x, self.minimum), self.maximum)
        return x.to(self.dtype)


class _Affine(nn.Module):
    """Batch norm in evaluation mode, as a scale and a shift of each channel.

    torch 2.6 cannot export batch norm.
    """

    scale: Tensor
    shift: Tensor

    def __init__(self, norm: Any) -> None:
        super().__init__()
        deviation = torch.sqrt(norm.running_var + norm.eps)
        weight = torch.ones_like(deviation) if norm.weight is None else norm.weight
        bias = torch.zeros_like(deviation) if norm.bias is None else norm.bias
        shape = (-1,) + (1,) * (2 if isinstance(norm, nn.BatchNorm2d) else 0)
        scale = weight / deviation
        self.register_buffer("scale", scale.reshape(shape))
        self.register_buffer("shift", (bias - norm.running_mean * scale).reshape(shape))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.scale + self.shift


class _UnitsToCodes(nn.Module):
    """From X in its own units to what `transform` returns."""

    def __init__(self, units: _Units, encoder: Encoder, features: str, dtype: torch.dtype) -> None:
        super().__init__()
        self.units, self.encoder = units, encoder
        self.features, self.dtype = features, dtype

    def forward(self, x: Tensor) -> Tensor:
        return self.encoder.features(self.units.transform(x), self.features).to(self.dtype)


class _CodesToUnits(nn.Module):
    """From codes to X in its own units."""

    def __init__(self, units: _Units, generator: Generator) -> None:
        super().__init__()
        self.units, self.generator = units, generator

    def forward(self, z: Tensor) -> Tensor:
        return self.units.inverse_transform(self.generator(z))


def encoder_model(
    net: BiGANNet,
    features: str,
    dtype: torch.dtype | None = None,
    output_dtype: torch.dtype = torch.float32,
) -> Any:
    """Return E as an onnx.ModelProto from "X" to "Z".

    `dtype` is that of X; None is that of generated rows.
    """
    encoder, units = net.module_.averaged.encoder, _Units(net.standardizer)
    module = _UnitsToCodes(units, encoder, features, output_dtype)
    example = torch.zeros(2, net.spec.n_features, dtype=dtype or units.dtype, device="cpu")
    return _model(module, encoder, example, "X", "Z")


def generator_model(net: BiGANNet) -> Any:
    """Return G as an onnx.ModelProto from "Z" to "X"."""
    generator = net.module_.averaged.generator
    module = _CodesToUnits(_Units(net.standardizer), generator)
    example = torch.zeros(2, net.spec.latent_dim, dtype=torch.float32, device="cpu")
    return _model(module, generator, example, "Z", "X")


def _model(
    module: nn.Module, network: Network, example: Tensor, name_in: str, name_out: str
) -> Any:
    """Export a module around a network; it maps rows like those of `example` to rows."""
    require("to_onnx", "onnx", "onnx", "onnxscript")
    # A copy on the CPU, so that the net stays where it is.
    module = copy.deepcopy(module).cpu().eval()
    with training_settings(), torch.no_grad(), _silence():
        _fold_batch_norm(module)
        try:
            program = torch.onnx.export(
                module,
                (example,),
                input_names=[name_in],
                output_names=[name_out],
                dynamic_shapes=({0: torch.export.Dim("rows")},),
                opset_version=OPSET,
                dynamo=True,
                verbose=False,
            )
        except ImportError:  # an onnxscript that is too old for torch
            raise
        except Exception as error:
            if not network.own_body:
                raise
            raise ValueError(
                f"torch.onnx cannot export the network's {network.role}. The error above says "
                f"which operation; use another one in its body."
            ) from error
    assert program is not None
    model = program.model_proto
    if not model.graph.input[0].type.tensor_type.shape.dim[0].dim_param:
        raise ValueError(
            f"The network's {network.role} cannot be exported for any number of rows, since its "
            f"body takes that number for a constant. Use x.shape[0] in place of len(x)."
        )
    _remove_traces(model)
    return model


def _fold_batch_norm(module: nn.Module) -> None:
    """Replace batch norm that has running statistics by what it computes with them."""
    for name, part in list(module.named_modules()):
        norms = isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d)
        if norms and part.running_var is not None:
            module.set_submodule(name, _Affine(part))


def _remove_traces(model: Any) -> None:
    """Remove what only helps to debug the export, such as paths of this machine's files."""
    graph = model.graph
    del graph.value_info[:]
    for part in (model, graph, *graph.input, *graph.output, *graph.initializer, *graph.node):
        del part.metadata_props[:]
        part.doc_string = ""


@contextmanager
def _silence() -> Iterator[None]:
    """Silence torch about optional packages and its own deprecated calls."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
