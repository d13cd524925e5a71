"""Where the bytes of a store lie. `LocalBackend` is a folder; an object store fits the protocol."""

import errno
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Protocol

from zarr.storage import LocalStore

from stores import locks
from stores.errors import StoreError, StoreFull
from stores.manifest import FileRecord

_BLOCK_BYTES = 1 << 22

_UNFINISHED = ".new-"
"""Names of files that are being written begin so; a killed writer leaves them."""


class Backend(Protocol):
    """What the store needs from a file system or an object store. Names are relative, with `/`."""

    url: str

    def zarr(self, prefix: str, *, read_only: bool) -> LocalStore:
        """Zarr's own store at `prefix`."""

    def read(self, name: str) -> bytes:
        """Whole content; FileNotFoundError if it is not there."""

    def write(self, name: str, data: bytes) -> None:
        """Create or replace at once: readers see the old or the new content, never a part."""

    def names(self, prefix: str) -> list[str]:
        """All files below `prefix`, relative to it."""

    def folders(self, prefix: str) -> list[str]:
        """Names of the folders directly in `prefix`."""

    def size(self, name: str) -> int | None:
        """Bytes, or None where there is no such file."""

    def record(self, name: str) -> FileRecord:
        """Size and digest of a file, read in blocks."""

    def delete(self, prefix: str) -> None:
        """Remove a file, or a folder with all that is in it; nothing to do is no error."""

    def publish(self, staging: str, final: str) -> None:
        """Make the folder `staging` appear as `final`, whole or not at all."""

    def local_path(self, name: str) -> Path:
        """A path that other libraries can write to or read from."""

    def building(self, name: str) -> AbstractContextManager[None]:
        """Held by the one builder of a key; others wait."""

    def in_use(self) -> AbstractContextManager[None]:
        """Held by every run while it works, so that nothing is collected under it."""

    def unused(self) -> AbstractContextManager[bool]:
        """True inside, if no run works on the store."""


@contextmanager
def explain_full_disk(where: str) -> Iterator[None]:
    """Turn "no space left" into a sentence.

    Raises:
        StoreFull: instead of OSError with ENOSPC or EDQUOT.
    """
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StoreFull(
                f"no space left in the store {where}: free some (`dubflow artifacts gc` shows what "
                "can go) and run the same command again; finished ranges are kept"
            ) from error
        raise


class LocalBackend:
    """A folder on a local disk, or on a mount whose `flock` and `rename` are sound."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.url = str(root)
        try:
            root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(
                f"the store {root} can't be created: {error.strerror}; name another place with "
                "--store"
            ) from error

    def zarr(self, prefix: str, *, read_only: bool) -> LocalStore:
        return LocalStore(self.root / prefix, read_only=read_only)

    def read(self, name: str) -> bytes:
        return (self.root / name).read_bytes()

    def write(self, name: str, data: bytes) -> None:
        path = self.root / name
        with explain_full_disk(self.url):
            path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(
                dir=path.parent, prefix=_UNFINISHED, delete=False
            ) as file:
                try:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                    Path(file.name).rename(path)
                except BaseException:
                    Path(file.name).unlink(missing_ok=True)
                    raise

    def names(self, prefix: str) -> list[str]:
        base = self.root / prefix
        return sorted(
            path.relative_to(base).as_posix()
            for path in base.rglob("*")
            if not path.name.startswith(_UNFINISHED) and path.is_file()
        )

    def folders(self, prefix: str) -> list[str]:
        base = self.root / prefix
        if not base.is_dir():
            return []
        return sorted(path.name for path in base.iterdir() if path.is_dir())

    def size(self, name: str) -> int | None:
        try:
            return (self.root / name).stat().st_size
        except FileNotFoundError:
            return None

    def record(self, name: str) -> FileRecord:
        digest = hashlib.blake2b(digest_size=16)
        size = 0
        with (self.root / name).open("rb") as file:
            while block := file.read(_BLOCK_BYTES):
                digest.update(block)
                size += len(block)
        return FileRecord(size, digest.hexdigest())

    def delete(self, prefix: str) -> None:
        path = self.root / prefix
        if path.is_dir() and not path.is_symlink():
            # Renamed first: half a folder must never look like an artifact.
            grave = self.root / "staging" / f"trash-{os.getpid()}-{path.name}"
            grave.parent.mkdir(exist_ok=True)
            try:
                path.rename(grave)
            except OSError:
                grave = path
            shutil.rmtree(grave, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)

    def publish(self, staging: str, final: str) -> None:
        target = self.root / final
        with explain_full_disk(self.url):
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                (self.root / staging).rename(target)
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    raise
                self.delete(staging)  # another builder of the same content was first
                return
            for folder in (target.parent, self.root / "staging"):
                handle = os.open(folder, os.O_RDONLY)
                try:
                    os.fsync(handle)
                finally:
                    os.close(handle)

    def local_path(self, name: str) -> Path:
        return self.root / name

    def building(self, name: str) -> AbstractContextManager[None]:
        return locks.exclusive(self.root / "staging" / f"{name}.lock")

    def in_use(self) -> AbstractContextManager[None]:
        return locks.shared(self.root / "in-use.lock")

    def unused(self) -> AbstractContextManager[bool]:
        return locks.exclusive_or_refuse(self.root / "in-use.lock")
