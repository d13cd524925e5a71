"""Arguments of stages: given in bundles, kept in keys, and sent to other processes as JSON."""

import inspect
import socket
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic import BaseModel

from stores.artifacts.artifact import Artifact
from stores.artifacts.builder import Derivation
from stores.artifacts.schema import Schema
from stores.artifacts.source import Source
from stores.artifacts.store import Store
from stores.errors import ClusterError, MediaError
from tasks.engine.run import current_run_or_none


class Bundle:
    """Base of frozen dataclasses that hold artifacts which always travel together.

    Given to a stage as first argument, it stands for those of its fields that the stage names. So
    each field is an input of its own, and one that a stage does not read is not in its key.
    """


def bind(signature: inspect.Signature, *args: Any, **kwargs: Any) -> dict[str, Any]:
    """Arguments of a call by name, bundles unpacked and defaults filled in.

    Raises:
        TypeError: they do not fit the signature.
    """
    named: dict[str, Any] = {}
    for bundle in (each for each in args if isinstance(each, Bundle)):
        for field in fields(bundle):  # type: ignore[arg-type]
            if field.name in signature.parameters:
                named[field.name] = getattr(bundle, field.name)
    rest = [each for each in args if not isinstance(each, Bundle)]
    if named and rest:
        raise TypeError("beside a bundle, give the other arguments by name")
    bound = signature.bind(*rest, **(named | kwargs))
    bound.apply_defaults()
    return dict(bound.arguments)


def derivation(schema: Schema, version: int, arguments: Mapping[str, Any]) -> Derivation:
    """What an artifact is made of, and the content key that follows from it.

    Of several inputs that are one argument, a tuple, the first is named as the argument, and the
    others `name.1`, `name.2`, …
    """
    inputs: dict[str, tuple[str, str]] = {}
    parameters: dict[str, Any] = {}
    names: dict[str, str] = {}
    for name, given in arguments.items():
        several = isinstance(given, tuple)
        if several:  # which are inputs and how many, whatever their names
            parameters[name] = [_parameter(each) for each in given]
        for number, value in enumerate(given if several else [given]):
            at = f"{name}.{number}" if several and number else name
            if isinstance(value, Source):
                inputs[at] = ("source", value.key)
                names[at] = value.path.name
            elif isinstance(value, Artifact):
                inputs[at] = (value.kind, value.key)
            elif not several:
                parameters[name] = _parameter(value)
    return Derivation.of(schema, version, inputs, parameters, names)


def _parameter(value: Any) -> Any:
    """A setting in a key; None for an input, whose own key counts."""
    if isinstance(value, Source | Artifact):
        return None
    return value.model_dump(mode="json") if isinstance(value, BaseModel) else value


def encode(value: Any) -> Any:
    """An argument as JSON: artifacts by kind and key, sources by path and key."""
    if isinstance(value, Artifact):
        return {"artifact": [value.kind, value.key]}
    if isinstance(value, Source):
        return {"source": str(value.path), "key": value.key}
    if isinstance(value, BaseModel):
        return {"settings": value.model_dump(mode="json")}
    return [encode(each) for each in value] if isinstance(value, tuple) else value


def decode(value: Any, store: Store, hint: Any) -> Any:
    """The argument that `encode` was given.

    Args:
        value: As `encode` gave it.
        store: Holds the artifacts.
        hint: Type of the parameter; names the model of settings.

    Raises:
        ClusterError: this worker does not see the source file, or finds another one there.
        MediaError: the source file changed since its key was computed.
    """
    if isinstance(value, dict) and "artifact" in value:
        return store.get(*value["artifact"])
    if isinstance(value, dict) and "source" in value:
        return _same_source(Path(value["source"]), value["key"])
    if isinstance(value, dict) and "settings" in value:
        model = next((each for each in get_args(hint) if each is not type(None)), hint)
        return model.model_validate(value["settings"])
    if get_origin(hint) is tuple:
        return tuple(decode(each, store, get_args(hint)[0]) for each in value)
    return value


def _same_source(path: Path, key: str) -> Source:
    """The source at that path, whose bytes must be those of the key."""
    run = current_run_or_none()
    on_worker = run is not None and run.is_worker
    if on_worker and not path.is_file():
        raise ClusterError(
            f"the worker on {socket.gethostname()} has no file {path}: put it where all "
            "machines find it under the same name"
        )
    source = Source.known(path)
    if source.key == key:
        return source
    if on_worker:
        raise ClusterError(
            f"the worker on {socket.gethostname()} finds other bytes in {path}: it changed while "
            "it was read, or is another file of the same name; see to it and run again"
        )
    raise MediaError(f"{path} changed while it was read; run again when it is complete")


def check_sources(arguments: Mapping[str, Any]) -> None:
    """Make sure that what was just read of source files was read from the bytes of their keys.

    Raises:
        MediaError: one of them changed.
    """
    for given in arguments.values():
        for value in given if isinstance(given, tuple) else (given,):
            if isinstance(value, Source):
                value.check()
