"""Copies of stored files, for libraries that want a path: checked, shared, of bounded size."""

import hashlib
import os
import secrets
import shutil
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from stores.backends.backend import explain_full_disk
from stores.backends.manifest import FileRecord

LIMIT_BYTES = 20 << 30
"""Copies that together take more are removed, those not used for longest first."""

_FRESH_SECONDS = 600.0
"""A copy used so recently is kept: someone may be about to open it."""

_ABANDONED_SECONDS = 86400.0
"""Scratch files that nobody touched for so long belong to a process that was killed."""


class Downloads:
    """A folder of copies, named by their digest, and of scratch files on their way to a store."""

    def __init__(self, root: Path, *, limit_bytes: int = LIMIT_BYTES) -> None:
        self._root = root
        self._limit_bytes = limit_bytes
        self._checked: set[str] = set()
        self._lock = threading.Lock()

    def fetch(self, name: str, record: FileRecord, blocks: Iterable[bytes]) -> Path:
        """A copy of the file with this record; `blocks` are read only if there is none.

        Raises:
            ValueError: the blocks are not what the record says.
            StoreFull: the disk of the copies is full.
        """
        path = self._root / "files" / record.digest[:2] / f"{record.digest}-{Path(name).name}"
        with self._lock, explain_full_disk(f"the folder {self._root}"):
            if not self._is_whole(path, record):
                self._copy(path, name, record, blocks)
            self._checked.add(record.digest)
            os.utime(path)
        return path

    def scratch(self, name: str) -> Path:
        """Where files may be written that are not in the store yet."""
        return self._root / "scratch" / name

    def _is_whole(self, path: Path, record: FileRecord) -> bool:
        """Whether there is a good copy; its bytes are read once per process."""
        if not path.is_file() or path.stat().st_size != record.size:
            return False
        if record.digest in self._checked:
            return True
        with path.open("rb") as file:
            return hashlib.file_digest(file, _digest).hexdigest() == record.digest

    def _copy(self, path: Path, name: str, record: FileRecord, blocks: Iterable[bytes]) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._make_room(record.size)
        part = path.with_name(f"{path.name}.{os.getpid()}-{secrets.token_hex(4)}.part")
        digest = _digest()
        try:
            with part.open("wb") as file:
                for block in blocks:
                    digest.update(block)
                    file.write(block)
            if digest.hexdigest() != record.digest:
                raise ValueError(f"{name} has other bytes than were committed")
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)

    def _make_room(self, size: int) -> None:
        now = time.time()
        found = []
        for path in (self._root / "files").rglob("*"):
            with suppress(FileNotFoundError):
                if path.is_file():
                    found.append((path.stat().st_mtime, path.stat().st_size, path))
        excess = sum(item[1] for item in found) + size - self._limit_bytes
        for used, taken, path in sorted(found):
            if excess <= 0 or now - used < _FRESH_SECONDS:
                break
            path.unlink(missing_ok=True)
            excess -= taken
        for folder in (self._root / "scratch").glob("*"):
            if now - _newest(folder) > _ABANDONED_SECONDS:
                shutil.rmtree(folder, ignore_errors=True)


def default_downloads() -> Path:
    """DUBFLOW_DOWNLOADS, else `dubflow-downloads` in the user's cache folder."""
    if named := os.environ.get("DUBFLOW_DOWNLOADS"):
        return Path(named)
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "dubflow-downloads"


def _digest() -> hashlib.blake2b:
    return hashlib.blake2b(digest_size=16)


def _newest(folder: Path) -> float:
    times = [folder.stat().st_mtime]
    for path in folder.rglob("*"):
        with suppress(FileNotFoundError):
            times.append(path.stat().st_mtime)
    return max(times)
