"""Zarr's view of one artifact in an object store.

Rooted at the artifact, so that Zarr makes no groups above it, and as patient as the bucket. Small
files of a committed artifact are checked and kept in memory: `objects` says why that is
safe.
"""

from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from functools import partial

import obstore
from obstore.store import ObjectStore
from zarr.abc.store import (
    ByteRequest,
    OffsetByteRequest,
    RangeByteRequest,
    Store,
    SuffixByteRequest,
)
from zarr.core.buffer import Buffer, BufferPrototype, default_buffer_prototype
from zarr.storage import ObjectStore as ZarrObjectStore

from stores.backends.backend import is_chunk, record_of
from stores.backends.bucket import Bucket
from stores.backends.kept import Kept
from stores.backends.manifest import FileRecord
from stores.errors import DamagedArtifact

SMALL_BYTES = 2 << 20
"""Files up to this size are read whole, in one request; a shard's index and a chunk are two."""

_FILES: Kept[bytes] = Kept(64 << 20)
"""Their bytes, by URL and digest."""


class BucketZarrStore(Store):
    """The objects below a prefix.

    Args:
        bucket: Where they lie.
        prefix: Of the artifact.
        read_only: If not, chunks read as absent: see `Backend.zarr`.
        files: Those that were committed, by name relative to the prefix.
        wrote: Is told name, relative to the bucket, and content of what was written.
    """

    def __init__(
        self,
        bucket: Bucket,
        prefix: str,
        *,
        read_only: bool,
        files: Mapping[str, FileRecord],
        wrote: Callable[[str, memoryview], None],
    ) -> None:
        super().__init__(read_only=read_only)
        self._bucket = bucket
        self._prefix = prefix
        self._files = files
        self._wrote = wrote
        self._all: ZarrObjectStore[ObjectStore] = ZarrObjectStore(bucket.objects)

    def __eq__(self, value: object) -> bool:
        return (
            isinstance(value, BucketZarrStore)
            and (self._bucket, self._prefix) == (value._bucket, value._prefix)
            and self.read_only == value.read_only
        )

    def __str__(self) -> str:
        return f"{self._bucket.url}/{self._prefix}"

    @property
    def supports_writes(self) -> bool:
        return True

    @property
    def supports_deletes(self) -> bool:
        return True

    @property
    def supports_listing(self) -> bool:
        return True

    def with_read_only(self, read_only: bool = False) -> "BucketZarrStore":
        return BucketZarrStore(
            self._bucket, self._prefix, read_only=read_only, files=self._files, wrote=self._wrote
        )

    async def get(
        self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        if not self.read_only and is_chunk(key):
            return None
        record = self._files.get(key)
        if record is not None and record.size <= SMALL_BYTES:
            return _part(await self._small(key, record), prototype, byte_range)
        found = await self._bucket.ask_async(
            partial(self._all.get, self._at(key), prototype, byte_range)
        )
        if found is None and record is not None:
            raise self._damage(f"{key} is missing")
        return found

    async def get_partial_values(
        self, prototype: BufferPrototype, key_ranges: Iterable[tuple[str, ByteRequest | None]]
    ) -> list[Buffer | None]:
        return [await self.get(key, prototype, byte_range) for key, byte_range in key_ranges]

    async def exists(self, key: str) -> bool:
        return await self._bucket.ask_async(partial(self._all.exists, self._at(key)))

    async def set(self, key: str, value: Buffer) -> None:
        self._check_writable()
        await self._bucket.ask_async(partial(self._all.set, self._at(key), value))
        self._wrote(self._at(key), memoryview(value.as_buffer_like()))

    async def delete(self, key: str) -> None:
        self._check_writable()
        await self._bucket.ask_async(partial(self._all.delete, self._at(key)))

    async def list(self) -> AsyncGenerator[str, None]:
        async for key in self.list_prefix(""):
            yield key

    async def list_prefix(self, prefix: str) -> AsyncGenerator[str, None]:
        for path in await self._bucket.ask_async(partial(self._below, prefix)):
            yield path

    async def list_dir(self, prefix: str) -> AsyncGenerator[str, None]:
        found = await self._bucket.ask_async(
            partial(obstore.list_with_delimiter_async, self._bucket.objects, self._at(prefix))
        )
        for path in [*found["common_prefixes"], *(item["path"] for item in found["objects"])]:
            yield path.rstrip("/").rpartition("/")[2]

    async def _small(self, key: str, record: FileRecord) -> bytes:
        """A committed file, whole and checked."""
        name = f"{self}/{key} {record.digest}"
        data = _FILES.get(name)
        if data is None:
            found = await self._bucket.ask_async(
                partial(self._all.get, self._at(key), default_buffer_prototype(), None)
            )
            if found is None:
                raise self._damage(f"{key} is missing")
            data = found.to_bytes()
            if record_of([data]) != record:
                raise self._damage(f"{key} has other bytes than were committed")
            _FILES.put(name, data, len(data))
        return data

    def _damage(self, what: str) -> DamagedArtifact:
        kind, _, key = self._prefix.split("/")
        return DamagedArtifact(kind, key, what)

    def _at(self, key: str) -> str:
        return f"{self._prefix}/{key}".rstrip("/")

    async def _below(self, prefix: str) -> Sequence[str]:
        metas = await obstore.list(self._bucket.objects, self._at(prefix)).collect_async()
        return [meta["path"].removeprefix(f"{self._prefix}/") for meta in metas]


def _part(data: bytes, prototype: BufferPrototype, wanted: ByteRequest | None) -> Buffer:
    match wanted:
        case RangeByteRequest(start, end):
            data = data[start:end]
        case OffsetByteRequest(offset):
            data = data[offset:]
        case SuffixByteRequest(suffix):
            data = data[-suffix:]
    return prototype.buffer.from_bytes(data)
