"""The quantized network that AMCT writes for ATC: AscendQuant, an int8 layer, AscendDequant.

Source: hicann/amct amct_pytorch/optimizer/insert_quant_pass.py (attributes scale, the reciprocal, offset, dst_type),
insert_dequant_pass.py (the input LAYER.dequant.param: uint64 for each scale, its lower half the float32) and
insert_bias_quant_pass.py (int32 biases, none of an average).
"""

from __future__ import annotations

import numpy as np
import onnx
from numpy.typing import NDArray

from intlower.backends.export.float_model import FloatGraph
from intlower.backends.export.format import grid_of, weight_grid_of
from intlower.backends.export.real_layers import RealLayer, real_layers
from intlower.backends.export.real_model import real_model, write_float, write_operator
from intlower.compiler.program import IntegerProgram

# Graph Engine's number of float32, AMCT's default; ATC makes it half precision as the chip has it.
_FLOAT = 0


def deploy_model(program: IntegerProgram) -> onnx.ModelProto:
    """Return the model with the nodes of AMCT where the program has quantized layers. No onnxruntime runs it."""
    quantizers = {
        layer.name: grid_of(program, layer.product.inputs[0])
        for layer in real_layers(program)
        if layer.product is not None
    }

    def write(graph: FloatGraph, layer: RealLayer, result: str) -> None:
        product = layer.product
        if product is None:
            write_float(graph, layer, result)
            return
        name, grid = layer.name, quantizers[layer.name]
        codes, sums = (
            graph.fresh(f"{name}.quant.output0"),
            graph.fresh(f"{name}.dequant.input0"),
        )
        graph.add(
            "AscendQuant",
            layer.inputs,
            codes,
            name=f"{name}.quant",
            scale=float(np.float32(1) / grid.scale.array),
            offset=float(grid.zero_point),
            dst_type="INT8",
        )
        constants = [
            graph.constant(f"{name}/{key}", product.constants[key].array)
            for key in ("weights", "bias")
            if key in product.constants
        ]
        write_operator(graph, layer, [codes, *constants], sums, name)
        single = product.weight_grid is None or weight_grid_of(product).axis is None
        scales = layer.scales[:1] if single else layer.scales
        parameter = graph.constant(f"{name}.dequant.param", dequantization(scales))
        graph.add(
            "AscendDequant", [sums, parameter], result, name=f"{name}.dequant", dtype=_FLOAT
        )

    return real_model(program, write)


def dequantization(scales: NDArray[np.float32]) -> NDArray[np.uint64]:
    """Return scales as AMCT stores them: the bits of the float32 in the lower half of a uint64, offset_w, 0, above.

    >>> [hex(number) for number in dequantization(np.array([1.0, 0.5], np.float32)).tolist()]
    ['0x3f800000', '0x3f000000']
    """
    return np.ascontiguousarray(scales, np.float32).view(np.uint32).astype(np.uint64)
