from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from dataclasses import replace
from importlib.metadata import EntryPoint
from types import ModuleType, SimpleNamespace

import pytest

from intlower.backends.snpe import TARGET as SNPE_FAMILY
from intlower.backends.tensorrt import TARGET as TENSORRT
from intlower.compiler import discovery
from intlower.compiler.discovery import GROUP, load_target, load_targets, target_names
from intlower.compiler.errors import DuplicateTarget, TargetError, UnknownTarget
from intlower.compiler.target import Option, TargetFamily

SNPE = SNPE_FAMILY.member("")

Install = Callable[..., None]


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Install:
    """Make these (name, object, package) the installed entry points."""
    module = ModuleType("intlower_test_targets")
    monkeypatch.setitem(sys.modules, "intlower_test_targets", module)

    def install(*entries: tuple[str, str, str], **objects: object) -> None:
        for name, value in objects.items():
            setattr(module, name, value)
        points = [
            EntryPoint(name, f"intlower_test_targets:{value}", GROUP)._for(
                SimpleNamespace(name=package)
            )
            for name, value, package in entries
        ]

        def entry_points(*, group: str) -> Iterable[EntryPoint]:
            assert group == GROUP
            return points

        monkeypatch.setattr(discovery, "entry_points", entry_points)

    return install


def test_the_built_in_targets_are_found() -> None:
    assert {"snpe", "tensorrt"} <= set(target_names())
    assert load_target("snpe") == SNPE
    assert load_target("tensorrt") is TENSORRT


def test_names_are_sorted_and_listed_without_an_import(install: Install) -> None:
    install(("zed", "MISSING", "a"), ("alpha", "MISSING", "b"))
    assert target_names() == ("alpha", "zed")


def test_an_unknown_name_lists_what_is_installed_and_the_closest(install: Install) -> None:
    install(("snpe", "SNPE", "intlower"), ("tensorrt", "TENSORRT", "intlower"))
    with pytest.raises(UnknownTarget, match="'tensort'") as caught:
        load_target("tensort")
    assert caught.value.installed == ("snpe", "tensorrt")
    assert caught.value.hint == "did you mean 'tensorrt'? installed targets: snpe, tensorrt"


def test_two_packages_with_one_name_are_both_named(install: Install) -> None:
    install(("snpe", "SNPE", "one"), ("snpe", "SNPE", "two"), SNPE=SNPE)
    with pytest.raises(DuplicateTarget) as caught:
        load_target("snpe")
    assert caught.value.packages == ("one", "two")


def test_a_package_listed_twice_is_no_duplicate(install: Install) -> None:
    install(("snpe", "SNPE", "one"), ("snpe", "SNPE", "one"), SNPE=SNPE)
    assert load_target("snpe") == SNPE


def test_a_package_that_cannot_be_imported_is_named(install: Install) -> None:
    install(("mine", "MISSING", "broken-package"))
    with pytest.raises(TargetError, match="'broken-package' cannot be imported") as caught:
        load_target("mine")
    assert isinstance(caught.value.__cause__, AttributeError)


@pytest.mark.parametrize("value", [object(), SNPE], ids=["no target", "another name"])
def test_an_entry_point_must_be_a_target_of_its_name(install: Install, value: object) -> None:
    install(("mine", "VALUE", "package"), VALUE=value)
    with pytest.raises(TargetError, match="is not a target called 'mine'"):
        load_target("mine")


def test_all_targets_load_in_order(install: Install) -> None:
    install(("tensorrt", "T", "a"), ("snpe", "S", "a"), T=TENSORRT, S=SNPE)
    assert load_targets() == (SNPE, TENSORRT)


FAMILY = TargetFamily(
    name="snpe",
    options=(
        Option(name="bits", values=("8", "4"), meaning="width"),
        Option(name="mode", values=("fast", "exact"), meaning="speed"),
    ),
    make=lambda name, values: replace(SNPE, spec=replace(SNPE.spec, name=name)),
)


@pytest.mark.parametrize(
    ("asked", "full"),
    [
        ("snpe", "snpe"),
        ("snpe:bits=8", "snpe"),
        ("snpe:bits=4", "snpe:bits=4"),
        ("snpe: mode = exact , bits=4", "snpe:bits=4,mode=exact"),
    ],
)
def test_a_target_with_options_has_one_full_name(
    install: Install, asked: str, full: str
) -> None:
    install(("snpe", "FAMILY", "intlower"), FAMILY=FAMILY)
    assert load_target(asked).spec.name == full


@pytest.mark.parametrize(
    ("asked", "message", "hint"),
    [
        ("snpe:bits=5", "no bits=5", "bits is one of 8, 4"),
        ("snpe:width=8", "'width' which it does not have", "bits=8|4, mode=fast|exact"),
        ("snpe:bits=4,bits=8", "'bits' twice", "its options are"),
        ("snpe:bits", "no bits=", "bits is one of 8, 4"),
    ],
)
def test_an_impossible_option_lists_the_possible_ones(
    install: Install, asked: str, message: str, hint: str
) -> None:
    install(("snpe", "FAMILY", "intlower"), FAMILY=FAMILY)
    with pytest.raises(TargetError, match=message) as caught:
        load_target(asked)
    assert hint in str(caught.value.hint)


def test_a_target_without_options_says_so(install: Install) -> None:
    install(("tensorrt", "TENSORRT", "intlower"), TENSORRT=TENSORRT)
    with pytest.raises(TargetError, match="'tensorrt' has no options"):
        load_target("tensorrt:bits=4")
