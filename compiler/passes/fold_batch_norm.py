"""Folds batch normalization into the layers around it, and keeps what it knows of distributions."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from intlower.compiler.constant import Constant
from intlower.compiler.errors import InvalidGraph, UnsupportedNode, UnsupportedOperator
from intlower.compiler.graph import Graph, Moments, Node, fresh_name
from intlower.compiler.moments import normalized_moments
from intlower.compiler.operators import (
    BatchNormalization,
    Conv,
    ConvTranspose,
    Gemm,
    Reshape,
    known,
)
from intlower.compiler.passes.rewriting import (
    parameter,
    replace_nodes,
    sole_reader,
    with_parameters,
    with_scaled_outputs,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class FoldBatchNorm:
    """Replaces every BatchNormalization by linear layers that compute the same, and records moments.

    A normalization with scale gamma, shift beta, mean mu, variance v and epsilon e is y = a*x + d for each channel,
    with a = gamma / sqrt(v + e) and d = beta - a*mu. All is computed in float64 and stored in float32. For each, the
    first case that applies:

    1. *Chain.* Normalizations that follow one another, each read only by the next, are one: a = a2*a1,
       d = a2*d1 + d2; the last one's moments are the chain's. The other cases treat the chain as one.
    2. *Backward.* x is the output of a Conv, ConvTranspose (any groups) or Gemm without activation, read by nothing else: its weights
       w[o] become a[o]*w[o], its bias a*b + d, made where absent. The layer takes over the name of y.
    3. *Forward.* y is read only by a Conv or Gemm with constant weights: w[:, i] becomes a[i]*w[:, i], and the bias
       b[o] + sum over i, k of w[o, i, k]*d[i]. Only where the Conv does not pad, or d = 0: a padded zero stands for
       y = 0, not for x = 0.
    4. *Alone.* Else (after Add, Concat, pooling, a graph input, or a layer with several readers): a Conv in C groups
       of 1x1 with weights a and bias d for a rank-4 x, a Gemm with diagonal weights for rank 2; other ranks are
       reshaped to [N, C, rest, 1] and back.

    Weights that other nodes read stay as they are for them.

    Recorded moments, where none are yet: y has mean beta and std |gamma|*sqrt(v/(v + e)) (not |gamma|: a dead channel,
    v far below e, hardly varies), which in cases 2 and 4 stay on y; x itself has mean mu and std sqrt(v), which in
    cases 3 and 4 stay on x if it has no activation. In case 2 these are implied by y's.

    Source: Jacob et al. 2018, section 3.2 (case 2); Nagel et al. 2019, section 4.2.1 (the moments).
    """

    name: ClassVar[str] = "fold_batch_norm"

    def __call__(self, graph: Graph) -> Graph:
        """Return the graph without BatchNormalization.

        Raises:
            UnsupportedOperator: a normalization's parameters are not constants.
            InvalidGraph: a variance plus epsilon is not positive.
        """
        _check_parameters(graph)
        while (chain := _first_chain(graph)) is not None:
            graph = _backward(graph, chain) or _forward(graph, chain) or _alone(graph, chain)
        return graph


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Chain:
    """Normalizations that follow one another, as y = a*x + d for each channel; all arrays float64 [C]."""

    nodes: tuple[Node, ...]
    a: NDArray[np.float64]
    d: NDArray[np.float64]
    before: Moments
    after: Moments

    @property
    def x(self) -> str:
        return self.nodes[0].inputs[0]

    @property
    def last(self) -> Node:
        return self.nodes[-1]

    def replaced_by(self, *nodes: Node) -> dict[str, Node | tuple[Node, ...]]:
        """What `replace_nodes` takes: `nodes` in the place of the chain."""
        return {**{node.name: () for node in self.nodes[:-1]}, self.last.name: nodes}

    def moments(self, graph: Graph) -> dict[str, Moments]:
        """Return the moments of the graph and, where it has none for them, of x and y."""
        found = {self.last.output: self.after, **graph.moments}
        producer = graph.producers().get(self.x)
        if self.x in graph.values and (producer is None or producer.activation is None):
            found.setdefault(self.x, self.before)
        return found


def _check_parameters(graph: Graph) -> None:
    failing: list[UnsupportedNode] = []
    for node in graph.nodes:
        if isinstance(node.operator, BatchNormalization):
            if any(name not in graph.constants for name in node.inputs[1:]):
                failing.append(
                    UnsupportedNode(
                        operator="BatchNormalization",
                        name=node.name,
                        reason="its parameters are not constants",
                    )
                )
            elif not (graph.constants[node.inputs[4]].array + node.operator.epsilon > 0).all():
                raise InvalidGraph(
                    f"{node.name}: a variance plus epsilon {node.operator.epsilon} is not positive"
                )
    if failing:
        raise UnsupportedOperator(failing)


def _first_chain(graph: Graph) -> _Chain | None:
    """Case 1: the first normalization with those that follow it, None where there is none."""
    nodes: list[Node] = []
    for node in graph.nodes:
        if isinstance(node.operator, BatchNormalization):
            nodes.append(node)
            break
    else:
        return None
    while nodes[-1].activation is None:
        following = sole_reader(graph, nodes[-1].output)
        if following is None or not isinstance(following.operator, BatchNormalization):
            break
        nodes.append(following)
    a, d = np.ones(1), np.zeros(1)
    described: list[tuple[Moments, Moments]] = []
    for node in nodes:
        assert isinstance(node.operator, BatchNormalization)
        gamma, beta, mean, variance = (
            graph.constants[name].array.astype(np.float64) for name in node.inputs[1:]
        )
        factor = gamma / np.sqrt(variance + node.operator.epsilon)
        a, d = factor * a, factor * (d - mean) + beta
        described.append(
            (
                Moments.of(mean, np.sqrt(np.maximum(variance, 0.0))),
                normalized_moments(gamma, beta, variance, node.operator.epsilon),
            )
        )
    return _Chain(nodes=tuple(nodes), a=a, d=d, before=described[0][0], after=described[-1][1])


def _backward(graph: Graph, chain: _Chain) -> Graph | None:
    """Case 2."""
    layer = graph.producers().get(chain.x)
    if (
        layer is None
        or not isinstance(layer.operator, Conv | ConvTranspose | Gemm)
        or layer.activation is not None
        or sole_reader(graph, chain.x) is not chain.nodes[0]
    ):
        return None
    weights, bias = parameter(graph, layer, 1), parameter(graph, layer, 2)
    if weights is None or (bias is None and len(layer.inputs) == 3):
        return None
    scaled = with_scaled_outputs(layer.operator, weights, chain.a)
    shifted = chain.d if bias is None else bias * chain.a + chain.d
    folded, constants = with_parameters(graph, layer, {1: scaled, 2: shifted})
    folded = replace(folded, output=chain.last.output, activation=chain.last.activation)
    return graph.edit(
        nodes=replace_nodes(graph, {**chain.replaced_by(), layer.name: folded}),
        constants=constants,
        moments=chain.moments(graph),
    )


def _forward(graph: Graph, chain: _Chain) -> Graph | None:
    """Case 3."""
    layer = sole_reader(graph, chain.last.output)
    if (
        chain.last.activation is not None
        or layer is None
        or layer.inputs[0] != chain.last.output
        or not isinstance(layer.operator, Conv | Gemm)
        or (isinstance(layer.operator, Conv) and any(layer.operator.pads) and chain.d.any())
    ):
        return None
    weights, bias = parameter(graph, layer, 1), parameter(graph, layer, 2)
    if weights is None or (bias is None and len(layer.inputs) == 3):
        return None
    groups = layer.operator.groups if isinstance(layer.operator, Conv) else 1
    # Row o of the weights reads the channels of its group: [O, I/groups] of them.
    a, d = (
        np.repeat(v.reshape(groups, -1), weights.shape[0] // groups, axis=0)
        for v in (chain.a, chain.d)
    )
    taps = weights.reshape(*weights.shape[:2], -1)
    shift = np.einsum("oik,oi->o", taps, d)
    folded, constants = with_parameters(
        graph,
        layer,
        {
            1: (taps * a[:, :, None]).reshape(weights.shape),
            2: shift if bias is None else bias + shift,
        },
    )
    folded = replace(folded, inputs=(chain.x, *folded.inputs[1:]))
    return graph.edit(
        nodes=replace_nodes(graph, {**chain.replaced_by(), layer.name: folded}),
        constants=constants,
        moments=chain.moments(graph),
    )


def _alone(graph: Graph, chain: _Chain) -> Graph:
    """Case 4."""
    last = chain.last
    shape = graph.values[last.output].shape
    channels = known(shape[1])
    taken = {*graph.values, *graph.constants}
    weight, bias = (fresh_name(f"{last.name}_{part}", taken) for part in ("weight", "bias"))
    weights = np.diag(chain.a) if len(shape) == 2 else chain.a.reshape(channels, 1, 1, 1)
    layer = replace(
        last,
        operator=Gemm() if len(shape) == 2 else Conv(groups=channels),
        inputs=(chain.x, weight, bias),
    )
    nodes = [layer]
    if len(shape) not in (2, 4):
        names = {node.name for node in graph.nodes}
        to_image, to_rank = (
            fresh_name(f"{last.name}_{part}", taken | names) for part in ("image", "rank")
        )
        result = fresh_name(f"{last.name}_result", taken | names)
        nodes = [
            Node(
                name=to_image,
                operator=Reshape(shape=(0, channels, -1, 1)),
                inputs=(chain.x,),
                output=to_image,
            ),
            replace(layer, inputs=(to_image, weight, bias), output=result, activation=None),
            Node(
                name=to_rank,
                operator=Reshape(shape=(0, *(known(d) for d in shape[1:]))),
                inputs=(result,),
                output=last.output,
                activation=last.activation,
            ),
        ]
    return graph.edit(
        nodes=replace_nodes(graph, chain.replaced_by(*nodes)),
        constants={
            **graph.constants,
            weight: Constant.of(weights, np.float32),
            bias: Constant.of(chain.d, np.float32),
        },
        moments=chain.moments(graph),
    )
