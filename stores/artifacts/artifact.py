"""A committed artifact, open for reading."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from stores.backends.backend import Backend
from stores.backends.manifest import Manifest
from stores.errors import DamagedArtifact, StoreError

_GAP_ROWS = 16
"""Rows so far apart are read one by one rather than with all that lies between."""


class Artifact:
    """Arrays and facts of one committed artifact. Nothing is read until it is asked for."""

    def __init__(self, backend: Backend, prefix: str, manifest: Manifest) -> None:
        self._backend = backend
        self._prefix = prefix
        self._group: zarr.Group | None = None
        self._arrays: dict[str, zarr.Array[Any]] = {}
        self.manifest = manifest

    def __repr__(self) -> str:
        return f"<{self.kind} {self.key[:12]} {self.manifest.sizes}>"

    @property
    def store_url(self) -> str:
        """What `Store(url)` opens to find this artifact and those that it was made of."""
        return self._backend.url

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
            try:
                self._group = zarr.open_group(store, mode="r", zarr_format=3)
            except StoreError:
                raise
            except Exception as error:
                raise self._damage(f"its metadata can't be read ({error})") from error
        return self._group

    def read(self, name: str, start: int | None = None, stop: int | None = None) -> NDArray[Any]:
        """Rows [start, stop) of an array.

        Raises:
            DamagedArtifact: a checksum does not fit, or a file is not what was committed.
        """
        try:
            if name not in self._arrays:  # opening one costs as much as reading a chunk
                array = self.group[name]
                assert isinstance(array, zarr.Array)
                self._arrays[name] = array
            return np.asarray(self._arrays[name][slice(start, stop)])
        except StoreError:  # damage, or a server that is away, which is none
            raise
        except Exception as error:  # any failure to read what was committed whole is damage
            raise self._damage(f"array {name!r}: {error}") from error

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
        return self._backend.local_path(f"{self._prefix}/{name}", self.manifest.files.get(name))

    def copy_file(self, name: str, target: Path) -> None:
        """Copy a plain file of the artifact, checking its bytes on the way.

        Raises:
            DamagedArtifact: the bytes are not those that were committed.
        """
        digest = hashlib.blake2b(digest_size=16)
        with target.open("wb") as copy:
            for block in self._backend.blocks(f"{self._prefix}/{name}"):
                digest.update(block)
                copy.write(block)
        if digest.hexdigest() != self.manifest.files[name].digest:
            raise self._damage(f"{name} has other bytes than were committed")

    def check_sizes(self, sizes: Mapping[str, int | None] | None = None) -> None:
        """Compare every file's size with the manifest: one `stat` each, or one listing.

        Args:
            sizes: Of all files there are, if that has just been asked.

        Raises:
            DamagedArtifact: naming the first file that is missing or has another size.
        """
        if sizes is None:
            sizes = self._backend.sizes(self._prefix, self.manifest.files)
        for name, record in self.manifest.files.items():
            size = sizes.get(name)
            if size != record.size:
                found = "is missing" if size is None else f"has {size} bytes"
                raise self._damage(f"{name} {found}, {record.size} were committed")

    def damage(self) -> list[str]:
        """Compare every file's bytes with the manifest; one line per difference."""
        found = []
        sizes = self._backend.sizes(self._prefix, self.manifest.files)
        for name, record in self.manifest.files.items():
            size = sizes[name]
            if size is None:
                found.append(f"{name} is missing")
            elif size != record.size:
                found.append(f"{name} has {size} bytes, {record.size} were committed")
            elif self._backend.record(f"{self._prefix}/{name}") != record:
                found.append(f"{name} has other bytes than were committed")
        return found

    def _damage(self, what: str) -> DamagedArtifact:
        return DamagedArtifact(
            f"{self.kind} {self.key} is damaged: {what}; `dubflow artifacts verify --remove` takes "
            "it out of the store, and the next run makes it again"
        )
