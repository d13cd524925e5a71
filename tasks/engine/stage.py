"""The one decorator of all stages: key, lookup, ranges, commit, progress, provenance.

A stage is a plain function of artifacts and settings. Unit tests call it as such
(`stage.body(...)`); flows call it through the decorator, which gives an artifact of the store:

    @stage(MEL, version=1)                       # whole: the body returns `Made`
    def mel(waveform: Artifact) -> Made: ...

    @stage(FACES, version=1, rows="timeline")    # ranged: the body yields the arrays of each shard
    def faces(video: Source, timeline: Artifact, *, shards: Sequence[Shard]) -> Blocks: ...

A ranged stage says whose rows it has by the name of an artifact among its arguments. Where more is
to be said before it computes, `plan` says it: a function of those arguments that it names. Each
shard must come out the same whichever process computes it and whatever was computed before it.

After the second argument, all are given by name. A `Bundle` stands for the fields that are named,
and a body that names a bundle's type takes all of its fields.
"""

import inspect
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any, get_type_hints

import numpy as np
from numpy.typing import NDArray

from stores.artifacts.artifact import Artifact
from stores.artifacts.builder import Derivation
from stores.artifacts.codecs import shard_count
from stores.artifacts.schema import Schema
from stores.artifacts.store import Store
from stores.errors import ClusterError, DamagedArtifact, DubflowError, StoreError
from tasks.engine.arguments import Bundle, bind, check_sources, decode, derivation, encode
from tasks.engine.call import Call, titled
from tasks.engine.run import Run, current_run, current_run_or_none, settling

Arrays = Mapping[str, NDArray[Any]]
Blocks = Iterator[Arrays]

_PROVIDED = frozenset({"shards", "folder", "progress"})
"""Arguments of a body that the decorator provides: the shards to compute, a folder for plain
files, and a function to call with the number of rows just finished."""


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
        rows: Size of the first dimension of every array; None where `rows` of the stage says it.
        sizes: Sizes of other dimensions that the schema leaves open.
        attributes: Facts to keep with the artifact.
    """

    rows: int | None = None
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
    rows: str | None = None,
    plan: Callable[..., Plan] | None = None,
    network: bool = False,
) -> Callable[[Callable[..., Any]], "Stage"]:
    """Make a stage of a plain function.

    Args:
        schema: What it makes.
        version: Part of the key: raise it whenever the same inputs give another result.
        rows: For a ranged stage: the argument whose artifact has the same rows.
        plan: For a ranged stage: what else is known before it computes.
        network: It runs a network: a cluster sends it to workers that offer a GPU.
    """
    return lambda body: Stage(body, schema, version, rows=rows, plan=plan, network=network)


class Stage:
    """A function that finds its result in the store, or computes and commits it."""

    def __init__(
        self,
        body: Callable[..., Any],
        schema: Schema,
        version: int,
        *,
        rows: str | None = None,
        plan: Callable[..., Plan] | None = None,
        network: bool = False,
    ) -> None:
        self.body = body
        self.schema = schema
        self.version = version
        self.network = network
        self.ranged = rows is not None or plan is not None
        self._rows = rows
        self._plan = plan
        self.__doc__ = body.__doc__
        self.address = f"{body.__module__}:{body.__name__}"

    @cached_property
    def signature(self) -> inspect.Signature:
        """Of the arguments that a caller gives."""
        given: list[inspect.Parameter] = []
        for name, parameter in inspect.signature(self.body).parameters.items():
            if bundle := self._bundles.get(name):
                kind = inspect.Parameter.KEYWORD_ONLY
                given += [
                    inspect.Parameter(f.name, kind, annotation=f.type) for f in fields(bundle)
                ]
            elif name not in _PROVIDED:
                given.append(parameter)
        return inspect.Signature(given)

    @cached_property
    def _hints(self) -> dict[str, Any]:
        return get_type_hints(self.body)

    @cached_property
    def _bundles(self) -> dict[str, Any]:
        """Parameters of the body that take a whole bundle, and its type."""
        hints = self._hints.items()
        return {n: h for n, h in hints if isinstance(h, type) and issubclass(h, Bundle)}

    def _call_body(self, arguments: Mapping[str, Any], **provided: Any) -> Any:
        """Call the body, with its bundles put together again."""
        given = {**arguments, **provided}
        for name, bundle in self._bundles.items():
            given[name] = bundle(**{each.name: given.pop(each.name) for each in fields(bundle)})
        return self.body(**given)

    def __call__(self, *args: Any, **kwargs: Any) -> Artifact:
        """Inputs and settings → artifact.

        Raises:
            DubflowError: whatever the body or the store can't do.
        """
        run = current_run()
        assert run.executor is not None, "a stage calls no other stage"
        start = time.perf_counter()
        arguments = bind(self.signature, *args, **kwargs)
        made_of = derivation(self.schema, self.version, arguments)
        role = run.role_of(made_of)
        artifact = _find_whole(run.store, made_of)
        if run.plan is not None:
            return run.plan(self, arguments, made_of, artifact)
        if artifact is None:
            with run.store.building(made_of, run.note_damage) as artifact:
                if artifact is None:
                    artifact, hits, computed = self._make(run, arguments, made_of, role)
                    seconds = time.perf_counter() - start
                    run.record(artifact, seconds=seconds, hits=hits, computed=computed, role=role)
                    run.progress.end(titled(artifact.kind, role), cached=False)
                    return artifact
        run.executor.note_hit(artifact)
        if artifact.key not in {each.key for each in run.records}:  # told already
            run.progress.end(titled(artifact.kind, role), cached=True)
        seconds = time.perf_counter() - start
        hits = self.ranges(artifact)
        run.record(artifact, seconds=seconds, hits=hits, computed=0, role=role)
        return artifact

    def key(self, *args: Any, **kwargs: Any) -> str:
        """The key that a call with these arguments has, without computing anything."""
        return derivation(self.schema, self.version, bind(self.signature, *args, **kwargs)).key

    def ranges(self, artifact: Artifact) -> int:
        """Ranges that an artifact of this stage is made of."""
        return len(self._shards(artifact.sizes[self._rows_dim()])) if self.ranged else 1

    def forecast(
        self, store: Store, arguments: Mapping[str, Any], made_of: Derivation
    ) -> tuple[int, int]:
        """Ranges that a call with these arguments has, and how many of them are finished."""
        if not self.ranged:
            return 1, 0
        plan, rows = self._planned(arguments)
        builder = store.builder(made_of, self._sizes(plan, rows))
        return len(self._shards(rows)), len(builder.finished())

    def _make(
        self, run: Run, arguments: Mapping[str, Any], made_of: Derivation, role: str
    ) -> tuple[Artifact, int, int]:
        assert run.executor is not None
        call = Call(
            stage=self.address,
            kind=self.schema.kind,
            key=made_of.key,
            store=run.store.url,
            arguments={name: encode(value) for name, value in arguments.items()},
            devices=run.devices,
            network=self.network,
            role=role,
        )
        if not self.ranged:
            run.progress.begin(call.title, None, 0)
            run.executor.perform(run, [call])
            _await_sight(run, lambda: run.store.find(call.kind, call.key) is not None)
            return run.store.get(call.kind, call.key), 0, 1
        plan, rows = self._planned(arguments)
        builder = run.store.builder(made_of, self._sizes(plan, rows))
        builder.prepare()
        shards = self._shards(rows)
        finished = builder.finished()
        missing = [shard for shard in shards if shard.index not in finished]
        run.progress.begin(call.title, rows, rows - _count_rows(missing))
        groups = _groups(missing, run.executor.ranges(run, network=self.network))
        parts = [
            {"shards": tuple(s.index for s in group), "rows": _count_rows(group)}
            for group in groups
        ]
        run.executor.perform(run, [call.model_copy(update=part) for part in parts])
        _await_sight(run, lambda: len(builder.finished()) == len(shards))
        artifact = builder.commit(plan.attributes, seconds=0.0)
        return artifact, len(finished), len(missing)

    def compute(self, store: Store, call: Call) -> None:
        """Do one call that `_make` described, here: some shards, or the whole."""
        arguments = {
            name: decode(value, store, self._hints.get(name))
            for name, value in call.arguments.items()
        }
        made_of = derivation(self.schema, self.version, arguments)
        if made_of.key != call.key:
            raise ClusterError(
                f"the worker on {socket.gethostname()} runs another version of {self.address}: "
                "install the same Dubflow on all workers, and start them again"
            )
        if call.shards is None:
            self._compute_whole(store, made_of, arguments, call.title)
        else:
            self._compute_shards(store, made_of, arguments, call)

    def _compute_whole(
        self, store: Store, made_of: Derivation, arguments: Mapping[str, Any], title: str
    ) -> None:
        with _sole_attempt(store, made_of):
            if not _on_worker() or store.find(made_of.schema.kind, made_of.key) is None:
                self._build_whole(store, made_of, arguments, title)

    def _build_whole(
        self, store: Store, made_of: Derivation, arguments: Mapping[str, Any], title: str
    ) -> None:
        start = time.perf_counter()
        extra: dict[str, Any] = {}
        parameters = inspect.signature(self.body).parameters
        if "folder" in parameters:
            builder = store.builder(made_of, {})
            builder.discard()
            builder.prepare()
            extra["folder"] = builder.folder
        if "progress" in parameters:
            extra["progress"] = _row_counter(title)
        made: Made = self._call_body(arguments, **extra)
        builder = store.builder(made_of, _sizes_of(self.schema, made.arrays))
        if "folder" not in parameters:
            builder.discard()
        builder.prepare()
        builder.write_whole(made.arrays)
        check_sources(arguments)
        builder.commit(made.attributes, seconds=time.perf_counter() - start)

    def _compute_shards(
        self,
        store: Store,
        made_of: Derivation,
        arguments: Mapping[str, Any],
        call: Call,
    ) -> None:
        plan, rows = self._planned(arguments)
        builder = store.builder(made_of, self._sizes(plan, rows))
        every = self._shards(rows)
        indices = call.shards or ()
        finished = builder.finished(indices)  # by an attempt on a worker that was lost
        wanted = [every[index] for index in indices if index not in finished]
        run = current_run_or_none()
        count = _row_counter(call.title)
        start = time.perf_counter()
        with settling(builder.settled):
            blocks: Blocks = self._call_body(arguments, shards=wanted)
            for shard, arrays in zip(wanted, blocks, strict=True):
                check_sources(arguments)
                builder.write(shard.index, arrays, seconds=time.perf_counter() - start)
                count(shard.stop - shard.start)
                start = time.perf_counter()
                if run is not None and run.stop.is_set():
                    return

    def _planned(self, arguments: Mapping[str, Any]) -> tuple[Plan, int]:
        """The plan, and how many rows there will be."""
        plan = Plan()
        if self._plan is not None:
            named = inspect.signature(self._plan).parameters
            plan = self._plan(**{name: arguments[name] for name in named})
        if plan.rows is not None:
            return plan, plan.rows
        assert self._rows is not None
        return plan, int(arguments[self._rows].sizes[self._rows_dim()])

    def _rows_dim(self) -> str:
        return next(iter(self.schema.arrays.values())).dims[0]

    def _sizes(self, plan: Plan, rows: int) -> dict[str, int]:
        return {**plan.sizes, self._rows_dim(): rows}

    def _shards(self, rows: int) -> list[Shard]:
        spec = next(iter(self.schema.arrays.values()))
        return [
            Shard(index, index * spec.shard, min((index + 1) * spec.shard, rows))
            for index in range(shard_count(rows, spec))
        ]


def _find_whole(store: Store, made_of: Derivation) -> Artifact | None:
    """The artifact; None if there is none, or if it is damaged and has to be made again."""
    try:
        return store.find(made_of.schema.kind, made_of.key)
    except DamagedArtifact:
        return None


def _on_worker() -> bool:
    run = current_run_or_none()
    return run is not None and run.is_worker


def _sole_attempt(store: Store, made_of: Derivation) -> AbstractContextManager[None]:
    """Keeps a second attempt waiting while the first, on a worker given up as lost, still runs."""
    if _on_worker():
        return store.backend.building(f"{made_of.name}.attempt")
    return nullcontext()


def _await_sight(run: Run, seen: Callable[[], bool]) -> None:
    """Wait until this machine sees what workers of others wrote.

    Raises:
        StoreError: it never does; better than to commit an artifact with holes.
        DubflowError: the run was stopped.
    """
    assert run.executor is not None
    deadline = time.monotonic() + run.executor.settle_seconds
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


def _groups(shards: Sequence[Shard], count: int) -> list[list[Shard]]:
    """Contiguous ranges, at most `count`: reading a video on is cheaper than seeking in it."""
    if not shards:
        return []
    parts = np.array_split(range(len(shards)), min(count, len(shards)))
    return [[shards[i] for i in part] for part in parts]


def _count_rows(shards: Sequence[Shard]) -> int:
    return sum(shard.stop - shard.start for shard in shards)


def _sizes_of(schema: Schema, arrays: Arrays) -> dict[str, int]:
    sizes: dict[str, int] = {}
    for name, array in arrays.items():
        sizes |= dict(zip(schema.arrays[name].dims, map(int, array.shape), strict=True))
    return sizes


def _row_counter(title: str) -> Callable[[int], None]:
    run = current_run_or_none()
    if run is None:
        return lambda rows: None
    return lambda rows: run.progress.advance(title, rows)
