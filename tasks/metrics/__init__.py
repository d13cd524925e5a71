"""Metrics as stages: per frame where that makes sense, and kept like every other artifact."""

import importlib
import pkgutil
from functools import cache

from stores.errors import SettingsError
from tasks.metrics.family import SUBJECTS, Family


@cache
def families() -> dict[str, Family]:
    """All families that this package's modules hold, by name, in the order of the report."""
    modules = [
        importlib.import_module(m.name) for m in pkgutil.iter_modules(__path__, f"{__name__}.")
    ]
    found = [value for m in modules for value in vars(m).values() if isinstance(value, Family)]
    found.sort(key=lambda family: (SUBJECTS.index(family.subject), family.name))
    return {family.name: family for family in found}


def find_family(name: str) -> Family:
    """The family of that name.

    Raises:
        SettingsError: there is none; the message lists those that exist.
    """
    if name not in families():
        raise SettingsError(
            f"there is no family {name!r} of metrics; there is {', '.join(families())}"
        )
    return families()[name]
