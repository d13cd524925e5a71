"""A store in an object store: S3, or a server that speaks its language.

There is no rename, so an artifact is written where it will lie, and appears when its manifest is
created, conditionally and last. Markers of finished shards, leases and sessions lie elsewhere.

Two things are kept in memory, because every stage and every range opens the same artifacts again:

- Manifests. Opening an artifact lists its files each time, and takes a kept manifest only if the
  list still names one with the ETag of the kept one. So an artifact that was removed is gone at
  once, one that was made again is read again, and a file that is missing or has another size is
  damage on opening, as without this.
- Files of up to SMALL_BYTES: they are read whole, held against the size and the digest in the
  manifest, and kept by name and digest. What is used is thus always what was committed. A file
  whose bytes are changed later, its size not, is found by whoever reads it next and by `damage`,
  but not by a process that holds the good ones. Large ones are read range by range, each time anew.

What is being built is neither: its files still change.
"""

import hashlib
import re
import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path

from zarr.abc.store import Store as ZarrStore

from stores.backends import leases
from stores.backends.backend import blocks_of, record_of
from stores.backends.bucket import open_bucket
from stores.backends.bucket_zarr import BucketZarrStore
from stores.backends.downloads import Downloads, default_downloads
from stores.backends.kept import Kept
from stores.backends.manifest import FileRecord

_PARALLEL_REQUESTS = 16
_PROCESS = secrets.token_hex(8)
"""This process, also among those of other machines that share a folder of downloads."""
_MANIFESTS: Kept[tuple[bytes, str]] = Kept(16 << 20)
"""Content and ETag, by URL."""

_MANIFEST = re.compile(r"[0-9a-f]{2}/(?P<key>[^/]+)/manifest\.json")
_ARTIFACT_FILE = re.compile(r"(?P<prefix>[0-9a-f]{2}/[0-9a-f]{32})/.+")


class ObjectBackend:
    """Objects below an `s3://bucket/prefix` URL (`memory://name`: of this process, for trials)."""

    in_place = True

    def __init__(self, url: str) -> None:
        self._bucket = open_bucket(url)
        self.url = self._bucket.url
        self._downloads = Downloads(default_downloads())
        self._written: dict[str, FileRecord] = {}

    def zarr(
        self, prefix: str, *, read_only: bool, files: Mapping[str, FileRecord] | None = None
    ) -> ZarrStore:
        return BucketZarrStore(
            self._bucket, prefix, read_only=read_only, files=files or {}, wrote=self._note
        )

    def manifest(self, prefix: str) -> tuple[bytes, Mapping[str, int | None] | None]:
        name = f"{prefix}/manifest.json"
        kept = _MANIFESTS.get(f"{self.url}/{name}")
        if kept is not None:
            listed = self._bucket.listed(prefix)
            if "manifest.json" not in listed:
                raise FileNotFoundError(name)
            if listed["manifest.json"][1] == kept[1]:
                return kept[0], {file: size for file, (size, _) in listed.items()}
        content, tag = self._bucket.tagged(name)
        if tag is not None:
            _MANIFESTS.put(f"{self.url}/{name}", (content, tag), len(content))
        return content, None

    def read(self, name: str) -> bytes:
        return self._bucket.get(name)

    def read_all(self, prefix: str, names: Iterable[str]) -> dict[str, bytes]:
        wanted = list(names)
        if not wanted:
            return {}
        with ThreadPoolExecutor(min(_PARALLEL_REQUESTS, len(wanted))) as pool:
            found = pool.map(lambda name: self.read(f"{prefix}/{name}"), wanted)
            return dict(zip(wanted, found, strict=True))

    def write(self, name: str, data: bytes) -> None:
        self._bucket.put(name, data)

    def create(self, name: str, data: bytes) -> bool:
        return self._bucket.create(name, data)

    def names(self, prefix: str) -> list[str]:
        return sorted(self._bucket.sizes(prefix))

    def folders(self, prefix: str) -> list[str]:
        return self._bucket.folders(prefix)

    def committed(self, kind: str) -> Iterator[str]:
        for name in self.names(kind):
            if found := _MANIFEST.fullmatch(name):
                yield found["key"]

    def unfinished(self, kinds: Iterable[str]) -> list[str]:
        found = [f"staging/{name}" for name in self.folders("staging")]
        for kind in kinds:
            names = self.names(kind)
            begun = {match["prefix"] for n in names if (match := _ARTIFACT_FILE.fullmatch(n))}
            whole = {name.removesuffix("/manifest.json") for name in names}
            found += [f"{kind}/{prefix}" for prefix in sorted(begun - whole)]
        return found

    def size(self, name: str) -> int | None:
        return self._bucket.size(name)

    def sizes(self, prefix: str, names: Iterable[str]) -> Mapping[str, int | None]:
        found = self._bucket.sizes(prefix)
        return {name: found.get(name) for name in names}

    def blocks(self, name: str) -> Iterator[bytes]:
        return self._bucket.ranges(name)

    def record(self, name: str) -> FileRecord:
        return record_of(self.blocks(name))

    def written_record(self, name: str) -> FileRecord:
        return self._written.pop(name, None) or self.record(name)

    def to_disk(self, prefix: str) -> None:
        return  # an answered put is kept

    def delete(self, prefix: str) -> None:
        names = self.names(prefix)
        if "manifest.json" in names:  # first: half of it is no artifact
            self._bucket.delete([f"{prefix}/manifest.json"])
        self._bucket.delete([f"{prefix}/{name}" for name in names] or [prefix])
        for folder in (self.scratch(prefix), self._private(prefix)):
            shutil.rmtree(folder, ignore_errors=True)

    def publish(self, staging: str, final: str, manifest: bytes) -> bool:
        return self._bucket.create(f"{final}/manifest.json", manifest)

    def local_path(self, name: str, record: FileRecord | None = None) -> Path:
        record = record or self.record(name)
        return self._downloads.fetch(f"{self.url}/{name}", record, self.blocks(name))

    def scratch(self, name: str) -> Path:
        where = hashlib.blake2b(f"{self.url}/{name}".encode(), digest_size=16).hexdigest()
        return self._downloads.scratch(where)

    def folder(self, staging: str) -> Path:
        folder = self._private(staging)
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def take_in(self, staging: str) -> None:
        folder = self._private(staging)
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            name = f"{staging}/{path.relative_to(folder).as_posix()}"
            self._written[name] = record_of(blocks_of(path))
            self._bucket.put(name, path)
        shutil.rmtree(folder, ignore_errors=True)

    def free_bytes(self) -> int | None:
        return None

    def building(self, name: str) -> AbstractContextManager[None]:
        return leases.exclusive(self._bucket, f"staging/{name}.lock")

    def in_use(self) -> AbstractContextManager[None]:
        return leases.in_use(self._bucket)

    def unused(self) -> AbstractContextManager[Callable[[], bool]]:
        return leases.unused(self._bucket)

    def _private(self, staging: str) -> Path:
        """Of this process alone: if ever two build one key, they must not mix their files."""
        return self.scratch(f"{staging}/{_PROCESS}")

    def _note(self, name: str, data: memoryview) -> None:
        digest = hashlib.blake2b(data, digest_size=16).hexdigest()
        self._written[name] = FileRecord(data.nbytes, digest)
