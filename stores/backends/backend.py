"""Where the bytes of a store lie: `LocalBackend` is a folder, `objects` has the other one."""

import errno
import hashlib
import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Protocol, TypeVar

from zarr.abc.store import ByteRequest
from zarr.abc.store import Store as ZarrStore
from zarr.core.buffer import Buffer, BufferPrototype
from zarr.storage import LocalStore

from stores.backends import locks
from stores.backends.manifest import FileRecord
from stores.backends.sharing import make_folder, rights_of_group, share
from stores.errors import StoreError, StoreFull, StoreReadOnly
from stores.whole_files import UNFINISHED, replacing, to_disk

_BLOCK_BYTES = 1 << 22
_CHUNK = re.compile(r"(^|/)c(/[0-9]+)+$")

T = TypeVar("T")

_REFUSED = (errno.EACCES, errno.EPERM, errno.EROFS)


class Backend(Protocol):
    """What the store needs from a file system or an object store. Names are relative, with `/`."""

    url: str

    in_place: bool
    """Artifacts are written where they will lie, for want of a rename that is cheap and atomic."""

    def zarr(
        self, prefix: str, *, read_only: bool, files: Mapping[str, FileRecord] | None = None
    ) -> ZarrStore:
        """Zarr's own store at `prefix`; if it is for writing, chunks read as absent.

        Zarr reads a shard before it writes one, to keep what is not written anew. Here only whole
        shards are written, and a damaged one must be no obstacle.

        Args:
            prefix: Of the artifact.
            read_only: For reading what was committed.
            files: The manifest's; lets an object store keep small ones, see `objects`.
        """

    def manifest(self, prefix: str) -> tuple[bytes, Mapping[str, int | None] | None]:
        """Content of an artifact's manifest; FileNotFoundError if there is none.

        Returns:
            It, and the sizes of all files below `prefix` if they had to be listed anyway.
        """

    def read(self, name: str) -> bytes:
        """Whole content; FileNotFoundError if it is not there."""

    def read_all(self, prefix: str, names: Iterable[str]) -> dict[str, bytes]:
        """Small files below `prefix`, by name."""

    def write(self, name: str, data: bytes) -> None:
        """Create or replace at once: readers see the old or the new content, never a part."""

    def create(self, name: str, data: bytes) -> bool:
        """As `write`; False if there is a file with other content already, which stays."""

    def names(self, prefix: str) -> list[str]:
        """All files below `prefix`, relative to it."""

    def folders(self, prefix: str) -> list[str]:
        """Names of the folders directly in `prefix`."""

    def committed(self, kind: str) -> Iterator[str]:
        """Keys of all artifacts of a kind that have a manifest."""

    def unfinished(self, kinds: Iterable[str]) -> list[str]:
        """Prefixes of what was begun and is not committed."""

    def size(self, name: str) -> int | None:
        """Bytes, or None where there is no such file."""

    def sizes(self, prefix: str, names: Iterable[str]) -> Mapping[str, int | None]:
        """As `size` for files below `prefix`, by name."""

    def blocks(self, name: str) -> Iterator[bytes]:
        """Content of a large file; FileNotFoundError if it is not there."""

    def record(self, name: str) -> FileRecord:
        """Size and digest of a file as it is stored, read in blocks."""

    def written_record(self, name: str) -> FileRecord:
        """As `record`, of a file just written; from now on it would survive a power cut."""

    def to_disk(self, prefix: str) -> None:
        """Return when all that lies below `prefix` would survive a power cut."""

    def delete(self, prefix: str) -> None:
        """Remove a file, or a folder with all that is in it; nothing to do is no error.

        Raises:
            StoreError: it can't be removed.
        """

    def publish(self, staging: str, final: str, manifest: bytes) -> bool:
        """Make what lies in `staging` appear as `final`, whole or not at all, also in a power cut.

        Returns:
            False if an artifact lies there already.
        """

    def local_path(self, name: str, record: FileRecord | None = None) -> Path:
        """A path that other libraries can read from; a copy is checked against the record.

        Raises:
            ValueError: the bytes are not those of the record.
        """

    def scratch(self, name: str) -> Path:
        """A path on a local disk to write to; `delete` removes it as well."""

    def folder(self, staging: str) -> Path:
        """A folder on a local disk whose files `take_in` makes part of `staging`."""

    def take_in(self, staging: str) -> None:
        """Store what was written to `folder`."""

    def free_bytes(self) -> int | None:
        """Space left, None where there is no knowing."""

    def building(self, name: str) -> AbstractContextManager[None]:
        """Held by the one builder of a key; others wait."""

    def in_use(self) -> AbstractContextManager[None]:
        """Held by every run while it works, so that nothing is collected under it."""

    def unused(self) -> AbstractContextManager[Callable[[], bool]]:
        """Whether no run works on the store, to be asked again before anything is taken away."""


@contextmanager
def explain_full_disk(place: str, *, help_with: str = "") -> Iterator[None]:
    """Turn "no space left" into a sentence.

    Args:
        place: Where, in words.
        help_with: How space can be made there.

    Raises:
        StoreFull: instead of OSError with ENOSPC or EDQUOT.
    """
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            remedy = f" ({help_with})" if help_with else ""
            raise StoreFull(
                f"no space left in {place}: free some{remedy} and run the same command again; "
                "finished ranges are kept"
            ) from error
        raise


@contextmanager
def explain_unwritable(where: str) -> Iterator[None]:
    """Turn "no space left", "read-only" and "not allowed" into a sentence.

    Raises:
        StoreFull: as `explain_full_disk`.
        StoreReadOnly: instead of OSError with EACCES, EPERM or EROFS.
    """
    try:
        with explain_full_store(where):
            yield
    except OSError as error:
        if error.errno in _REFUSED:
            raise StoreReadOnly(
                f"the store {where} can't be written ({error.strerror}): ask its owner to let you "
                "write, or name a store of your own with --store or DUBFLOW_STORE; `dubflow "
                "artifacts list` and `show` need no more than to read it"
            ) from error
        raise


def explain_full_store(url: str) -> AbstractContextManager[None]:
    """As `explain_full_disk`, for a store."""
    return explain_full_disk(
        f"the store {url}", help_with="`dubflow artifacts gc` shows what can go"
    )


@contextmanager
def explain_unreadable(what: str) -> Iterator[None]:
    """Turn whatever keeps a file that is there from being read into a sentence.

    Raises:
        StoreError: instead of OSError: no right to read, too many open files, a failing disk.
            Nothing is known about the file's bytes then. A file that is missing is another matter.
    """
    try:
        yield
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        raise
    except OSError as error:
        named = f" ({error.filename})" if error.filename else ""
        remedy = _REMEDIES.get(error.errno or 0, "see to it and run the same command again")
        raise StoreError(
            f"{what} can't be read: {error.strerror or error}{named}; {remedy}"
        ) from error


_REMEDIES = {
    errno.EACCES: "ask the owner of the store for the right to read it",
    errno.EPERM: "ask the owner of the store for the right to read it",
    errno.EMFILE: "raise the limit of open files (`ulimit -n`) and run the same command again",
    errno.ENFILE: "close other programs and run the same command again",
}


def blocks_of(path: Path) -> Iterator[bytes]:
    """Content of a local file."""
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            yield block


def record_of(blocks: Iterable[bytes]) -> FileRecord:
    """Size and digest of content that comes in blocks."""
    digest = hashlib.blake2b(digest_size=16)
    size = 0
    for block in blocks:
        digest.update(block)
        size += len(block)
    return FileRecord(size, digest.hexdigest())


def is_chunk(key: str) -> bool:
    """Whether a file of a Zarr group holds data, not metadata."""
    return _CHUNK.search(key) is not None


class _LocalStoreForWriting(LocalStore):
    """For writing whole shards, with the group's rights where the store is shared."""

    def __init__(self, root: Path, *, read_only: bool = False, rights: int = 0) -> None:
        super().__init__(root, read_only=read_only)
        self._rights = rights

    def with_read_only(self, read_only: bool = False) -> "_LocalStoreForWriting":
        return _LocalStoreForWriting(self.root, read_only=read_only, rights=self._rights)

    async def set(self, key: str, value: Buffer) -> None:
        make_folder((self.root / key).parent, self._rights)
        await super().set(key, value)
        share(self.root / key, self._rights)

    async def get(
        self,
        key: str,
        prototype: BufferPrototype | None = None,
        byte_range: ByteRequest | None = None,
    ) -> Buffer | None:
        return None if is_chunk(key) else await super().get(key, prototype, byte_range)


class _CommittedLocalStore(LocalStore):
    """For reading: a committed file that is gone or empty is an error, not a block of zeros."""

    def __init__(
        self, root: Path, *, read_only: bool = True, files: Mapping[str, FileRecord] | None = None
    ) -> None:
        super().__init__(root, read_only=read_only)
        self._files = files or {}

    def with_read_only(self, read_only: bool = False) -> "_CommittedLocalStore":
        return _CommittedLocalStore(self.root, read_only=read_only, files=self._files)

    async def get(
        self,
        key: str,
        prototype: BufferPrototype | None = None,
        byte_range: ByteRequest | None = None,
    ) -> Buffer | None:
        found = await super().get(key, prototype, byte_range)
        if key in self._files and self._files[key].size and not (found and len(found)):
            raise FileNotFoundError(f"{self.root / key} is gone")
        return found


class LocalBackend:
    """A folder on a local disk, or on a mount whose `flock` and `rename` are sound."""

    in_place = False

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
        self._rights = rights_of_group(root)

    def zarr(
        self, prefix: str, *, read_only: bool, files: Mapping[str, FileRecord] | None = None
    ) -> LocalStore:
        if read_only:
            return _CommittedLocalStore(self.root / prefix, files=files)
        self._make_folder(self.root / prefix)
        return _LocalStoreForWriting(self.root / prefix, rights=self._rights)

    def manifest(self, prefix: str) -> tuple[bytes, Mapping[str, int | None] | None]:
        return self.read(f"{prefix}/manifest.json"), None

    def read(self, name: str) -> bytes:
        return (self.root / name).read_bytes()

    def read_all(self, prefix: str, names: Iterable[str]) -> dict[str, bytes]:
        return {name: self.read(f"{prefix}/{name}") for name in names}

    def write(self, name: str, data: bytes) -> None:
        path = self.root / name
        with explain_unwritable(self.url):
            self._make_folder(path.parent)
            with replacing(path) as beside:
                beside.write_bytes(data)
                share(beside, self._rights)

    def create(self, name: str, data: bytes) -> bool:
        lock = (self.root / name).with_name(f"{UNFINISHED}{Path(name).name}.lock")
        with explain_unwritable(self.url):
            self._make_folder(lock.parent)
        with self._held(locks.exclusive(lock)):
            if self.size(name) is None:
                self.write(name, data)
            return self.read(name) == data

    def names(self, prefix: str) -> list[str]:
        base = self.root / prefix
        return sorted(
            path.relative_to(base).as_posix()
            for path in base.rglob("*")
            if not path.name.startswith(UNFINISHED) and path.is_file()
        )

    def folders(self, prefix: str) -> list[str]:
        base = self.root / prefix
        if not base.is_dir():
            return []
        return sorted(path.name for path in base.iterdir() if path.is_dir())

    def committed(self, kind: str) -> Iterator[str]:
        for first in self.folders(kind):
            for key in self.folders(f"{kind}/{first}"):
                if self.size(f"{kind}/{first}/{key}/manifest.json") is not None:
                    yield key

    def unfinished(self, kinds: Iterable[str]) -> list[str]:
        return [f"staging/{name}" for name in self.folders("staging")]

    def size(self, name: str) -> int | None:
        try:
            return (self.root / name).stat().st_size
        except (FileNotFoundError, NotADirectoryError):
            return None

    def sizes(self, prefix: str, names: Iterable[str]) -> Mapping[str, int | None]:
        return {name: self.size(f"{prefix}/{name}") for name in names}

    def blocks(self, name: str) -> Iterator[bytes]:
        return blocks_of(self.root / name)

    def record(self, name: str) -> FileRecord:
        return record_of(self.blocks(name))

    def written_record(self, name: str) -> FileRecord:
        to_disk(self.root / name)
        return self.record(name)

    def to_disk(self, prefix: str) -> None:
        folder = self.root / prefix
        paths = [folder, *folder.rglob("*")]
        for path in paths:
            share(path, self._rights)
        to_disk(*paths)

    def delete(self, prefix: str) -> None:
        path = self.root / prefix
        with explain_unwritable(self.url):
            if path.is_dir() and not path.is_symlink():
                # Renamed first: half a folder must never look like an artifact.
                grave = self.root / "staging" / f"trash-{secrets.token_hex(4)}-{path.name}"
                try:
                    self._make_folder(grave.parent)
                    path.rename(grave)
                except FileNotFoundError:  # somebody else was faster
                    return
                except OSError as error:
                    if error.errno in _REFUSED:
                        raise
                    grave = path
                    _unlink_manifest(path)
                shutil.rmtree(grave, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)

    def publish(self, staging: str, final: str, manifest: bytes) -> bool:
        self.write(f"{staging}/manifest.json", manifest)
        target = self.root / final
        with explain_unwritable(self.url):
            self.to_disk(staging)
            self._make_folder(target.parent)
            if target.is_dir() and not (target / "manifest.json").exists():
                self.delete(final)  # what is left of an artifact whose manifest was lost
            try:
                (self.root / staging).rename(target)
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    raise
                self.delete(staging)  # another builder of the same content was first
                return False
            to_disk(target.parent, target.parent.parent, self.root, self.root / "staging")
        return True

    def local_path(self, name: str, record: FileRecord | None = None) -> Path:
        return self.root / name

    def scratch(self, name: str) -> Path:
        return self.root / name

    def folder(self, staging: str) -> Path:
        return self.root / staging

    def take_in(self, staging: str) -> None:
        return

    def free_bytes(self) -> int | None:
        space = os.statvfs(self.root)
        return space.f_bavail * space.f_frsize

    def building(self, name: str) -> AbstractContextManager[None]:
        with explain_unwritable(self.url):
            self._make_folder(self.root / "staging")
        return self._held(locks.exclusive(self.root / "staging" / f"{name}.lock"))

    @contextmanager
    def in_use(self) -> Iterator[None]:
        with ExitStack() as held:
            # Where nothing can be written, and nothing was ever held, there is nothing to hold:
            # whoever only reads goes on, others learn of it from the first thing that they write.
            with suppress(StoreReadOnly):
                held.enter_context(self._held(locks.shared(self.root / "in-use.lock")))
            yield

    @contextmanager
    def unused(self) -> Iterator[Callable[[], bool]]:
        with self._held(locks.exclusive_or_refuse(self.root / "in-use.lock")) as got:
            yield lambda: got

    @contextmanager
    def _held(self, lock: AbstractContextManager[T]) -> Iterator[T]:
        """Explains what keeps the lock from being taken, not what goes wrong under it."""
        with ExitStack() as held:
            with explain_unwritable(self.url):
                taken = held.enter_context(lock)
            yield taken

    def _make_folder(self, path: Path) -> None:
        make_folder(path, self._rights)


def _unlink_manifest(folder: Path) -> None:
    """Half a folder must never look like an artifact.

    Raises:
        StoreError: it can't be removed.
    """
    try:
        (folder / "manifest.json").unlink(missing_ok=True)
    except OSError as error:
        raise StoreError(
            f"{folder} can't be removed: {error.strerror}; ask the owner of the store"
        ) from error
