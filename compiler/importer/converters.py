"""Every ONNX operator that the importer converts, and how."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from intlower.compiler.importer.arithmetic import (
    convert_add,
    convert_div,
    convert_max,
    convert_mean,
    convert_min,
    convert_mul,
    convert_pow,
    convert_sub,
    convert_sum,
)
from intlower.compiler.importer.attributes import OnnxNode
from intlower.compiler.importer.cumulative import convert_cumsum
from intlower.compiler.importer.einsum import convert_einsum
from intlower.compiler.importer.elementwise import (
    convert_clip,
    convert_dropout,
    convert_identity,
    convert_relu,
)
from intlower.compiler.importer.linear import (
    convert_batch_normalization,
    convert_gemm,
    convert_matmul,
)
from intlower.compiler.importer.normalization import (
    convert_group_normalization,
    convert_instance_normalization,
    convert_layer_normalization,
    convert_lp_normalization,
    convert_lrn,
    convert_rms_normalization,
)
from intlower.compiler.importer.rearrangement import (
    convert_depth_to_space,
    convert_expand,
    convert_space_to_depth,
    convert_squeeze,
    convert_tile,
    convert_transpose,
    convert_unsqueeze,
)
from intlower.compiler.importer.reductions import REDUCTION_NAMES, convert_reduction
from intlower.compiler.importer.resizing import convert_resize, convert_upsample
from intlower.compiler.importer.scope import Scope
from intlower.compiler.importer.selection import (
    convert_equal,
    convert_gather,
    convert_split,
    convert_where,
)
from intlower.compiler.importer.shapes import (
    convert_concat,
    convert_flatten,
    convert_pad,
    convert_reshape,
    convert_slice,
)
from intlower.compiler.importer.softmax import convert_log_softmax, convert_softmax
from intlower.compiler.importer.transposed import convert_conv_transpose
from intlower.compiler.importer.unary import (
    FUNCTION_NAMES,
    convert_cast,
    convert_function,
    convert_gelu,
    convert_prelu,
    convert_swish,
)
from intlower.compiler.importer.windows import (
    convert_average_pool,
    convert_conv,
    convert_global_average_pool,
    convert_global_max_pool,
    convert_max_pool,
)

# A converter appends nodes to the scope, which define the outputs of the ONNX node that something reads. It raises
# NotSupported for what the graph cannot express and InvalidGraph for what ONNX does not allow.
Converter = Callable[[OnnxNode, Scope], None]

CONVERTERS: Mapping[str, Converter] = MappingProxyType(
    {
        **dict.fromkeys(FUNCTION_NAMES, convert_function),
        **dict.fromkeys(REDUCTION_NAMES, convert_reduction),
        "Add": convert_add,
        "AveragePool": convert_average_pool,
        "BatchNormalization": convert_batch_normalization,
        "Cast": convert_cast,
        "CastLike": convert_cast,
        "Clip": convert_clip,
        "Concat": convert_concat,
        "Conv": convert_conv,
        "ConvTranspose": convert_conv_transpose,
        "CumSum": convert_cumsum,
        "DepthToSpace": convert_depth_to_space,
        "Div": convert_div,
        "Dropout": convert_dropout,
        "Einsum": convert_einsum,
        "Equal": convert_equal,
        "Expand": convert_expand,
        "Flatten": convert_flatten,
        "Gather": convert_gather,
        "Gelu": convert_gelu,
        "Gemm": convert_gemm,
        "GlobalAveragePool": convert_global_average_pool,
        "GlobalMaxPool": convert_global_max_pool,
        "GroupNormalization": convert_group_normalization,
        "Identity": convert_identity,
        "InstanceNormalization": convert_instance_normalization,
        "LRN": convert_lrn,
        "LayerNormalization": convert_layer_normalization,
        "LpNormalization": convert_lp_normalization,
        "LogSoftmax": convert_log_softmax,
        "MatMul": convert_matmul,
        "Max": convert_max,
        "MaxPool": convert_max_pool,
        "Mean": convert_mean,
        "Min": convert_min,
        "Mul": convert_mul,
        "PRelu": convert_prelu,
        "Pad": convert_pad,
        "Pow": convert_pow,
        "RMSNormalization": convert_rms_normalization,
        "Relu": convert_relu,
        "Reshape": convert_reshape,
        "Resize": convert_resize,
        "Slice": convert_slice,
        "Softmax": convert_softmax,
        "SpaceToDepth": convert_space_to_depth,
        "Split": convert_split,
        "Squeeze": convert_squeeze,
        "Sub": convert_sub,
        "Sum": convert_sum,
        "Swish": convert_swish,
        "Tile": convert_tile,
        "Transpose": convert_transpose,
        "Unsqueeze": convert_unsqueeze,
        "Upsample": convert_upsample,
        "Where": convert_where,
    }
)
