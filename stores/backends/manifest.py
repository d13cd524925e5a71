"""The manifest: the last file written of an artifact, and the proof that it is whole."""

import dataclasses
import json
from dataclasses import dataclass
from typing import Any

from stores.errors import StoreError

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class FileRecord:
    """A stored file: its size and the BLAKE2b-128 of its bytes."""

    size: int
    digest: str


@dataclass(frozen=True)
class Manifest:
    """Everything about an artifact but its arrays.

    Attributes:
        kind: What it is, for example "faces".
        key: Content key, 32 hexadecimal digits.
        stage_version: Version of the stage that made it.
        inputs: Argument name → [kind, key]; a source file has the kind "source".
        parameters: The settings that went into the key.
        attributes: Facts found while computing (counts, units, rates …).
        sizes: Dimension name → size.
        versions: Software versions.
        created: UTC, ISO 8601.
        wall_seconds: Time spent computing, summed over the runs that contributed.
        files: Path relative to the artifact → record; all files but the manifest.
    """

    kind: str
    key: str
    stage_version: int
    inputs: dict[str, tuple[str, str]]
    parameters: dict[str, Any]
    attributes: dict[str, Any]
    sizes: dict[str, int]
    versions: dict[str, str]
    created: str
    wall_seconds: float
    files: dict[str, FileRecord]
    schema_version: int = SCHEMA_VERSION

    @property
    def stored_bytes(self) -> int:
        """Bytes on disk, the manifest left out."""
        return sum(record.size for record in self.files.values())

    def to_json(self) -> str:
        """Text as stored."""
        return json.dumps(dataclasses.asdict(self), indent=1, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> "Manifest":
        """Inverse of `to_json`.

        Raises:
            ValueError: if the text is not a manifest.
            StoreError: if a newer version of Dubflow wrote it.
        """
        try:
            fields = json.loads(text)
            if fields["schema_version"] > SCHEMA_VERSION:
                raise StoreError(
                    f"{fields['kind']} {fields['key']} was made by a newer version of Dubflow: "
                    "install that, or use another store"
                )
            if fields["schema_version"] != SCHEMA_VERSION:
                raise ValueError(f"of schema version {fields['schema_version']}, which never was")
            fields["files"] = {name: FileRecord(**f) for name, f in fields["files"].items()}
            fields["inputs"] = {name: (i[0], i[1]) for name, i in fields["inputs"].items()}
            return cls(**fields)
        except (KeyError, TypeError, AttributeError, IndexError) as error:
            raise ValueError(f"not a manifest: {error!r}") from error
