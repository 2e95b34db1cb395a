from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from networks_with_statistics import pictures, small_classifier

from intlower.compiler.synthesis.lesson import Answer, Lesson, Wishes, answer, teacher_for

TEACHER = teacher_for(small_classifier(), (16, 16))


def lesson(**options: object) -> Lesson:
    plain = Lesson(
        teacher=0,
        size=(16, 16),
        inputs=pictures(4, 3, 16, 16),
        others=None,
        wishes=Wishes(agreement=0.0, diversity=0.0),
        first=False,
    )
    return replace(plain, **options)  # type: ignore[arg-type]


def divergence(given: Answer, others: np.ndarray) -> float:
    assert given.probabilities is not None
    return float((others * np.log(others / given.probabilities)).sum())


def test_inputs_go_where_the_others_class_probabilities_are() -> None:
    others = np.full((4, 5), 0.05, np.float32)
    others[:, 3] = 0.8
    asked = lesson(others=others, wishes=Wishes(agreement=1e3, diversity=0.0))
    before = answer(TEACHER, asked)
    step = before.gradient / np.abs(before.gradient).max()
    after = answer(TEACHER, replace(asked, inputs=asked.inputs - 0.01 * step))
    assert divergence(after, others) < divergence(before, others)


def test_each_wish_changes_the_derivative_but_not_what_is_reported() -> None:
    plain = answer(TEACHER, lesson())
    for wishes in (
        Wishes(agreement=1.0, diversity=0.0),
        Wishes(agreement=0.0, diversity=1.0),
        Wishes(slack=0.05, agreement=0.0, diversity=0.0),
    ):
        inputs = np.repeat(pictures(1, 3, 16, 16), 4, axis=0) + lesson().inputs / 10
        others = np.full((4, 5), 0.2, np.float32)
        asked = lesson(inputs=inputs, others=others)
        without, found = answer(TEACHER, asked), answer(TEACHER, replace(asked, wishes=wishes))
        assert not np.array_equal(found.gradient, without.gradient)
        assert found.matching == without.matching
    assert plain.matching < 1.0


def test_copies_are_alike_and_opposites_are_not() -> None:
    copies = np.repeat(pictures(1, 3, 16, 16), 4, axis=0)
    assert answer(TEACHER, lesson(inputs=copies)).similarity == pytest.approx(1.0, abs=1e-5)
    assert answer(TEACHER, lesson()).similarity < 0.9


def test_an_answer_depends_neither_on_where_its_array_lies_nor_on_what_was_asked_before() -> (
    None
):
    first = answer(TEACHER, lesson())
    shifted = np.empty(lesson().inputs.size + 1, np.float32)[1:].reshape(lesson().inputs.shape)
    shifted[...] = lesson().inputs
    shifted.flags.writeable = False
    again = answer(TEACHER, lesson(inputs=shifted))
    assert first.gradient.tobytes() == again.gradient.tobytes()
