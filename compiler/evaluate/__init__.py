"""The float meaning of a graph: one small torch function for each operator, one file for each family.

`evaluate` takes and gives NumPy arrays; `forward` works on torch tensors of any floating type and can be differentiated,
with respect to its inputs and to any constant of the graph.
"""

from intlower.compiler.evaluate.dispatch import apply_operator
from intlower.compiler.evaluate.elementwise import apply_activation
from intlower.compiler.evaluate.run import check_inputs, constant_tensors, evaluate, forward

__all__ = [
    "apply_activation",
    "apply_operator",
    "check_inputs",
    "constant_tensors",
    "evaluate",
    "forward",
]
