"""JSON from strangers, read by type."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np

from intlower.compiler.constant import Constant
from intlower.compiler.errors import ArtifactError

T = TypeVar("T")

_LARGEST_FLOAT32 = float(np.finfo(np.float32).max)


class Fields:
    """A JSON object whose fields are taken by type.

    Raises:
        ArtifactError: from every method, where a field is missing or of another type; the message says where.
    """

    def __init__(self, document: Any, where: str) -> None:
        """Take what `json.loads` gave, and what to call it."""
        if not isinstance(document, dict):
            raise ArtifactError(f"{where} is not a JSON object")
        self.document = document
        self.where = where

    def value(self, key: str) -> Any:
        """Return a field of any type."""
        if key not in self.document:
            raise ArtifactError(f"{self.where} has no field {key!r}")
        return self.document[key]

    def string(self, key: str) -> str:
        """Return a text."""
        return typed(self.value(key), str, f"{self.where}: {key}")

    def integer(self, key: str) -> int:
        """Return an integer."""
        return typed(self.value(key), int, f"{self.where}: {key}")

    def boolean(self, key: str) -> bool:
        """Return true or false."""
        value = self.value(key)
        if not isinstance(value, bool):
            raise ArtifactError(f"{self.where}: {key} is {type(value).__name__}, not bool")
        return value

    def list(self, key: str) -> list[Any]:
        """Return a list of anything."""
        return typed(self.value(key), list, f"{self.where}: {key}")

    def strings(self, key: str) -> tuple[str, ...]:
        """Return a list of texts."""
        return tuple(typed(text, str, f"{self.where}: {key}") for text in self.list(key))

    def scale(self, key: str) -> Constant:
        """Return a positive float32, or a vector of them."""
        value = self.value(key)
        for number in value if isinstance(value, list) else [value]:
            if not 0 < typed(number, float, f"{self.where}: {key}") <= _LARGEST_FLOAT32:
                raise ArtifactError(
                    f"{self.where}: a scale of {number} is not a positive float32"
                )
        return Constant.of(value, np.float32)


def typed(value: Any, kind: type[T], where: str) -> T:
    """Return a value that must be of a type; true and false are no integers here."""
    if not isinstance(value, kind) or isinstance(value, bool):
        raise ArtifactError(f"{where} is {type(value).__name__}, not {kind.__name__}")
    return value
