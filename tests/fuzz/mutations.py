"""Damage to protocol buffers, field by field, whatever the message: what tests and fuzzers do to model files.

A place is a path through a message: names of fields, and after a repeated one the index of the element.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from random import Random
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

Place = tuple[str | int, ...]

_LIMITS = {
    FieldDescriptor.CPPTYPE_INT32: (-(1 << 31), (1 << 31) - 1),
    FieldDescriptor.CPPTYPE_INT64: (-(1 << 63), (1 << 63) - 1),
    FieldDescriptor.CPPTYPE_UINT32: (0, (1 << 32) - 1),
    FieldDescriptor.CPPTYPE_UINT64: (0, (1 << 64) - 1),
}
_FLOATS = (0.0, -1.0, 1e-30, 1e30, 1e-45, math.inf, -math.inf, math.nan)
_STRINGS = ("", "x", "../x", "/x", "N", "Conv", "\x00", "x" * 300)


def places(message: Message, prefix: Place = ()) -> Iterator[tuple[Place, FieldDescriptor]]:
    """Yield every place of a message that holds something, messages before what is in them."""
    for field, value in message.ListFields():
        if not field.is_repeated:
            yield (*prefix, field.name), field
            if isinstance(value, Message):
                yield from places(value, (*prefix, field.name))
            continue
        for index, element in enumerate(value):
            yield (*prefix, field.name, index), field
            if isinstance(element, Message):
                yield from places(element, (*prefix, field.name, index))


def holder(message: Message, place: Place) -> tuple[Any, str | int]:
    """Return the message or list that a place is in, and its name or index there."""
    parent: Any = message
    for step in place[:-1]:
        parent = getattr(parent, step) if isinstance(step, str) else parent[step]
    return parent, place[-1]


def value_at(message: Message, place: Place) -> Any:
    """Return what is at a place."""
    parent, last = holder(message, place)
    return getattr(parent, last) if isinstance(last, str) else parent[last]


def put(message: Message, place: Place, value: Any) -> None:
    """Set a scalar."""
    parent, last = holder(message, place)
    if isinstance(last, str):
        setattr(parent, last, value)
    else:
        parent[last] = value


def remove(message: Message, place: Place) -> None:
    """Remove a field, or an element of a repeated one."""
    parent, last = holder(message, place)
    if isinstance(last, str):
        parent.ClearField(last)
    else:
        del parent[last]


def repeat(message: Message, place: Place) -> None:
    """Append an element of a repeated field to it once more."""
    parent, last = holder(message, place)
    element = parent[last]
    if isinstance(element, Message):
        parent.add().CopyFrom(element)
    else:
        parent.append(element)


def other_values(field: FieldDescriptor, value: Any) -> list[Any]:
    """Return values to put in the place of a scalar: neighbours, extremes, and what breaks readers."""
    others: list[Any]
    if field.enum_type is not None:  # closed: no other numbers can be written
        return [number for number in field.enum_type.values_by_number if number != value]
    match value:
        case bool():
            return [not value]
        case int():
            low, high = _LIMITS[field.cpp_type]
            near = (0, -1, 1, 2, value - 1, value + 1, -value, 1 << 20, 1 << 40, low, high)
            others = [number for number in near if low <= number <= high]
        case float():
            others = list(_FLOATS)
        case bytes() if field.type == FieldDescriptor.TYPE_STRING:  # text that is not UTF-8
            others = list(_STRINGS)
        case str():
            others = [*_STRINGS, value + "'", value[:-1]]
        case _:
            others = [b"", value[:-1], value + b"\0", bytes(len(value)), b"\xff" * len(value)]
    different = [other for other in others if other != value]
    return list(dict.fromkeys(different))


def mutate(message: Message, random: Random, like: Message | None = None) -> None:
    """Change a message at one random place.

    Args:
        message: to be changed.
        random: which place and how.
        like: of the same type; parts of it may be taken over.
    """
    chosen = list(places(message))
    if not chosen:
        return
    place, field = random.choice(chosen)
    action = random.random()
    if action < 0.15:
        remove(message, place)
    elif action < 0.3 and isinstance(place[-1], int) and _writable(message, place, field):
        repeat(message, place)
    elif field.message_type is not None:
        value_at(message, place).CopyFrom(random.choice(_donors(message, like, field)))
    elif field.cpp_type == FieldDescriptor.CPPTYPE_STRING and action < 0.7:
        put(message, place, random.choice(_donors(message, like, field)))
    else:
        put(message, place, random.choice(other_values(field, value_at(message, place))))


def _writable(message: Message, place: Place, field: FieldDescriptor) -> bool:
    """Whether what is at a place can be written again: text that is not UTF-8 cannot."""
    text = field.type == FieldDescriptor.TYPE_STRING
    return not (text and isinstance(value_at(message, place), bytes))


def _donors(message: Message, like: Message | None, field: FieldDescriptor) -> list[Any]:
    found = [] if like is None else _of_type(like, field)
    return found or _of_type(message, field) or [""]


def _of_type(message: Message, field: FieldDescriptor) -> list[Any]:
    """Return copies of everything in a message that a field could hold."""
    found = []
    for place, other in places(message):
        same = other.cpp_type == field.cpp_type and other.type == field.type
        if same and other.message_type is field.message_type:
            value = value_at(message, place)
            if isinstance(value, bytes) and field.type == FieldDescriptor.TYPE_STRING:
                continue  # text that is not UTF-8 can be read, but not written
            found.append(_copied(value) if isinstance(value, Message) else value)
    return found


def _copied(message: Message) -> Message:
    copy = type(message)()
    copy.CopyFrom(message)
    return copy
