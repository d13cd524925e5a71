"""Whether a file or a folder can be written where it is to go: asked before any work."""

import os
from pathlib import Path

from stores.errors import SettingsError


def check_new_file(path: Path, *, made: bool = False) -> None:
    """Refuse early a file that could not be written.

    Args:
        path: The file; one that is there is replaced.
        made: Folders that are not there are made.

    Raises:
        SettingsError: there is no folder for it, nothing can be written there, or it is a folder.
    """
    try:
        if not made and not path.parent.is_dir():
            raise SettingsError(f"{path}: its folder does not exist; create {path.parent} first")
        if path.is_dir():
            raise SettingsError(f"{path}: is a folder; name a file in it")
    except PermissionError:  # of a folder above
        raise _closed(path, path.parent) from None
    _check(path, path.parent)


def check_new_folder(path: Path) -> None:
    """Refuse early a folder in which nothing could be written; one that is not there is made.

    Raises:
        SettingsError: nothing can be written there, or it is a file.
    """
    _check(path, path)


def _check(path: Path, folder: Path) -> None:
    """Look at the folder, or at the nearest above it that is there."""
    try:
        while not folder.exists() and folder != folder.parent:
            folder = folder.parent
        if not folder.is_dir():
            raise SettingsError(f"{path}: {folder} is no folder; name another place")
    except PermissionError:
        raise _closed(path, folder) from None
    if not os.access(folder, os.W_OK | os.X_OK):
        raise _closed(path, folder)


def _closed(path: Path, folder: Path) -> SettingsError:
    return SettingsError(f"{path}: nothing can be written in {folder}; name another place")
