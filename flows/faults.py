"""Faults of what was given, found before any work."""

from collections.abc import Callable, Iterable

from stores.errors import DubflowError


def faults_of(checks: Iterable[Callable[[], object]]) -> list[str]:
    """What the checks refuse, each fault once."""
    faults: dict[str, None] = {}
    for check in checks:
        try:
            check()
        except DubflowError as error:
            faults[str(error)] = None
    return list(faults)
