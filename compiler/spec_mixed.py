"""The arithmetic contract of targets whose products are integer and whose tensors are half precision."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from intlower.compiler.grids import UniformSpec
from intlower.compiler.spec import Provenance, sourced
from intlower.compiler.spec_half import HalfSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class MixedSpec:
    """The arithmetic contract of one target that dequantizes to binary16 between quantized layers.

    Attributes:
        name: what the command line calls it.
        title: hardware and library, for tables.
        activations: grid of the inputs of quantized layers.
        weights: grid of convolution and matrix weights; a matrix has one scale.
        least_scale: a scale below this becomes 1.
        quantized: which layers are quantized, in words.
        bias: how a bias becomes an integer, in words.
        quantization: from binary16 to codes, in words.
        accumulator: of products, in words.
        scale_mask: which bits of a float32 scale the dequantization keeps.
        dequantization: from sums to binary16, in words.
        half: the arithmetic between quantized layers, with its own provenance.
        provenance: the source of each field from `activations` on, by field name.
    """

    name: str
    title: str
    activations: UniformSpec
    weights: UniformSpec
    least_scale: float
    quantized: str
    bias: str
    quantization: str
    accumulator: str
    scale_mask: int
    dequantization: str
    half: HalfSpec
    provenance: Mapping[str, Provenance]

    def __post_init__(self) -> None:
        object.__setattr__(self, "provenance", sourced(self))

    @property
    def operators(self) -> frozenset[str]:
        """Names of the float operators that it runs, quantized or in half precision."""
        return self.half.operators

    @property
    def host(self) -> frozenset[str]:
        """What the host runs on uniform codes of 16 bits; see `HalfSpec`."""
        return self.half.host

    @property
    def calibration(self) -> str:
        """Ascend's own search of a range; see `calibration/methods/ifmr.py`."""
        return "ifmr"

    def summary(self) -> dict[str, str]:
        """Return the grids and the arithmetic in between, each in a few words."""
        return {
            "activations": f"{self.activations.describe()}; float16 between layers",
            "weights": self.weights.describe(),
            "requantize": f"int32 to float16, {self.half.rule}",
        }

    def contract(self) -> list[tuple[str, str, Provenance]]:
        """Return (field, value in words, provenance) of every sourced field, in order, then those in half precision."""
        words = {
            "activations": self.activations.describe(),
            "weights": self.weights.describe(),
            "least_scale": f"a scale below {self.least_scale:.8g} becomes 1",
            "quantized": self.quantized,
            "bias": self.bias,
            "quantization": self.quantization,
            "accumulator": self.accumulator,
            "scale_mask": f"float32 & 0x{self.scale_mask:08X}",
            "dequantization": self.dequantization,
            "half": "in half precision, as follows",
        }
        own = [(name, text, self.provenance[name]) for name, text in words.items()]
        return own + self.half.contract()
