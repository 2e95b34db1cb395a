"""All networks of the zoo."""

from __future__ import annotations

from benchmarks.zoo.families import family_models
from benchmarks.zoo.model import ZooModel
from benchmarks.zoo.networks import torch_models
from benchmarks.zoo.shipped import shipped_models


def catalogue() -> tuple[ZooModel, ...]:
    """Return every network of the zoo, in the order of the page."""
    return (*shipped_models(), *torch_models(), *family_models())
