"""Metrics as stages: per frame where that makes sense, and kept like every other artifact."""

import importlib

from tasks.metrics.family import Family


def find_family(name: str) -> Family:
    """The family of that name, one of tasks.metrics.family.NAMES."""
    found = importlib.import_module(f"tasks.metrics.{name}").FAMILY
    assert isinstance(found, Family)
    return found
