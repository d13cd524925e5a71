"""Faults in words: of what was given, found before any work, and of what failed while working."""

import re
import traceback
from collections.abc import Callable, Iterable
from importlib.metadata import PackageNotFoundError, requires

from stores.errors import DubflowError, ManyFaults

INTERNAL = "internal error, please report it"

_DISTRIBUTIONS = {
    **{"PIL": "pillow", "skimage": "scikit-image", "dlib": "dlib-bin"},
    **{"_dlib_pybind11": "dlib-bin", "distributed": "dask"},
}
"""Import name → distribution, where that is not the same with hyphens."""


def faults_of(checks: Iterable[Callable[[], object]]) -> list[str]:
    """What the checks refuse, each fault once."""
    faults: dict[str, None] = {}
    for check in checks:
        try:
            check()
        except ManyFaults as error:
            faults |= dict.fromkeys(error.faults)
        except DubflowError as error:
            faults[str(error)] = None
    return list(faults)


def reason_of(error: Exception) -> str:
    """Why something failed, in one line; of an error that is ours, the traceback goes to stderr."""
    if isinstance(error, DubflowError):
        return str(error)
    if isinstance(error, ModuleNotFoundError) and (how := how_to_install(error)):
        return how
    traceback.print_exception(error)
    return f"{INTERNAL}: {type(error).__name__}: {error}"


def how_to_install(error: ModuleNotFoundError) -> str | None:
    """What to type for a package that one of Dubflow's extras brings; None for any other."""
    module = (error.name or "").partition(".")[0]
    package = _DISTRIBUTIONS.get(module, module.replace("_", "-"))
    try:
        wanted = requires("dubflow") or []
    except PackageNotFoundError:
        return None
    for each in wanted:
        extra = re.search(r"extra == [\"'](\w+)[\"']", each)
        if extra and extra[1] != "dev" and re.match(rf"{re.escape(package)}\b(?!-)", each):
            return f"this needs the package {package}: pip install 'dubflow[{extra[1]}]'"
    return None
