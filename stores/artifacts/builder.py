"""An artifact in the making: shard by shard, in a staging folder, until it is committed."""

import json
from collections.abc import Callable, Container, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import zarr
from numpy.typing import NDArray

from stores.artifacts.artifact import Artifact
from stores.artifacts.codecs import create_arrays, shard_count, shard_files, write_ragged
from stores.artifacts.jpegs import to_jpegs
from stores.artifacts.keys import content_key
from stores.artifacts.schema import Schema
from stores.artifacts.versions import software_versions
from stores.backends.backend import Backend, explain_full_store
from stores.backends.manifest import FileRecord, Manifest
from stores.errors import StoreError

SOURCE_NAMES = "source_names"
"""Attribute: argument name → what the source file was called when the artifact was made."""


@dataclass(frozen=True)
class Derivation:
    """All that an artifact is made of; its key follows from it.

    Attributes:
        schema: Its arrays.
        key: Content key.
        stage_version: Version of the stage.
        inputs: Argument name → (kind, key).
        parameters: Settings in the key.
        names: Argument name → file name of a source, for people; not in the key.
    """

    schema: Schema
    key: str
    stage_version: int
    inputs: Mapping[str, tuple[str, str]]
    parameters: Mapping[str, Any]
    names: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        schema: Schema,
        stage_version: int,
        inputs: Mapping[str, tuple[str, str]],
        parameters: Mapping[str, Any],
        names: Mapping[str, str] | None = None,
    ) -> "Derivation":
        """With the key that follows from the rest.

        Raises:
            TypeError, ValueError: a parameter has no canonical JSON.
        """
        key = content_key(
            {
                "stage": schema.kind,
                "version": stage_version,
                "inputs": {name: list(value) for name, value in inputs.items()},
                "parameters": parameters,
            }
        )
        return cls(schema, key, stage_version, inputs, parameters, names or {})

    @property
    def name(self) -> str:
        """Name of the staging folder."""
        return f"{self.schema.kind}-{self.key}"


class Builder:
    """Writes one artifact. Only whole shards are written, each by one caller.

    A shard counts as finished when its marker exists (written last, at once) and its files have
    the sizes that the marker gives. Any process that knows the derivation may write shards; one
    process, which holds the key's lock, prepares and commits.
    """

    def __init__(
        self, backend: Backend, derivation: Derivation, sizes: Mapping[str, int], final: str
    ) -> None:
        self._backend = backend
        self._derivation = derivation
        self._sizes = dict(sizes)
        self._final = final
        self._staging = final if backend.in_place else f"staging/{derivation.name}"
        self._markers = f"staging/{derivation.name}.done"
        self._group: zarr.Group | None = None
        self._arrays: dict[str, zarr.Array[Any]] = {}
        self._whole: dict[str, FileRecord] = {}

    def prepare(self) -> None:
        """Create the group and its empty arrays, or take up what an earlier builder left."""
        if self._is_late():
            return
        with explain_full_store(self._backend.url):
            try:
                self._create_arrays()
            except (OSError, StoreError):
                raise
            except Exception:  # metadata that a power cut cut short
                self.discard()
                self._create_arrays()
            self._backend.to_disk(self._staging)

    def finished(self, among: Container[int] | None = None) -> set[int]:
        """Shards that need not be computed again; of `among` only, if it is given."""
        done = set()
        markers = self._read_markers(among)
        names = [file for marker in markers.values() for file in marker["files"]]
        sizes = self._backend.sizes(self._staging, names) if names else {}
        for shard, marker in markers.items():
            if all(sizes[file] == record["size"] for file, record in marker["files"].items()):
                done.add(shard)
        return done

    def write(self, shard: int, arrays: Mapping[str, NDArray[Any]], *, seconds: float) -> None:
        """Write one shard of every array and mark it as finished.

        Raises:
            ValueError: if the arrays are not those of the schema, or differ in their rows.
            StoreFull: if the disk is full.
        """
        schema = self._derivation.schema
        if set(arrays) != set(schema.arrays):
            raise ValueError(
                f"{schema.kind} wants {sorted(schema.arrays)}, the stage made {sorted(arrays)}"
            )
        if self._is_late():
            return
        files: dict[str, FileRecord] = {}
        with explain_full_store(self._backend.url):
            for name, data in arrays.items():
                spec = schema.arrays[name]
                schema.check(name, data, self._sizes)
                if spec.ragged:
                    write_ragged(self._open(), name, shard, data)
                elif spec.jpeg_quality:
                    write_ragged(self._open(), name, shard, *to_jpegs(data, spec.jpeg_quality))
                else:
                    start = shard * spec.shard
                    array = self._array(name)
                    stop = min(start + spec.shard, array.shape[0])
                    if len(data) != stop - start:
                        raise ValueError(
                            f"{schema.kind}.{name}: shard {shard} has rows [{start}, {stop}), "
                            f"got {len(data)} rows"
                        )
                    array[start:stop] = spec.rounded(data)
                for file in shard_files(spec, name, shard):
                    files[file] = self._backend.written_record(f"{self._staging}/{file}")
        marker = {"files": {n: asdict(r) for n, r in files.items()}, "seconds": seconds}
        self._backend.write(f"{self._markers}/{shard:06d}.json", json.dumps(marker).encode())

    def settled(self, question: str, answer: Callable[[], str]) -> str:
        """What was answered first, in whatever process, to a question about the whole artifact.

        Args:
            question: A name.
            answer: Is asked if nobody answered yet; in the end it is one of the attributes.
        """
        name = f"{self._markers}/{question}"
        with suppress(FileNotFoundError):
            return self._backend.read(name).decode()
        given = answer()
        if not self._is_late() and not self._backend.create(name, given.encode()):
            with suppress(FileNotFoundError):  # committed meanwhile
                return self._backend.read(name).decode()
        return given

    def write_whole(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Write arrays of their full length; each may have several shards of its own.

        Raises:
            ValueError, StoreFull: as `write`.
        """
        if self._is_late():
            return
        with explain_full_store(self._backend.url):
            for name, data in arrays.items():
                schema = self._derivation.schema
                schema.check(name, data, self._sizes)
                spec, shape = schema.arrays[name], schema.shape(name, self._sizes)
                if data.shape != shape:
                    raise ValueError(f"{name} is {shape}, got {data.shape}")
                shards = range(shard_count(len(data), spec) if data.size else 0)
                if spec.jpeg_quality:
                    for shard in shards:
                        part = data[shard * spec.shard : (shard + 1) * spec.shard]
                        write_ragged(self._open(), name, shard, *to_jpegs(part, spec.jpeg_quality))
                else:
                    self._array(name)[...] = spec.rounded(data)
                for shard in shards:
                    for file in shard_files(spec, name, shard):
                        self._whole[file] = self._backend.written_record(f"{self._staging}/{file}")

    @property
    def folder(self) -> Path:
        """Where to write plain files that are to lie beside the arrays."""
        return self._backend.folder(self._staging)

    def discard(self) -> None:
        """Forget what an earlier builder left."""
        if self._is_late():
            return
        self._backend.delete(self._staging)
        self._backend.delete(self._markers)

    def commit(self, attributes: Mapping[str, Any], *, seconds: float) -> Artifact:
        """Write the manifest and make the artifact appear, at once.

        Args:
            attributes: Facts found while computing; must be JSON. What was `settled` is added.
            seconds: Time spent outside `write`.
        """
        derivation = self._derivation
        if self._is_late():
            return self._committed()
        attributes = {**attributes, **self._answers()}
        known = dict(self._whole)
        for marker in self._read_markers().values():
            known |= {file: FileRecord(**record) for file, record in marker["files"].items()}
            seconds += marker["seconds"]
        described = {
            "kind": derivation.schema.kind,
            "key": derivation.key,
            "stage_version": derivation.stage_version,
            "inputs": {name: list(value) for name, value in derivation.inputs.items()},
            "parameters": dict(derivation.parameters),
            "attributes": attributes,
        }
        with explain_full_store(self._backend.url):
            self._open().update_attributes({"doc": derivation.schema.doc, **described})
            self._backend.take_in(self._staging)
        files = {
            name: known.get(name) or self._backend.written_record(f"{self._staging}/{name}")
            for name in self._backend.names(self._staging)
            if name != "manifest.json"
        }
        metadata = {f"{name}/zarr.json" for name in derivation.schema.arrays}
        if lost := (known.keys() | metadata) - files.keys():
            raise StoreError(
                f"{derivation.schema.kind} {derivation.key} lost {min(lost)} while it was made: "
                "run the same command again"
            )
        named = {SOURCE_NAMES: dict(derivation.names)} if derivation.names else {}
        manifest = Manifest(
            kind=derivation.schema.kind,
            key=derivation.key,
            stage_version=derivation.stage_version,
            inputs=dict(derivation.inputs),
            parameters=dict(derivation.parameters),
            attributes=json.loads(json.dumps(attributes)) | named,
            sizes={**derivation.schema.sizes, **self._sizes},
            versions=software_versions(),
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            wall_seconds=round(seconds, 3),
            files=files,
        )
        won = self._backend.publish(self._staging, self._final, manifest.to_json().encode())
        self._backend.delete(self._markers)
        if not won:
            return self._committed()
        return Artifact(self._backend, self._final, manifest)

    def _create_arrays(self) -> None:
        store = self._backend.zarr(self._staging, read_only=False)
        group = zarr.open_group(store, mode="a", zarr_format=3)
        create_arrays(group, self._derivation.schema, self._sizes)

    def _open(self) -> zarr.Group:
        if self._group is None:
            store = self._backend.zarr(self._staging, read_only=False)
            self._group = zarr.open_group(store, mode="r+", zarr_format=3)
        return self._group

    def _array(self, name: str) -> zarr.Array[Any]:
        if name not in self._arrays:  # its metadata is the same for all shards
            array = self._open()[name]
            assert isinstance(array, zarr.Array)
            self._arrays[name] = array
        return self._arrays[name]

    def _read_markers(self, among: Container[int] | None = None) -> dict[int, dict[str, Any]]:
        names = (n for n in self._backend.names(self._markers) if n.endswith(".json"))
        numbers = {int(name.removesuffix(".json")): name for name in names}
        wanted = {shard: n for shard, n in numbers.items() if among is None or shard in among}
        contents = self._backend.read_all(self._markers, wanted.values())
        found = {}
        for shard, name in wanted.items():
            with suppress(ValueError):  # one that a power cut cut short: the shard is not finished
                found[shard] = json.loads(contents[name])
        return found

    def _answers(self) -> dict[str, str]:
        names = [n for n in self._backend.names(self._markers) if not n.endswith(".json")]
        found = self._backend.read_all(self._markers, names)
        return {name: answer.decode() for name, answer in found.items()}

    def _is_late(self) -> bool:
        """Whether, where there is no staging, another builder has committed the same artifact.

        It took this one for dead. What it committed must not be touched any more.
        """
        manifest = f"{self._final}/manifest.json"
        return self._backend.in_place and self._backend.size(manifest) is not None

    def _committed(self) -> Artifact:
        text = self._backend.read(f"{self._final}/manifest.json").decode()
        return Artifact(self._backend, self._final, Manifest.from_json(text))
