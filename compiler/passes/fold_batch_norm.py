"""Folds batch normalization into the layers around it, and keeps what it knows of distributions."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from intlower.compiler.constant import Constant
from intlower.compiler.errors import InvalidGraph, UnsupportedNode, UnsupportedOperator
from intlower.compiler.graph import Graph, Moments, Node
from intlower.compiler.moments import normalized_moments
from intlower.compiler.operators import (
    BatchNormalization,
    Conv,
    ConvTranspose,
    Gemm,
    Reshape,
    known,
)
from intlower.compiler.passes.draft import GraphDraft
from intlower.compiler.passes.rewriting import (
    parameter,
    sole_reader,
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
        draft = GraphDraft(graph)
        for node in graph.nodes:
            current = draft.node(node.name)
            if current is not None and isinstance(current.operator, BatchNormalization):
                chain = _chain(draft, current)
                if not (_backward(draft, chain) or _forward(draft, chain)):
                    _alone(draft, chain)
        return draft.graph()


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
        """What `GraphDraft.replace` takes: `nodes` in the place of the chain."""
        return {**{node.name: () for node in self.nodes[:-1]}, self.last.name: nodes}

    def record_moments(self, draft: GraphDraft) -> None:
        """Record the moments of x and y, where there are none for them yet."""
        draft.moments.setdefault(self.last.output, self.after)
        producer = draft.producers().get(self.x)
        if self.x in draft.values and (producer is None or producer.activation is None):
            draft.moments.setdefault(self.x, self.before)


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


def _chain(draft: GraphDraft, first: Node) -> _Chain:
    """Case 1: a normalization, the first of the graph, with those that follow it."""
    nodes = [first]
    while nodes[-1].activation is None:
        following = sole_reader(draft, nodes[-1].output)
        if following is None or not isinstance(following.operator, BatchNormalization):
            break
        nodes.append(following)
    a, d = np.ones(1), np.zeros(1)
    described: list[tuple[Moments, Moments]] = []
    for node in nodes:
        assert isinstance(node.operator, BatchNormalization)
        gamma, beta, mean, variance = (
            draft.constants[name].array.astype(np.float64) for name in node.inputs[1:]
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


def _backward(draft: GraphDraft, chain: _Chain) -> bool:
    """Case 2, where it applies."""
    layer = draft.producers().get(chain.x)
    if (
        layer is None
        or not isinstance(layer.operator, Conv | ConvTranspose | Gemm)
        or layer.activation is not None
        or sole_reader(draft, chain.x) is not chain.nodes[0]
    ):
        return False
    weights, bias = parameter(draft, layer, 1), parameter(draft, layer, 2)
    if weights is None or (bias is None and len(layer.inputs) == 3):
        return False
    scaled = with_scaled_outputs(layer.operator, weights, chain.a)
    shifted = chain.d if bias is None else bias * chain.a + chain.d
    folded = draft.with_parameters(layer, {1: scaled, 2: shifted})
    folded = replace(folded, output=chain.last.output, activation=chain.last.activation)
    chain.record_moments(draft)
    draft.replace({**chain.replaced_by(), layer.name: folded})
    return True


def _forward(draft: GraphDraft, chain: _Chain) -> bool:
    """Case 3, where it applies."""
    layer = sole_reader(draft, chain.last.output)
    if (
        chain.last.activation is not None
        or layer is None
        or layer.inputs[0] != chain.last.output
        or not isinstance(layer.operator, Conv | Gemm)
        or (isinstance(layer.operator, Conv) and any(layer.operator.pads) and chain.d.any())
    ):
        return False
    weights, bias = parameter(draft, layer, 1), parameter(draft, layer, 2)
    if weights is None or (bias is None and len(layer.inputs) == 3):
        return False
    groups = layer.operator.groups if isinstance(layer.operator, Conv) else 1
    # Row o of the weights reads the channels of its group: [O, I/groups] of them.
    a, d = (
        np.repeat(v.reshape(groups, -1), weights.shape[0] // groups, axis=0)
        for v in (chain.a, chain.d)
    )
    taps = weights.reshape(*weights.shape[:2], -1)
    shift = np.einsum("oik,oi->o", taps, d)
    folded = draft.with_parameters(
        layer,
        {
            1: (taps * a[:, :, None]).reshape(weights.shape),
            2: shift if bias is None else bias + shift,
        },
    )
    folded = replace(folded, inputs=(chain.x, *folded.inputs[1:]))
    chain.record_moments(draft)
    draft.replace({**chain.replaced_by(), layer.name: folded})
    return True


def _alone(draft: GraphDraft, chain: _Chain) -> None:
    """Case 4."""
    last = chain.last
    shape = draft.values[last.output].shape
    channels = known(shape[1])
    weight, bias = (draft.fresh(f"{last.name}_{part}") for part in ("weight", "bias"))
    weights = np.diag(chain.a) if len(shape) == 2 else chain.a.reshape(channels, 1, 1, 1)
    layer = replace(
        last,
        operator=Gemm() if len(shape) == 2 else Conv(groups=channels),
        inputs=(chain.x, weight, bias),
    )
    nodes = [layer]
    if len(shape) not in (2, 4):
        to_image, to_rank, result = (
            draft.fresh(f"{last.name}_{part}") for part in ("image", "rank", "result")
        )
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
    draft.constants[weight] = Constant.of(weights, np.float32)
    draft.constants[bias] = Constant.of(chain.d, np.float32)
    chain.record_moments(draft)
    draft.replace(chain.replaced_by(*nodes))
