"""What a dub with changed settings would compute: its flow, gone through without computing."""

import tempfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, NoReturn

from flows.dub import dubbing
from flows.dub_inputs import check_inputs, input_faults
from flows.inspection.changes import changed_settings, part_settings
from flows.settings import DubSettings
from stores.artifacts.artifact import Artifact
from stores.artifacts.builder import Derivation
from stores.artifacts.store import Store
from stores.errors import DamagedArtifact, DubflowError
from stores.runs import RunRecord
from tasks.engine.perform import ThreadExecutor
from tasks.engine.run import Run
from tasks.engine.stage import Stage
from tasks.result.composite import composite
from tasks.result.dubbed import dubbed

State = Literal["stored", "computed", "follows"]


@dataclass(frozen=True)
class StagePlan:
    """What would become of one stage.

    Attributes:
        kind: Of its artifact.
        ranges: That it is computed in; estimated where what it is made of is not there yet.
        stored: Of them, those that the store has.
        computed: Of them, those that would be computed.
        state: `stored`; `computed`: not there, while all that it is made of is; `follows`: made of
            something that would be computed.
    """

    kind: str
    ranges: int
    stored: int
    computed: int
    state: State


def plan_redo(
    store: Store, record: RunRecord, changes: Mapping[str, Any], span: tuple[int, int] | None
) -> dict[str, Any]:
    """`stages`, of `StagePlan`, in the flow's order; and `faults`, for which there would be none.

    Computes nothing and writes nothing to the store.

    Args:
        record: Of the dub that would be redone.
        changes: Of its settings, nested.
        span: Which of its output rows [start, stop); None: all.
    """
    try:
        settings = changed_settings(record, changes)
        with tempfile.TemporaryDirectory() as folder:
            if span is not None:
                speech = Path(folder) / "part.wav"
                settings = part_settings(store, record, settings, span, speech)
            if faults := input_faults(settings):
                return {"stages": [], "faults": faults}
            stages = _gone_through(store, record, settings)
        return {"stages": [asdict(each) for each in stages], "faults": []}
    except DubflowError as error:
        return {"stages": [], "faults": [str(error)]}


class _NotMade(Exception):
    """Something was read that no run has made yet."""


class _Missing(Artifact):
    """Stands for an artifact of which nothing is known but its key."""

    def __init__(self, made_of: Derivation) -> None:
        self._name = made_of.schema.kind, made_of.key

    @property
    def kind(self) -> str:
        return self._name[0]

    @property
    def key(self) -> str:
        return self._name[1]

    def __getattr__(self, name: str) -> NoReturn:
        raise _NotMade


class _Planner:
    """Notes what is called. What is missing is stood for by what the run before had in its place:
    from it the flow learns how many frames there are, while all keys are the new ones."""

    def __init__(self, store: Store, before: RunRecord) -> None:
        self.stages: list[StagePlan] = []
        self._store, self._before = store, before
        self._missing: set[str] = set()
        self._calls: Counter[str] = Counter()

    def __call__(
        self,
        stage: Stage,
        arguments: Mapping[str, Any],
        made_of: Derivation,
        found: Artifact | None,
    ) -> Artifact:
        kind, call = made_of.schema.kind, self._calls[made_of.schema.kind]
        self._calls[kind] += 1
        if found is not None:
            ranges = stage.ranges(found)
            self.stages.append(StagePlan(kind, ranges, ranges, 0, "stored"))
            return found
        before = self.before(kind, call)
        try:
            ranges, finished = stage.forecast(self._store, arguments, made_of)
        except _NotMade:
            ranges, finished = (stage.ranges(before) if before is not None else 1), 0
        follows = any(key in self._missing for _, key in made_of.inputs.values())
        state: State = "follows" if follows else "computed"
        self.stages.append(StagePlan(kind, ranges, finished, ranges - finished, state))
        self._missing.add(made_of.key)
        if before is None:
            return _Missing(made_of)
        showing = arguments.get("showing")
        sizes = {"frame": showing.count} if kind == "output_frames" and showing else {}
        return before.standing_for(made_of.key, **sizes)

    def before(self, kind: str, call: int = 0) -> Artifact | None:
        """What the run before made at its call number `call` of such a stage; else at its last."""
        keys = [key for each, key in self._before.artifacts if each == kind]
        try:
            return self._store.find(kind, keys[min(call, len(keys) - 1)]) if keys else None
        except DamagedArtifact:
            return None

    def rest(self) -> list[StagePlan]:
        """What every dub ends with, where the flow was left before it."""
        plans = []
        for stage in (composite, dubbed):
            if (kind := stage.schema.kind) not in self._calls:
                before = self.before(kind)
                ranges = 1 if before is None else stage.ranges(before)
                plans.append(StagePlan(kind, ranges, 0, ranges, "follows"))
        return plans


def _gone_through(store: Store, record: RunRecord, settings: DubSettings) -> list[StagePlan]:
    planner = _Planner(store, record)
    run = Run(store, ThreadExecutor(), devices=settings.devices, plan=planner)
    run.kept |= check_inputs(settings)
    with run.current():
        try:
            dubbing(settings)
        except _NotMade:
            return planner.stages + planner.rest()
    return planner.stages
