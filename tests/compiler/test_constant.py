from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray

from intlower.compiler.constant import Constant

some = arrays(
    st.sampled_from([np.float32, np.int8, np.int32]),
    array_shapes(min_dims=0, max_side=4),
    elements=st.integers(-9, 9),
)


@given(some)
def test_a_constant_equals_its_copies_and_hashes_alike(array: NDArray[np.float32]) -> None:
    a, b = Constant.of(array), Constant.of(array)
    assert a == b
    assert hash(a) == hash(b)
    assert np.array_equal(a.array, array)


@given(some, some)
def test_equality_is_that_of_type_shape_and_bytes(
    a: NDArray[np.float32], b: NDArray[np.float32]
) -> None:
    same = a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    assert (Constant.of(a) == Constant.of(b)) == same


def test_nan_equals_itself_and_the_zeros_differ() -> None:
    assert Constant.of(np.nan) == Constant.of(np.nan)
    assert Constant.of(0.0) != Constant.of(-0.0)
    assert Constant.of(0.0) != 0.0


def test_nobody_can_write_to_a_constant() -> None:
    array = np.zeros(3)
    constant, view = Constant(array), Constant(array[1:])
    array[:] = 5.0
    assert not constant.array.any()
    assert not view.array.any()
    with pytest.raises(ValueError, match="read-only"):
        constant.array[0] = 1.0


def test_a_transposed_array_is_stored_in_c_order() -> None:
    assert Constant(np.arange(6).reshape(2, 3).T).array.flags.c_contiguous


def test_a_read_only_array_that_owns_its_memory_is_not_copied() -> None:
    array = np.arange(3)
    array.flags.writeable = False
    assert Constant(array).array is array
