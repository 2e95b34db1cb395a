from __future__ import annotations

import pytest
from half_programs import RULES

from intlower.kernels.half_rule import HalfRule
from intlower.kernels.signature import ElementType, KernelKey


@pytest.mark.parametrize("rule", RULES, ids=str)
def test_the_text_of_a_rule_names_it(rule: HalfRule) -> None:
    assert HalfRule.parse(str(rule)) == rule


def test_every_rule_says_something_else() -> None:
    assert len({str(rule) for rule in RULES}) == len({rule.describe() for rule in RULES}) == 12


@pytest.mark.parametrize("text", ["", "f32", "f32acc_sat_ftz", "f16acc_ftzlast", "F16acc"])
def test_other_texts_name_none(text: str) -> None:
    with pytest.raises(ValueError, match="not a half-precision rule"):
        HalfRule.parse(text)


@pytest.mark.parametrize("rule", RULES, ids=str)
def test_kernel_names_carry_the_rule(rule: HalfRule) -> None:
    f16 = ElementType.FLOAT16
    key = KernelKey(operator="half_gemm", activation=f16, weight=f16, output=f16, half=rule)
    assert str(key).endswith(f"__{rule}")
    assert KernelKey.parse(f"{key}__portable") == key.with_variant("portable")


@pytest.mark.parametrize("name", ["pad_f16", "conv2d_f16_s8_s8__f32even", "half_add_f16"])
def test_float16_goes_through_half_precision_operators_only(name: str) -> None:
    with pytest.raises(ValueError, match=r"no arithmetic on float16|half-precision rule"):
        KernelKey.parse(name)
