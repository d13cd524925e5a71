"""A committed artifact, open for reading."""

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import zarr
from numpy.typing import NDArray

from stores.artifacts.jpegs import JpegRows
from stores.backends.backend import Backend, explain_unreadable
from stores.backends.manifest import Manifest
from stores.errors import DamagedArtifact, StoreError

_GAP_ROWS = 16
"""Rows so far apart are read one by one rather than with all that lies between."""


class Layout(NamedTuple):
    """What an array is.

    Attributes:
        dims: Names of its dimensions.
        shape: Their sizes.
        dtype: NumPy name.
        chunk: Rows read at once.
    """

    dims: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: str
    chunk: int


class Artifact:
    """Arrays and facts of one committed artifact. Nothing is read until it is asked for."""

    def __init__(self, backend: Backend, prefix: str, manifest: Manifest) -> None:
        self._backend = backend
        self._prefix = prefix
        self._group: zarr.Group | None = None
        self._arrays: dict[str, zarr.Array[Any] | JpegRows] = {}
        self.manifest = manifest

    def __repr__(self) -> str:
        return f"<{self.kind} {self.key[:12]} {self.manifest.sizes}>"

    @property
    def store_url(self) -> str:
        """What `Store(url)` opens to find this artifact and those that it was made of."""
        return self._backend.url

    def standing_for(self, key: str, **sizes: int) -> "Artifact":
        """The same arrays and facts under another key: what a plan goes on with."""
        manifest = replace(self.manifest, key=key, sizes=self.sizes | sizes)
        return Artifact(self._backend, self._prefix, manifest)

    @property
    def kind(self) -> str:
        return self.manifest.kind

    @property
    def key(self) -> str:
        return self.manifest.key

    @property
    def attributes(self) -> dict[str, Any]:
        """Facts found while computing."""
        return self.manifest.attributes

    @property
    def sizes(self) -> dict[str, int]:
        """Dimension name → size."""
        return self.manifest.sizes

    @property
    def array_names(self) -> list[str]:
        """Names of the arrays, and of the groups that ragged ones are."""
        return sorted({n.split("/")[0] for n in self.manifest.files if n.endswith("/zarr.json")})

    @property
    def group(self) -> zarr.Group:
        """The Zarr group, read-only."""
        if self._group is None:
            store = self._backend.zarr(self._prefix, read_only=True, files=self.manifest.files)
            with self._explained("zarr.json"):
                self._group = zarr.open_group(store, mode="r", zarr_format=3)
        return self._group

    def layout(self, name: str) -> "Layout | None":
        """What an array is, without reading it; None for a stream of bytes."""
        member = self.group[name]
        if isinstance(member, zarr.Array):
            dims = getattr(member.metadata, "dimension_names", None) or ()
            return Layout(tuple(map(str, dims)), member.shape, str(member.dtype), member.chunks[0])
        told: dict[str, Any] = dict(member.attrs)
        if "encoding" not in told:
            return None
        return Layout(tuple(told["dimension_names"]), tuple(told["shape"]), "uint8", 1)

    def read(self, name: str, start: int | None = None, stop: int | None = None) -> NDArray[Any]:
        """Rows [start, stop) of an array.

        Raises:
            DamagedArtifact: a checksum does not fit, or a file is not what was committed.
            StoreError: a file can't be read, for a reason that lies elsewhere.
        """
        group = self.group
        with self._explained(f"{name.split('/')[0]}/"):
            if name not in self._arrays:  # opening one costs as much as reading a chunk
                array = group[name]
                self._arrays[name] = JpegRows(array) if isinstance(array, zarr.Group) else array
            return np.asarray(self._arrays[name][slice(start, stop)])

    def read_rows(self, name: str, rows: NDArray[np.int64]) -> NDArray[Any]:
        """Rows of an array in any order, also repeated; only chunks that hold some are read.

        Raises:
            DamagedArtifact: as `read`.
        """
        if not len(rows):
            return self.read(name, 0, 0)
        wanted = np.unique(rows)
        runs = np.split(wanted, np.flatnonzero(np.diff(wanted) > _GAP_ROWS) + 1)
        parts = [self.read(name, int(r[0]), int(r[-1]) + 1)[r - r[0]] for r in runs]
        found: NDArray[Any] = np.concatenate(parts)
        return np.asarray(found[np.searchsorted(wanted, rows)])

    def read_ragged(self, name: str, shard: int) -> NDArray[Any]:
        """One shard of a ragged array, 1-D.

        Raises:
            DamagedArtifact: as `read`.
        """
        return self.read(f"{name}/{shard:06d}")

    def file(self, name: str) -> Path:
        """Path of a plain file in the artifact, or of a checked copy; only for reading."""
        with self._explained(name):
            return self._backend.local_path(f"{self._prefix}/{name}", self.manifest.files.get(name))

    def copy_file(self, name: str, target: Path) -> None:
        """Copy a plain file of the artifact, checking its bytes on the way.

        Raises:
            DamagedArtifact: the bytes are not those that were committed.
        """
        digest = hashlib.blake2b(digest_size=16)
        with target.open("wb") as copy:
            for block in self._blocks(name):
                digest.update(block)
                copy.write(block)
        if digest.hexdigest() != self.manifest.files[name].digest:
            raise self._damage(f"{name} has other bytes than were committed")

    def _blocks(self, name: str) -> Iterator[bytes]:
        blocks = self._backend.blocks(f"{self._prefix}/{name}")
        while True:
            with self._explained(name):
                block = next(blocks, None)
            if block is None:
                return
            yield block

    def check_sizes(self, sizes: Mapping[str, int | None] | None = None) -> None:
        """Compare every file's size with the manifest: one `stat` each, or one listing.

        Args:
            sizes: Of all files there are, if that has just been asked.

        Raises:
            DamagedArtifact: naming the first file that is missing or has another size.
        """
        if sizes is None:
            with explain_unreadable(f"{self.kind} {self.key}"):
                sizes = self._backend.sizes(self._prefix, self.manifest.files)
        for name, record in self.manifest.files.items():
            size = sizes.get(name)
            if size != record.size:
                found = "is missing" if size is None else f"has {size} bytes"
                raise self._damage(f"{name} {found}, {record.size} were committed")

    def damage(self, below: str = "") -> list[str]:
        """Compare files' bytes with the manifest; one line per difference.

        Args:
            below: Only of files whose names begin so.

        Raises:
            StoreError: a file can't be read, so that there is no knowing.
        """
        found = []
        files = {n: r for n, r in self.manifest.files.items() if n.startswith(below)}
        with explain_unreadable(f"{self.kind} {self.key}"):
            sizes = self._backend.sizes(self._prefix, files)
            for name, record in files.items():
                size = sizes[name]
                if size is None:
                    found.append(f"{name} is missing")
                elif size != record.size:
                    found.append(f"{name} has {size} bytes, {record.size} were committed")
                elif self._backend.record(f"{self._prefix}/{name}") != record:
                    found.append(f"{name} has other bytes than were committed")
        return found

    @contextmanager
    def _explained(self, below: str) -> Iterator[None]:
        """Tell damage from other reasons why reading fails, by the bytes of the files themselves.

        Args:
            below: How the names of the files begin that are being read.

        Raises:
            DamagedArtifact: one of them is not what was committed.
            StoreError: they can't be read, for a reason that lies elsewhere.
        """
        try:
            with explain_unreadable(f"{self.kind} {self.key}"):
                yield
        except (StoreError, MemoryError):
            raise
        except Exception as error:
            if found := self.damage(below):
                raise self._damage(found[0]) from error
            raise

    def _damage(self, what: str) -> DamagedArtifact:
        return DamagedArtifact(self.kind, self.key, what)
