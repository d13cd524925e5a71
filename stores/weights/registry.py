"""Published checkpoints: what is known of each file (the registry), and what the store has of it.

<root>/weights/<key[:2]>/<key>/weights.safetensors    converted once; an artifact like any other
<root>/weights/<entry>.json                           which file the entry was first used with

The artifacts that such a record names are never collected as long as the record is there.
"""

import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from stores.artifacts.artifact import Artifact
from stores.artifacts.builder import Derivation
from stores.artifacts.schema import Schema
from stores.artifacts.store import Store
from stores.errors import SettingsError, WeightsError
from stores.shipped import shipped_file
from stores.weights.checkpoints import Format, read_checkpoint, unnest

if TYPE_CHECKING:
    import torch

WEIGHTS = Schema("weights", {}, {}, "Weights of a published network, as weights.safetensors.")

CONVERTER_VERSION = 1
"""Part of the key: raise it whenever the same file and nesting give other tensors."""

FILE = "weights.safetensors"
OWN_REGISTRY = "DUBFLOW_WEIGHTS"
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times as fast, if built
_BLOCK_BYTES = 1 << 22


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Nesting(_Strict):
    """How a file holds the network's state dict."""

    under: list[str] = Field(
        default=["."],
        min_length=1,
        description="First of these names that the file has; . is the file.",
    )
    drop: list[str] = Field(
        default=[], description="Parts of dotted keys to take out wherever they stand."
    )
    ignore: list[str] = Field(
        default=[], description="Beginnings of keys that are not the network's."
    )
    rename: dict[str, str] = Field(default={}, description="Beginning of a key → what replaces it.")


class Completion(_Strict):
    """Where keys come from that a file lacks: another entry is a part of this network."""

    entry: str = Field(description="Name of the other entry, whole.")
    prefix: str = Field(min_length=1, description="Stands before its keys in this network.")


class WeightsEntry(_Strict):
    """What is known of one published checkpoint file."""

    network: str = Field(description="As in models.published.")
    arguments: dict[str, Any] = Field({}, description="Constructor arguments unlike its defaults.")
    file: str = Field(description="Name as published.")
    page: str = Field(pattern="^https?://", description="Where people find it.")
    address: str | None = Field(None, pattern="^https?://", description="What a GET fetches.")
    size: int | None = Field(None, gt=0, description="Bytes, where known exactly.")
    sha256: str | None = Field(None, pattern="^[0-9a-f]{64}$")
    sha256_prefix: str | None = Field(None, pattern="^[0-9a-f]{8,63}$")
    licence: str = Field(description="What the publisher states.")
    commercial: bool | None = Field(description="Whether that allows it; null: not stated.")
    formats: list[Format] = Field(min_length=1, description="In which it is published.")
    nesting: Nesting = Nesting()
    carried: list[str] = Field(
        [], description="Beginnings of keys that the network brings along, and the file lacks."
    )
    completed_by: list[Completion] = []
    instead_of: str | None = Field(
        None, description="Entry that it stands in for if only it's there."
    )
    note: str = ""

    @model_validator(mode="after")
    def _safe_address(self) -> "WeightsEntry":
        if self.address and self.address.startswith("http://") and not self.sha256:
            raise ValueError("an address without TLS needs the file's sha256")
        return self


Registry = Mapping[str, WeightsEntry]


class _File(_Strict):
    weights: dict[Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.]*$")], WeightsEntry]


def read_registry() -> Registry:
    """The shipped registry; entries of the file that DUBFLOW_WEIGHTS names replace or add to it.

    Raises:
        SettingsError: a file is not as it must be.
    """
    entries = dict(_read(shipped_file("configs/weights/published.yaml")))
    if own := os.environ.get(OWN_REGISTRY):
        entries |= _read(Path(own))
    for name, entry in entries.items():
        others = [c.entry for c in entry.completed_by] + [entry.instead_of or name]
        if unknown := [other for other in others if other not in entries]:
            raise SettingsError(f"weights entry {name} refers to {unknown[0]}, which there is not")
    return entries


def _read(path: Path) -> Registry:
    try:
        return _parsed(path.read_text())
    except OSError as error:
        raise SettingsError(f"{path} can't be read: {error.strerror}") from error
    except yaml.YAMLError as error:
        raise SettingsError(f"{path} is no YAML: {' '.join(str(error).split())}") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise SettingsError(f"{path}: {where}: {first['msg']}") from error


@lru_cache(maxsize=4)
def _parsed(text: str) -> Registry:
    return _File.model_validate(yaml.load(text, Loader=_LOADER)).weights


def find_entry(registry: Registry, name: str) -> WeightsEntry:
    """The entry of that name.

    Raises:
        SettingsError: there is none; names similar ones.
    """
    if name not in registry:
        near = get_close_matches(name, registry, 3, 0.5)
        hint = f"did you mean {' or '.join(near)}?" if near else "see `dubflow weights list`"
        raise SettingsError(f"no weights are called {name!r}; {hint}")
    return registry[name]


@dataclass(frozen=True)
class WeightsRecord:
    """Which file an entry was first used with.

    Attributes:
        entry: Its name.
        sha256: Of the file's bytes.
        size: Of the file [byte].
        key: Of the converted weights.
        added: UTC, ISO 8601.
    """

    entry: str
    sha256: str
    size: int
    key: str
    added: str


def find_record(store: Store, entry: str) -> WeightsRecord | None:
    """The record of an entry, None if it was never used with this store.

    Raises:
        WeightsError: it is no longer what was written.
    """
    try:
        return WeightsRecord(**json.loads(store.backend.read(_record_name(entry))))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError) as error:
        raise WeightsError(
            f"{store.url}/{_record_name(entry)} is damaged; remove it and add {entry} again"
        ) from error


def records(store: Store) -> list[WeightsRecord]:
    """All records by name of the entry."""
    names = [n for n in store.backend.names(WEIGHTS.kind) if re.fullmatch(r"[^/]+\.json", n)]
    found = (find_record(store, name.removesuffix(".json")) for name in names)
    return [record for record in found if record is not None]


def find_converted(store: Store, entry: str) -> Artifact | None:
    """The converted weights of an entry, None if they are not in the store.

    Raises:
        DamagedArtifact: they are, but not as they were.
    """
    record = find_record(store, entry)
    return store.find(WEIGHTS.kind, record.key) if record else None


def check_file(
    name: str, entry: WeightsEntry, path: Path, record: WeightsRecord | None
) -> tuple[str, int]:
    """SHA-256 and size of a file, if it may be the entry's.

    Args:
        record: Of an earlier use that it must agree with; None allows another file.

    Raises:
        WeightsError: it is not the published file, or not the one first used.
    """
    size = path.stat().st_size
    source = f"get {entry.file} from {entry.address or entry.page}"
    if entry.size is not None and size != entry.size:
        broken = "a broken-off download or another file" if size < entry.size else "another file"
        raise WeightsError(
            f"{path} has {size} bytes, {name} as published has {entry.size}: {broken}; {source}"
        )
    digest = sha256_of(path)
    wanted = entry.sha256 or entry.sha256_prefix
    if wanted and not digest.startswith(wanted):
        raise WeightsError(
            f"{path} is not {name} as published: its SHA-256 is {digest[: len(wanted)]}, not "
            f"{wanted}; {source}"
        )
    if record is not None and record.sha256 != digest:
        raise WeightsError(
            f"{path} is not the file that {name} was first used with ({record.added[:10]}, SHA-256 "
            f"{record.sha256[:16]}…, now {digest[:16]}…); if that is wanted, add --replace"
        )
    return digest, size


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's bytes, as 64 hexadecimal digits. Memory stays constant."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()


def read_weights(entry: WeightsEntry, path: Path) -> "dict[str, torch.Tensor]":
    """The state dict that a published file holds, with the network's own keys.

    Raises:
        WeightsError: it is no such file.
    """
    nesting = entry.nesting
    content = read_checkpoint(path)
    try:
        return unnest(
            content,
            under=nesting.under,
            drop=nesting.drop,
            ignore=nesting.ignore,
            rename=nesting.rename,
        )
    except ValueError as error:
        raise WeightsError(
            f"{path} is not nested as {entry.file}: {error}; check that it is the right file"
        ) from error


def published_derivation(
    name: str, entry: WeightsEntry, sha256: str, parts: Mapping[str, Artifact]
) -> Derivation:
    """What the converted weights are made of: the file, and how it is read.

    Args:
        name: Of the entry, so that each has its own licence even where files are the same.
        parts: Prefix → weights that complete the network.
    """
    parameters = {
        "entry": name,
        "network": entry.network,
        "arguments": entry.arguments,
        "nesting": entry.nesting.model_dump(mode="json"),
    }
    inputs = {"file": ("source", sha256)}
    inputs |= {prefix: (part.kind, part.key) for prefix, part in parts.items()}
    return Derivation.of(WEIGHTS, CONVERTER_VERSION, inputs, parameters)


def keep_weights(
    store: Store,
    derivation: Derivation,
    tensors: "Mapping[str, torch.Tensor]",
    facts: Mapping[str, Any],
) -> Artifact:
    """Write tensors as the derivation's artifact, or find it; a damaged one is made anew."""
    from safetensors.torch import save_file

    with store.building(derivation) as artifact:
        if artifact is not None:
            return artifact
        builder = store.builder(derivation, {})
        builder.discard()
        builder.prepare()
        own = {name: tensor.contiguous().clone() for name, tensor in tensors.items()}
        save_file(own, builder.folder / FILE)
        return builder.commit(facts, seconds=0.0)


def write_record(store: Store, entry: str, *, sha256: str, size: int, key: str) -> WeightsRecord:
    """Remember which file an entry is used with; from now on its weights are not collected."""
    added = datetime.now(UTC).isoformat(timespec="seconds")
    record = WeightsRecord(entry, sha256, size, key, added)
    store.backend.write(_record_name(entry), json.dumps(asdict(record), indent=1).encode())
    return record


def _record_name(entry: str) -> str:
    return f"{WEIGHTS.kind}/{entry}.json"
