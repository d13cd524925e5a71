"""Versions of the software that decides what a stage computes."""

import platform
from functools import cache
from importlib.metadata import PackageNotFoundError, version

_PACKAGES = (
    *("dubflow", "av", "librosa", "mediapipe", "numpy", "opencv-python-headless"),
    *("torch", "zarr"),
)


@cache
def software_versions() -> dict[str, str]:
    """Python's and each package's version; a package that is not installed is left out."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
