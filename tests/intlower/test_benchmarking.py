from __future__ import annotations

from collections.abc import Callable

import pytest

from intlower.benchmarking import LEAST_REPEATS, alternate


class Clock:
    """A clock that only the contenders move."""

    def __init__(self) -> None:
        self.now = 0.0
        self.calls: list[str] = []

    def __call__(self) -> float:
        return self.now

    def contender(self, name: str, seconds: list[float]) -> Callable[[], None]:
        remaining = iter(seconds)

        def run() -> None:
            self.calls.append(name)
            self.now += next(remaining, seconds[-1])

        return run


def test_warm_up_is_not_timed_and_contenders_take_turns() -> None:
    clock = Clock()
    contenders = {
        "ours": clock.contender("ours", [100.0, 100.0, 100.0, 0.004, 0.002, 0.003]),
        "theirs": clock.contender("theirs", [0.001]),
    }
    timings = alternate(contenders, repeats=3, clock=clock)
    assert timings["ours"].median_ms == pytest.approx(3)
    assert timings["ours"].min_ms == pytest.approx(2)
    assert timings["theirs"].median_ms == pytest.approx(1)
    assert timings["ours"].repeats == timings["theirs"].repeats == 3
    assert clock.calls[-6:] == ["ours", "theirs"] * 3


def test_the_time_to_spend_decides_how_often_a_quick_contender_runs() -> None:
    clock = Clock()
    timings = alternate({"x": clock.contender("x", [0.0625])}, seconds=2.0, clock=clock)
    assert timings["x"].repeats == 32


def test_a_slow_contender_still_runs_a_few_times() -> None:
    clock = Clock()
    timings = alternate({"x": clock.contender("x", [60.0])}, seconds=2.0, clock=clock)
    assert timings["x"].repeats == LEAST_REPEATS


@pytest.mark.parametrize("repeats", [None, 7])
def test_progress_ends_complete(repeats: int | None) -> None:
    clock = Clock()
    seen: list[tuple[int, int]] = []
    alternate(
        {"x": clock.contender("x", [0.5])},
        repeats=repeats,
        clock=clock,
        progress=lambda done, total: seen.append((done, total)),
    )
    assert seen[-1][0] == seen[-1][1]
