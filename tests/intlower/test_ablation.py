from __future__ import annotations

from typing import Any

import pytest

import intlower
from intlower.ablation import labelled_recipes


def test_every_set_of_steps_is_measured_once() -> None:
    recipes = labelled_recipes(("a", "b", "c"))
    assert recipes == [
        ("naive", ()),
        ("+ a", ("a",)),
        ("+ b", ("a", "b")),
        ("+ c", ("a", "b", "c")),
        ("all - a", ("b", "c")),
        ("all - b", ("a", "c")),
    ]
    assert labelled_recipes(()) == [("naive", ())]


def test_ablate_measures_the_default_recipe_step_by_step(cli: Any) -> None:
    options = ("--target", "tensorrt", "--data", cli.data, "--count", 60)
    document = cli("ablate", cli.model, *options, "--json").document
    rows = {row["recipe"]: row for row in document["rows"]}
    assert document["count"] == 60
    assert rows["naive"]["steps"] == []
    every = next(row for row in reversed(document["rows"]) if row["recipe"].startswith("+"))
    program = intlower.compile(cli.model, target="tensorrt")
    for step in every["steps"]:
        assert f"'{step}'" in program.origin.pipeline
    figures = {"count", "top1", "float_top1", "agreement", "kl", "sqnr_db", "seconds"}
    assert all(figures < set(row) for row in document["rows"])
    assert every["kl"] < 0.05
    # The file holds batch norm: nothing is made up in its place.
    assert rows["+ imagine_moments"]["unchanged"]
    assert rows["+ imagine_moments"]["kl"] == rows["naive"]["kl"]
    assert not rows["naive"]["unchanged"]
    assert not rows["+ squant"]["unchanged"]


def test_ablate_measures_a_step_beyond_the_default(cli: Any) -> None:
    options = ("--target", "tensorrt", "--data", cli.data, "--count", 8, "--with", "equalize")
    table = cli("ablate", cli.model, *options).out
    assert "+ equalize" in table
    assert "KL" in table
    assert "no change" in table


def test_a_step_switched_off_is_missing_from_the_recorded_pipeline(cli: Any) -> None:
    options = ("--target", "snpe", "--without", "equalize", "--without", "squant")
    assert cli("compile", cli.model, *options, "-o", "a.onnx").code == 0
    pipeline = intlower.open("a.onnx").origin.pipeline
    assert "Equalize" not in pipeline
    assert "NEAREST" in pipeline
    assert "SilenceChannels" in pipeline


def test_a_step_switched_on_is_recorded(cli: Any) -> None:
    options = ("--target", "snpe", "--recipe", "none", "--with", "squant")
    assert cli("compile", cli.model, *options, "-o", "a.onnx").code == 0
    assert "SQUANT" in intlower.open("a.onnx").origin.pipeline


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--with", "wish"), "no step 'wish'"),
        (("--without", "wish"), "no step 'wish'"),
        (("--recipe", "wish"), "no recipe 'wish'"),
        (("--with", "squant", "--without", "squant"), "both added and removed"),
    ],
)
def test_a_wrong_step_or_recipe_is_refused(
    cli: Any, options: tuple[str, ...], words: str
) -> None:
    assert words in cli.refuse("compile", cli.model, "--target", "snpe", *options)


def test_an_unknown_step_lists_the_steps_that_there_are(cli: Any) -> None:
    run = cli("compile", cli.model, "--target", "snpe", "--with", "wish")
    assert "squant" in run.err.splitlines()[1]


def test_the_strict_recipe_takes_no_samples(cli: Any) -> None:
    options = ("--target", "snpe", "--recipe", "data-free-strict")
    assert "takes no samples" in cli.refuse(
        "compile", cli.model, *options, "--samples", cli.data
    )
    assert cli("compile", cli.model, *options, "-o", "a.onnx").code == 0
