from __future__ import annotations

from dataclasses import fields, replace

import pytest

from intlower.backends.snpe import TARGET as SNPE_FAMILY
from intlower.backends.tensorrt import TARGET as TENSORRT
from intlower.compiler.spec import (
    AccumulatorSpec,
    Status,
    TargetSpec,
    our_definition,
    public_fact,
)

SNPE = SNPE_FAMILY.member("")

SPECS = (SNPE.spec, TENSORRT.spec)


@pytest.mark.parametrize("bits", [16, 24, 32, 48])
def test_an_accumulator_holds_twos_complement(bits: int) -> None:
    assert AccumulatorSpec(bits=bits).limit == 2 ** (bits - 1) - 1
    assert AccumulatorSpec(bits=bits).describe().startswith(f"int{bits}")


def test_a_field_without_provenance_is_refused_by_name() -> None:
    provenance = {k: v for k, v in SNPE.spec.provenance.items() if k != "softmax"}
    with pytest.raises(ValueError, match="softmax"):
        replace(SNPE.spec, provenance=provenance)
    with pytest.raises(ValueError, match="colour"):
        replace(SNPE.spec, provenance={**SNPE.spec.provenance, "colour": our_definition("-")})


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
def test_the_contract_lists_every_sourced_field(spec: TargetSpec) -> None:
    listed = [name for name, _, _ in spec.contract()]
    # A field may share the source of another, which its metadata names.
    names = [
        f.name
        for f in fields(spec)
        if f.name not in ("name", "title", "provenance") and "sourced_with" not in f.metadata
    ]
    assert listed == names
    assert all(source == spec.provenance[name] for name, _, source in spec.contract())


def test_a_provenance_says_what_stands_behind_a_number() -> None:
    assert public_fact("a page").status is Status.PUBLIC_FACT
    assert our_definition("a reason").status is Status.OUR_DEFINITION
    assert our_definition("a reason").source == "a reason"


def test_provenance_cannot_be_changed_from_outside() -> None:
    provenance = dict(SNPE.spec.provenance)
    spec = replace(SNPE.spec, provenance=provenance)
    provenance.clear()
    assert spec.provenance == SNPE.spec.provenance
