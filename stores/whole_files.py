"""Files that are there whole or not at all, whatever happens to the process or the power."""

import os
import secrets
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

UNFINISHED = ".new-"
"""Names of files that are being written begin so; a killed writer leaves them."""


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A path beside `path` to write to; what is written there takes the place of `path` at once.

    Readers see the old or the new content, never a part, and so does whoever looks after a power
    cut. The mode follows the umask.
    """
    beside = path.with_name(f"{UNFINISHED}{secrets.token_hex(8)}")
    try:
        yield beside
        to_disk(beside)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def to_disk(*paths: Path) -> None:
    """Return when the content of files, and the names in folders, would survive a power cut.

    A disk takes what is asked of it at once together, several times as fast as one by one.
    """
    if len(paths) == 1:
        _to_disk(paths[0])
        return
    with ThreadPoolExecutor(16) as threads:
        list(threads.map(_to_disk, paths))


def _to_disk(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
