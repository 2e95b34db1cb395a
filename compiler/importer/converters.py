"""Every ONNX operator that the importer converts, and how."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from intlower.compiler.importer.attributes import OnnxNode
from intlower.compiler.importer.elementwise import (
    convert_clip,
    convert_dropout,
    convert_identity,
    convert_relu,
    convert_softmax,
)
from intlower.compiler.importer.linear import (
    convert_add,
    convert_batch_normalization,
    convert_gemm,
    convert_matmul,
)
from intlower.compiler.importer.scope import Scope
from intlower.compiler.importer.shapes import (
    convert_concat,
    convert_flatten,
    convert_pad,
    convert_reshape,
    convert_slice,
)
from intlower.compiler.importer.windows import (
    convert_average_pool,
    convert_conv,
    convert_global_average_pool,
    convert_max_pool,
)

# A converter appends nodes to the scope, the last of which defines the ONNX node's first output. It raises NotSupported
# for what the graph cannot express and InvalidGraph for what ONNX does not allow.
Converter = Callable[[OnnxNode, Scope], None]

CONVERTERS: Mapping[str, Converter] = MappingProxyType(
    {
        "Add": convert_add,
        "AveragePool": convert_average_pool,
        "BatchNormalization": convert_batch_normalization,
        "Clip": convert_clip,
        "Concat": convert_concat,
        "Conv": convert_conv,
        "Dropout": convert_dropout,
        "Flatten": convert_flatten,
        "Gemm": convert_gemm,
        "GlobalAveragePool": convert_global_average_pool,
        "Identity": convert_identity,
        "MatMul": convert_matmul,
        "MaxPool": convert_max_pool,
        "Pad": convert_pad,
        "Relu": convert_relu,
        "Reshape": convert_reshape,
        "Slice": convert_slice,
        "Softmax": convert_softmax,
    }
)
