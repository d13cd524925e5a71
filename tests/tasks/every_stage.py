"""All stages of the project, and real calls of the ranged ones."""

import importlib
import inspect
import pkgutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

import numpy as np
import pytest
from pydantic import BaseModel

import tasks
from stores.artifacts.artifact import Artifact
from stores.artifacts.schema import ArraySpec, Schema
from stores.artifacts.source import Source
from tasks.engine.arguments import bind
from tasks.engine.stage import Made, Stage, stage

_ANYTHING = Schema("anything", {"number": ArraySpec(("one",), "int32")}, {})


def every_stage() -> dict[str, Stage]:
    """Address → stage, of all modules of tasks/."""
    found: dict[str, Stage] = {}
    for module in pkgutil.walk_packages(tasks.__path__, "tasks."):
        for value in vars(importlib.import_module(module.name)).values():
            if isinstance(value, Stage):
                found[value.address] = value
    return found


@stage(_ANYTHING, version=1)
def anything(number: int) -> Made:
    """An artifact that stands for any other."""
    return Made({"number": np.array([number], np.int32)})


def made_up_arguments(each: Stage, source: Path) -> dict[str, Any]:
    """Arguments of the right types, for all that a caller of the stage gives."""
    parameters = each.signature.parameters.values()
    return {
        parameter.name: _made_up(parameter.annotation, source, number)
        for number, parameter in enumerate(parameters)
    }


def _made_up(hint: Any, source: Path, number: int) -> Any:
    if get_origin(hint) in (Union, UnionType):
        hint = get_args(hint)[0]
    if get_origin(hint) is Literal:
        return get_args(hint)[-1]
    if get_origin(hint) is tuple:
        return tuple(_made_up(get_args(hint)[0], source, number + each) for each in (0, 1))
    if hint is Artifact:
        return anything(number)
    if hint is Source:
        return Source.of(source)
    if isinstance(hint, type) and issubclass(hint, BaseModel):
        return hint()
    plain: Mapping[Any, Any] = {str: "text", int: 3, float: 0.5, bool: True}
    return [3, 4] if get_origin(hint) is list else plain[hint]


@contextmanager
def recorded_calls() -> Iterator[dict[str, dict[str, Any]]]:
    """Address → arguments of the last call of each stage that is called meanwhile."""
    calls: dict[str, dict[str, Any]] = {}
    call = Stage.__call__

    def recording(self: Stage, *args: Any, **kwargs: Any) -> Artifact:
        calls[self.address] = bind(self.signature, *args, **kwargs)
        return call(self, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Stage, "__call__", recording)
        yield calls


def positional(each: Stage) -> list[str]:
    """Parameters that may be given without their names."""
    parameters = inspect.signature(each.body).parameters.values()
    return [p.name for p in parameters if p.kind is not inspect.Parameter.KEYWORD_ONLY]
