"""Where artifacts are kept unless a user says otherwise. Imports nothing heavy."""

import os
from pathlib import Path


def default_store() -> str:
    """DUBFLOW_STORE, else `dubflow` in the user's cache folder."""
    named = os.environ.get("DUBFLOW_STORE")
    if named:
        return named
    cache = os.environ.get("XDG_CACHE_HOME")
    return str((Path(cache) if cache else Path.home() / ".cache") / "dubflow")
