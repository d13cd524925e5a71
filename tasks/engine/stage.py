"""The one decorator of all stages: key, lookup, ranges, commit, progress, provenance.

A stage is a plain function of artifacts and settings. It is called as such in unit tests
(`stage.body(...)`), and through the decorator in flows, where it returns an artifact of the store:

    @stage(MEL, version=1)                      # whole: the body returns `Made`
    def mel(waveform: Artifact) -> Made: ...

    @stage(FACES, version=1, plan=plan_faces)   # ranged: the body yields the arrays of each shard
    def detect_faces(video: Source, timeline: Artifact, *, shards: Sequence[Shard]) -> Blocks: ...

`plan` gets the same arguments and says how many rows there will be. Each shard must come out the
same whichever process computes it and whatever was computed before it.
"""

import importlib
import inspect
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, get_type_hints

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from stores.artifacts.artifact import Artifact
from stores.artifacts.builder import Derivation
from stores.artifacts.codecs import shard_count
from stores.artifacts.keys import content_key
from stores.artifacts.schema import Schema
from stores.artifacts.source import Source
from stores.artifacts.store import Store
from stores.errors import ClusterError, DubflowError, StoreError
from tasks.engine.executors import executor
from tasks.engine.run import Run, current_run, current_run_or_none

Arrays = Mapping[str, NDArray[Any]]
Blocks = Iterator[Arrays]


_PROVIDED = frozenset({"shards", "folder", "progress"})
"""Arguments of a body that the decorator provides: the shards to compute, a folder for plain
files, and a function to call with the number of rows just finished."""

_NEWS_SECONDS = 60.0
"""How long a shared mount may take to show what a worker of another machine wrote: NFS keeps
names for up to a minute."""


@dataclass(frozen=True)
class Shard:
    """Rows [start, stop) that are computed and written at once."""

    index: int
    start: int
    stop: int


@dataclass(frozen=True)
class Plan:
    """What is known of a ranged stage before it computes.

    Attributes:
        rows: Size of the first dimension of every array.
        sizes: Sizes of other dimensions that the schema leaves open.
        attributes: Facts to keep with the artifact.
    """

    rows: int
    sizes: Mapping[str, int] = field(default_factory=dict)
    attributes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Made:
    """What a stage without ranges made.

    Attributes:
        arrays: By name, as the schema says.
        attributes: Facts to keep with the artifact.
    """

    arrays: Arrays = field(default_factory=dict)
    attributes: Mapping[str, Any] = field(default_factory=dict)


def stage(
    schema: Schema,
    *,
    version: int,
    plan: Callable[..., Plan] | None = None,
    network: bool = False,
) -> Callable[[Callable[..., Any]], "Stage"]:
    """Make a stage of a plain function.

    Args:
        schema: What it makes.
        version: Part of the key: raise it whenever the same inputs give another result.
        plan: For a ranged stage.
        network: It runs a network: a cluster sends it to workers that offer a GPU.
    """
    return lambda body: Stage(body, schema, version, plan, network)


class Stage:
    """A function that finds its result in the store, or computes and commits it."""

    def __init__(
        self,
        body: Callable[..., Any],
        schema: Schema,
        version: int,
        plan: Callable[..., Plan] | None,
        network: bool = False,
    ) -> None:
        self.body = body
        self.schema = schema
        self.version = version
        self.plan = plan
        self.network = network
        self.__doc__ = body.__doc__
        self.address = f"{body.__module__}:{body.__name__}"

    @cached_property
    def _signature(self) -> inspect.Signature:
        signature = inspect.signature(self.body)
        given = [p for name, p in signature.parameters.items() if name not in _PROVIDED]
        return signature.replace(parameters=given)

    @cached_property
    def _hints(self) -> dict[str, Any]:
        return get_type_hints(self.body)

    def __call__(self, *args: Any, **kwargs: Any) -> Artifact:
        """Inputs and settings → artifact.

        Raises:
            DubflowError: whatever the body or the store can't do.
        """
        run = current_run()
        start = time.perf_counter()
        arguments = self._bind(*args, **kwargs)
        recipe = self._recipe(arguments)
        name = self.schema.kind
        artifact = run.store.find(name, recipe.key)
        if artifact is None:
            with run.store.building(recipe) as artifact:
                if artifact is None:
                    artifact, hits, computed = self._make(run, arguments, recipe)
                    seconds = time.perf_counter() - start
                    run.record(artifact, seconds=seconds, hits=hits, computed=computed)
                    run.progress.end(name, cached=False)
                    return artifact
        executor(run).note_hit(name, artifact)
        run.progress.end(name, cached=True)
        seconds = time.perf_counter() - start
        run.record(artifact, seconds=seconds, hits=self._ranges(artifact), computed=0)
        return artifact

    def key(self, *args: Any, **kwargs: Any) -> str:
        """The key that a call with these arguments has, without computing anything."""
        return self._recipe(self._bind(*args, **kwargs)).key

    def _make(
        self, run: Run, arguments: Mapping[str, Any], recipe: Derivation
    ) -> tuple[Artifact, int, int]:
        call = {
            "stage": self.address,
            "store": run.store.url,
            "key": recipe.key,
            "arguments": {name: _encode(value) for name, value in arguments.items()},
            "devices": run.devices.model_dump(mode="json"),
            "network": self.network,
        }
        name = self.schema.kind
        if self.plan is None:
            run.progress.begin(name, None, 0)
            executor(run).perform(name, [call | {"shards": None, "rows": None}])
            _await_news(run, lambda: run.store.find(name, recipe.key) is not None)
            return run.store.get(name, recipe.key), 0, 1
        plan = self.plan(**arguments)
        builder = run.store.builder(recipe, self._sizes(plan))
        builder.prepare()
        shards = self._shards(plan.rows)
        finished = builder.finished()
        missing = [shard for shard in shards if shard.index not in finished]
        run.progress.begin(name, plan.rows, plan.rows - sum(s.stop - s.start for s in missing))
        calls = [
            call
            | {"shards": [s.index for s in group], "rows": sum(s.stop - s.start for s in group)}
            for group in _groups(missing, self._workers(run))
        ]
        executor(run).perform(name, calls)
        _await_news(run, lambda: len(builder.finished()) == len(shards))
        artifact = builder.commit(plan.attributes, seconds=0.0)
        return artifact, len(finished), len(missing)

    def compute(self, store: Store, call: Mapping[str, Any]) -> None:
        """Do one call that `_make` described, here: some shards, or the whole."""
        arguments = {n: self._decode(store, n, v) for n, v in call["arguments"].items()}
        recipe = self._recipe(arguments)
        if recipe.key != call["key"]:
            raise ClusterError(
                f"the worker on {socket.gethostname()} runs another version of {self.address}: "
                "install the same Dubflow on all workers, and start them again"
            )
        if call["shards"] is None:
            self._compute_whole(store, recipe, arguments)
        else:
            self._compute_shards(store, recipe, arguments, call["shards"])

    def _compute_whole(
        self, store: Store, recipe: Derivation, arguments: Mapping[str, Any]
    ) -> None:
        with _sole_attempt(store, recipe):
            run = current_run_or_none()
            if run is None or not run.lent or store.find(recipe.schema.kind, recipe.key) is None:
                self._build_whole(store, recipe, arguments)

    def _build_whole(self, store: Store, recipe: Derivation, arguments: Mapping[str, Any]) -> None:
        start = time.perf_counter()
        extra: dict[str, Any] = {}
        parameters = inspect.signature(self.body).parameters
        if "folder" in parameters:
            builder = store.builder(recipe, {})
            builder.discard()
            builder.prepare()
            extra["folder"] = builder.folder
        if "progress" in parameters:
            extra["progress"] = _ticker(self.schema.kind)
        made: Made = self.body(**arguments, **extra)
        builder = store.builder(recipe, _sizes_of(self.schema, made.arrays))
        if "folder" not in parameters:
            builder.discard()
        builder.prepare()
        builder.write_whole(made.arrays)
        builder.commit(made.attributes, seconds=time.perf_counter() - start)

    def _compute_shards(
        self,
        store: Store,
        recipe: Derivation,
        arguments: Mapping[str, Any],
        indices: Sequence[int],
    ) -> None:
        assert self.plan is not None
        plan = self.plan(**arguments)
        builder = store.builder(recipe, self._sizes(plan))
        every = self._shards(plan.rows)
        finished = builder.finished(indices)  # by an attempt on a worker that was lost
        wanted = [every[index] for index in indices if index not in finished]
        run = current_run_or_none()
        tick = _ticker(self.schema.kind)
        blocks: Blocks = self.body(**arguments, shards=wanted)
        start = time.perf_counter()
        for shard, arrays in zip(wanted, blocks, strict=True):
            builder.write(shard.index, arrays, seconds=time.perf_counter() - start)
            tick(shard.stop - shard.start)
            start = time.perf_counter()
            if run is not None and run.stop.is_set():
                return

    def _bind(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        bound = self._signature.bind(*args, **kwargs)
        bound.apply_defaults()
        return dict(bound.arguments)

    def _recipe(self, arguments: Mapping[str, Any]) -> Derivation:
        inputs: dict[str, tuple[str, str]] = {}
        parameters: dict[str, Any] = {}
        for name, value in arguments.items():
            if isinstance(value, Source):
                inputs[name] = ("source", value.key)
            elif isinstance(value, Artifact):
                inputs[name] = (value.kind, value.key)
            elif isinstance(value, BaseModel):
                parameters[name] = value.model_dump(mode="json")
            else:
                parameters[name] = value
        key = content_key(
            {
                "stage": self.schema.kind,
                "version": self.version,
                "inputs": {name: list(value) for name, value in inputs.items()},
                "parameters": parameters,
            }
        )
        return Derivation(self.schema, key, self.version, inputs, parameters)

    def _decode(self, store: Store, name: str, value: Any) -> Any:
        if isinstance(value, dict) and "artifact" in value:
            return store.get(*value["artifact"])
        if isinstance(value, dict) and "source" in value:
            return _reachable(Source.at(value["source"], value["key"]))
        if isinstance(value, dict) and "settings" in value:
            return self._hints[name].model_validate(value["settings"])
        return value

    def _workers(self, run: Run) -> int:
        """Ranges to compute at once."""
        if run.cluster is None or not self.network:
            return run.workers
        return min(run.workers, run.cluster.slots(network=True))

    def _rows_dim(self) -> str:
        return next(iter(self.schema.arrays.values())).dims[0]

    def _sizes(self, plan: Plan) -> dict[str, int]:
        return {**plan.sizes, self._rows_dim(): plan.rows}

    def _shards(self, rows: int) -> list[Shard]:
        spec = next(iter(self.schema.arrays.values()))
        return [
            Shard(index, index * spec.shard, min((index + 1) * spec.shard, rows))
            for index in range(shard_count(rows, spec))
        ]

    def _ranges(self, artifact: Artifact) -> int:
        if self.plan is None:
            return 1
        return len(self._shards(artifact.sizes[self._rows_dim()]))


def load_stage(address: str) -> Stage:
    """The stage that `Stage.address` names."""
    module, _, name = address.partition(":")
    found = getattr(importlib.import_module(module), name)
    assert isinstance(found, Stage)
    return found


def _sole_attempt(store: Store, recipe: Derivation) -> AbstractContextManager[None]:
    """Keeps a second attempt waiting while the first, on a worker given up as lost, still runs."""
    run = current_run_or_none()
    if run is None or not run.lent:
        return nullcontext()
    return store.backend.building(f"{recipe.name}.attempt")


def _await_news(run: Run, seen: Callable[[], bool]) -> None:
    """Wait until this machine sees what workers of others wrote.

    Raises:
        StoreError: it never does; better than to commit an artifact with holes.
        DubflowError: the run was stopped.
    """
    deadline = time.monotonic() + (_NEWS_SECONDS if run.cluster is not None else 0.0)
    while not seen():
        if run.stop.is_set():
            raise DubflowError(
                "stopped; finished ranges are kept, the same command goes on from there"
            )
        if time.monotonic() >= deadline:
            raise StoreError(
                f"what was computed is not in the store {run.store.url}: do all workers share it?"
            )
        time.sleep(1)


def _reachable(source: Source) -> Source:
    """The source, on a worker.

    Raises:
        ClusterError: it is not there.
    """
    run = current_run_or_none()
    if run is not None and run.lent and not source.path.is_file():
        raise ClusterError(
            f"the worker on {socket.gethostname()} has no file {source.path}: put it where all "
            "machines find it under the same name"
        )
    return source


def _encode(value: Any) -> Any:
    if isinstance(value, Artifact):
        return {"artifact": [value.kind, value.key]}
    if isinstance(value, Source):
        return {"source": str(value.path), "key": value.key}
    if isinstance(value, BaseModel):
        return {"settings": value.model_dump(mode="json")}
    return value


def _groups(shards: Sequence[Shard], workers: int) -> list[list[Shard]]:
    """Contiguous ranges, one per worker: reading a video on is cheaper than seeking in it."""
    count = min(workers, len(shards))
    return [[shards[i] for i in part] for part in np.array_split(range(len(shards)), count or 1)][
        :count
    ]


def _sizes_of(schema: Schema, arrays: Arrays) -> dict[str, int]:
    sizes: dict[str, int] = {}
    for name, array in arrays.items():
        sizes |= dict(zip(schema.arrays[name].dims, map(int, array.shape), strict=True))
    return sizes


def _ticker(kind: str) -> Callable[[int], None]:
    run = current_run_or_none()
    if run is None:
        return lambda rows: None
    return lambda rows: run.progress.advance(kind, rows)
