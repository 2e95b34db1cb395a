from __future__ import annotations

import pytest

from intlower.kernels.isa import ISAS, available_isas
from intlower.kernels.peak import CHAINS, measurable, multiply_accumulates, spinner

NATIVE = [name for name in available_isas() if measurable(ISAS[name])]


@pytest.mark.parametrize("name", NATIVE)
def test_the_loop_runs_every_instruction_that_it_counts(name: str) -> None:
    isa, rounds = ISAS[name], 1000
    # The operand's bytes are 4, 3, 2 and 1, its halves 0x0304 and 0x0102.
    lane = 16 + 9 + 4 + 1 if isa.fours else 0x0304**2 + 0x0102**2
    expected = (CHAINS * rounds * lane + 2**31) % 2**32 - 2**31
    assert spinner(isa)(rounds) == expected
    per_lane = 4 if isa.fours else 2
    assert multiply_accumulates(isa, rounds) == CHAINS * rounds * isa.lanes * per_lane


def test_plain_loops_have_no_instruction_to_measure() -> None:
    assert not measurable(ISAS["portable"])
