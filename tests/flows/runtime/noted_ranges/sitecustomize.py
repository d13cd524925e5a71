"""On the path of a process, notes each range when its computation begins.

Python imports it at its start, whoever starts it: a Dask nanny, a Prefect worker, a test. A note is
one line in the file NOTED_RANGES: host (NOTED_HOST), process, kind, key, range.
"""

import functools
import importlib.abc
import importlib.machinery
import importlib.util
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from types import ModuleType
from typing import Any

_recipe: ContextVar[Any] = ContextVar("recipe", default=None)


def _note(range_: int | str) -> None:
    recipe = _recipe.get()
    if recipe is None:  # a body called as a plain function
        return
    host, kind = os.environ.get("NOTED_HOST", "-"), recipe.schema.kind
    line = f"{host} {os.getpid()} {kind} {recipe.key} {range_}\n"
    handle = os.open(os.environ["NOTED_RANGES"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(handle, line.encode())  # at once: several processes write
    finally:
        os.close(handle)


def _noting(body: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(body)
    def noted(*args: Any, **kwargs: Any) -> Any:
        if "shards" in kwargs:
            return _each(body(*args, **kwargs), kwargs["shards"])
        _note("whole")
        return body(*args, **kwargs)

    return noted


def _each(blocks: Iterator[Any], shards: Sequence[Any]) -> Iterator[Any]:
    for shard in shards:
        _note(shard.index)
        yield next(blocks)


def _knowing(method: Callable[..., Any]) -> Callable[..., Any]:
    """`recipe` is the second argument of both ways to compute."""

    @functools.wraps(method)
    def known(self: Any, store: Any, recipe: Any, *args: Any) -> Any:
        token = _recipe.set(recipe)
        try:
            return method(self, store, recipe, *args)
        finally:
            _recipe.reset(token)

    return known


def _patch(stages: Any) -> None:
    stage = stages.Stage
    begin = stage.__init__

    def begin_noting(self: Any, body: Callable[..., Any], *args: Any) -> None:
        begin(self, _noting(body), *args)

    stage.__init__ = begin_noting
    stage._build_whole = _knowing(stage._build_whole)
    stage._compute_shards = _knowing(stage._compute_shards)


class _Finder(importlib.abc.MetaPathFinder):
    """Patches tasks.engine.stage when it is imported; nothing is imported before its time."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != "tasks.engine.stage":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        assert spec is not None
        assert spec.loader is not None
        load = spec.loader.exec_module

        def load_and_patch(module: ModuleType) -> None:
            load(module)
            _patch(module)

        spec.loader.exec_module = load_and_patch  # type: ignore[method-assign]
        return spec


if "NOTED_RANGES" in os.environ:
    sys.meta_path.insert(0, _Finder())
