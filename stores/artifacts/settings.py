"""Where artifacts are kept unless a user says otherwise, and seen. Imports nothing heavy."""

import os
import shlex
from pathlib import Path


def default_store() -> str:
    """DUBFLOW_STORE, else `dubflow` in the user's cache folder."""
    named = os.environ.get("DUBFLOW_STORE")
    if named:
        return named
    cache = os.environ.get("XDG_CACHE_HOME")
    return str((Path(cache) if cache else Path.home() / ".cache") / "dubflow")


def inspect_address(place: str) -> str | None:
    """Where a browser sees a place of the page of `dubflow inspect`; None if nobody says.

    Args:
        place: Of the page, such as `/run/ID`.
    """
    served = os.environ.get("DUBFLOW_INSPECT_URL")
    return f"{served}#{place}" if served else None


def inspect_command(subject: str | Path, store: str) -> str:
    """What opens that page on a machine that has the store."""
    named = f"./{subject}" if str(subject).startswith("-") else str(subject)
    return shlex.join(["dubflow", "inspect", named, "--store", store])
