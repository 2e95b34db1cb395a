from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from intlower.compiler.errors import UnsupportedNode, UnsupportedOperator, listed_nodes

NODES = st.lists(
    st.builds(
        UnsupportedNode,
        operator=st.sampled_from([f"Operator{i}" for i in range(9)]),
        name=st.integers(0, 10**6).map(str),
        reason=st.sampled_from(["", "its axis is not a constant"]),
    ),
    min_size=1,
    max_size=200,
)


@given(NODES)
def test_a_list_of_nodes_is_short_and_names_the_first_of_each_kind(
    nodes: list[UnsupportedNode],
) -> None:
    listed = listed_nodes(nodes)
    assert len(listed) < 600
    assert listed.startswith(f"{nodes[0].operator} at {nodes[0].name!r}")
    kinds = {(node.operator, node.reason) for node in nodes}
    assert ("more kinds" in listed) == (len(kinds) > 6)


@given(NODES)
def test_an_error_keeps_every_node_and_counts_them(nodes: list[UnsupportedNode]) -> None:
    error = UnsupportedOperator(nodes)
    assert error.nodes == tuple(nodes)
    assert str(error).startswith(f"{len(nodes)} node")
    assert "rewrite" in error.hint


def test_a_quantized_model_is_told_apart() -> None:
    error = UnsupportedOperator(
        [
            UnsupportedNode(operator="QLinearConv", name="a"),
            UnsupportedNode(operator="If", name="b"),
        ]
    )
    assert "quantized already" in error.hint
