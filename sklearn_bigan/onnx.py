"""Pipelines with a BiGANTransformer as ONNX models, by skl2onnx."""

from typing import Any

import torch

from sklearn_bigan._files.onnx import encoder_model
from sklearn_bigan._parameters import features
from sklearn_bigan._runtime.extras import require
from sklearn_bigan._transformer import BiGANTransformer

__all__ = ["register_converter"]


def register_converter() -> None:
    """Let skl2onnx convert BiGANTransformer, alone or in a Pipeline.

    Registers a converter with `skl2onnx.update_registered_converter`, for the whole process. Call
    it once, before `skl2onnx.to_onnx` or `skl2onnx.convert_sklearn`. The model's codes equal those
    of `transform` but for rounding, with `features` as they are at the conversion, and it takes any
    number of rows. It needs neither this package nor torch. Codes are float64 if their input is, as
    of skl2onnx's other transformers; else float32. `target_opset` must be at least 18.

    Raises
    ------
    ImportError
        If onnx, onnxscript or skl2onnx is not installed; all are in the extra
        ``sklearn_bigan[onnx]``.

    See Also
    --------
    sklearn_bigan.BiGANTransformer.to_onnx : Writes the encoder or the generator alone.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from sklearn_bigan import BiGANTransformer
    >>> from sklearn_bigan.onnx import register_converter
    >>> X, y = load_digits(return_X_y=True)
    >>> bigan = BiGANTransformer(8, max_epochs=2, random_state=0)
    >>> pipe = make_pipeline(StandardScaler(), bigan, LogisticRegression()).fit(X, y)
    >>> register_converter()  # doctest: +SKIP
    >>> from skl2onnx import to_onnx  # doctest: +SKIP
    >>> model = to_onnx(pipe, X[:1].astype("float32"))  # doctest: +SKIP
    """
    require("register_converter", "onnx", "onnx", "onnxscript", "skl2onnx")
    from skl2onnx import update_registered_converter

    name = "SklearnBiGANTransformer"
    update_registered_converter(BiGANTransformer, name, _set_output_type, _convert)


def _set_output_type(operator: Any) -> None:
    """Tell skl2onnx type and shape of the codes."""
    from skl2onnx.common.data_types import guess_tensor_type

    if len(operator.inputs) > 1:
        raise ValueError(
            f"BiGANTransformer needs one input with all columns of X. Got {len(operator.inputs)}, "
            f"one for each column of a data frame; pass skl2onnx an array, X.to_numpy()."
        )
    (given,) = operator.inputs
    codes = guess_tensor_type(given.type)
    codes.shape = [given.get_first_dimension(), operator.raw_operator._n_features_out]
    operator.outputs[0].type = codes


def _convert(scope: Any, operator: Any, container: Any) -> None:
    """Add the encoder to the graph that skl2onnx builds."""
    from skl2onnx.common.data_types import (
        BooleanTensorType,
        DoubleTensorType,
        FloatTensorType,
        Int32TensorType,
        Int64TensorType,
    )
    from skl2onnx.helpers import add_onnx_graph

    estimator = operator.raw_operator
    dtypes = {
        FloatTensorType: torch.float32,
        DoubleTensorType: torch.float64,
        Int64TensorType: torch.int64,
        Int32TensorType: torch.int32,
        BooleanTensorType: torch.bool,
    }
    (given,), (codes,) = operator.inputs, operator.outputs
    types = dtypes[type(given.type)], dtypes[type(codes.type)]
    model = encoder_model(estimator.net_, features(estimator), *types)
    add_onnx_graph(scope, operator, container, model)
