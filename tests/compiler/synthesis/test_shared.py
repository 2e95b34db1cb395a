from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from networks_with_statistics import NetworkWithStatistics, pictures, small_classifier

from intlower.compiler.errors import CalibrationError
from intlower.compiler.graph import Graph
from intlower.compiler.operators import Conv, Elementwise, Function, Relu
from intlower.compiler.synthesis.lesson import Answer, Lesson, Wishes, answer, teacher_for
from intlower.compiler.synthesis.school import found_school
from intlower.compiler.synthesis.shared import (
    Ask,
    SharedSet,
    agreement,
    noise_canvas,
    synthesize_shared,
)

SMALL = small_classifier()
LARGER = small_classifier(height=24, width=20, seed=1)
GREY = small_classifier(channels=1)


def asking(graphs: Sequence[Graph]) -> Ask:
    def ask(lessons: Sequence[Lesson]) -> list[Answer]:
        return [answer(teacher_for(graphs[one.teacher], one.size), one) for one in lessons]

    return ask


def shared(*graphs: Graph, count: int = 6, seed: int = 0, **options: object) -> SharedSet:
    school = found_school({f"model {index}": graph for index, graph in enumerate(graphs)})
    return synthesize_shared(school, asking(graphs), count=count, seed=seed, **options)  # type: ignore[arg-type]


def test_one_set_reaches_the_level_of_real_data_for_models_of_two_sizes() -> None:
    lines: list[str] = []
    result = shared(SMALL, LARGER, progress=lines.append)
    assert result.canvas.shape == (6, 3, 24, 20)
    assert result.canvas.dtype == np.float32
    assert 0 <= result.canvas.min() <= result.canvas.max() <= 1
    for teacher in result.teachers:
        assert teacher.matching < teacher.noise
        assert teacher.matching <= 1.2 * result.level
    assert not result.shortened
    assert lines[0].startswith("step 0 of 120: model 0 ")
    assert any("s left" in line for line in lines)


def test_the_same_seed_gives_the_same_bytes_and_another_one_others() -> None:
    wishes = Wishes(agreement=0.1, diversity=0.1)
    first = shared(SMALL, LARGER, count=4, wishes=wishes)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        again = shared(SMALL, LARGER, count=4, wishes=wishes)
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(threads)
    assert first.canvas.tobytes() == again.canvas.tobytes()
    assert first.canvas.tobytes() != shared(SMALL, LARGER, count=4, seed=1).canvas.tobytes()


def test_inputs_that_shall_differ_are_less_alike() -> None:
    without = shared(SMALL, LARGER, wishes=Wishes(diversity=0.0))
    diverse = shared(SMALL, LARGER, wishes=Wishes(diversity=30.0))
    assert sum(t.similarity for t in diverse.teachers) < sum(
        t.similarity for t in without.teachers
    )


def test_groups_are_matched_by_themselves() -> None:
    result = shared(SMALL, count=20)
    assert result.canvas.shape == (20, 3, 16, 16)
    school = found_school({"model 0": SMALL})
    noise = noise_canvas(school, 20, 0)
    assert noise.shape == result.canvas.shape
    assert np.array_equal(noise, noise_canvas(school, 20, 0))
    assert not np.array_equal(noise[:10], noise[10:])


def test_a_large_canvas_is_sewn_of_halves() -> None:
    network = NetworkWithStatistics((None, 3, 128, 160))
    first = network.add(Conv(strides=(8, 8)), "x", (6, 3, 8, 8), Relu())
    network.add(Conv(), first, (4, 6, 1, 1))
    large = network.graph(pictures(8, 3, 128, 160))
    result = shared(large, SMALL, count=3)
    assert result.canvas.shape == (3, 3, 128, 160)
    assert all(teacher.matching < teacher.noise for teacher in result.teachers)


def test_grey_and_colour_share_a_canvas() -> None:
    grey = found_school({"grey": GREY}, {"grey": (0.0, 1.0)})
    if not grey.views[0].is_image:
        pytest.skip("the first layer does not tell that its inputs are pixels")
    result = shared(GREY, SMALL, count=4)
    assert result.canvas.shape == (4, 3, 16, 16)


def test_a_budget_for_nothing_still_gives_a_set() -> None:
    result = shared(SMALL, LARGER, budget_seconds=1e-9)
    assert result.shortened
    assert result.steps <= 1
    assert result.canvas.shape == (6, 3, 24, 20)


def test_agreement_is_among_teachers_of_as_many_classes() -> None:
    def said(*classes: int, of: int = 3) -> Answer:
        given = np.eye(of, dtype=np.float32)[list(classes)]
        return Answer(gradient=given, matching=0.0, similarity=0.0, probabilities=given)

    silent = Answer(
        gradient=np.zeros(0, np.float32), matching=0.0, similarity=0.0, probabilities=None
    )
    assert agreement([[said(0, 1), said(0, 2), silent]]) == 0.5
    assert agreement([[said(0, 1), said(0, 2, of=4)]]) is None
    assert agreement([[said(0, 1), said(0, 1)], [said(2), said(1)]]) == pytest.approx(2 / 3)


def test_a_teacher_that_cannot_teach_says_so() -> None:
    network = NetworkWithStatistics((None, 3, 8, 8))
    first = network.add(Elementwise(function=Function.ROUND), "x")
    second = network.add(Conv(), first, (6, 3, 3, 3), Relu())
    network.add(Conv(), second, (4, 6, 1, 1))
    flat = network.graph(10 * pictures(32, 3, 8, 8))
    with pytest.raises(CalibrationError, match="no derivative reaches them through Round"):
        shared(SMALL, flat)


@pytest.mark.parametrize("options", [{"count": 0}, {"budget_seconds": 0.0}])
def test_counts_and_budgets_are_positive(options: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="positive"):
        shared(SMALL, **options)  # type: ignore[arg-type]


def test_a_single_input_has_nothing_to_differ_from() -> None:
    result = shared(SMALL, count=1)
    assert result.teachers[0].similarity == 0.0
