"""Locks by the kernel's `flock`: they die with their holder, also on `kill -9`."""

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stores.backends.sharing import rights_of_group, share


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Hold `path` alone; waits for whoever holds it. The file is removed on leaving.

    A holder removes the file, so a waiter may get the lock of a file that is no longer there;
    it then starts again.
    """
    while True:
        with _opened(path) as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            if not _same_file(handle, path):
                continue
            try:
                yield
            finally:
                path.unlink(missing_ok=True)
            return


@contextmanager
def shared(path: Path) -> Iterator[None]:
    """Hold `path` together with other sharers; keeps `exclusive_or_refuse` out."""
    with _opened(path) as handle:
        fcntl.flock(handle, fcntl.LOCK_SH)
        yield


@contextmanager
def exclusive_or_refuse(path: Path) -> Iterator[bool]:
    """True while `path` is held alone; False at once if anyone else holds it."""
    with _opened(path) as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    """A handle of the file, made if there is none; closing it gives up its lock."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = _open(path)
    try:
        yield handle
    finally:
        os.close(handle)


def _open(path: Path) -> int:
    """The file, made if need be; another user's can be locked as well as one's own."""
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS) or not path.exists():
            raise
        return os.open(path, os.O_RDONLY)
    share(path, rights_of_group(path.parent))
    return handle


def _same_file(handle: int, path: Path) -> bool:
    try:
        there = path.stat()
    except FileNotFoundError:
        return False
    held = os.fstat(handle)
    return (held.st_dev, held.st_ino) == (there.st_dev, there.st_ino)
