"""The same composition under Prefect: same artifacts, and states that tell hits from work."""

import asyncio
import io
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from flows.batches.settings import BatchSettings
from flows.dub import dub
from flows.runtime.local_server import CPU_POOL, GPU_POOL, run_prefect
from flows.settings import DubSettings
from stores.artifacts.store import Store
from stores.runs import find_run
from tasks.engine import prefect_executor
from tasks.engine import stage as stage_module
from tasks.engine.open_run import open_run
from tasks.engine.prefect_executor import PrefectExecutor
from tasks.engine.stage import Shard
from tests.conftest import ROOT
from tests.media_factory import make_video
from tests.tasks.toy_stages import ROWS_PER_SHARD, ToySettings, numbers

pytestmark = pytest.mark.dub

Make = Callable[..., DubSettings]


@pytest.fixture(scope="module")
def server() -> Iterator[None]:
    """A Prefect server with a database of its own. Its imports take seconds, so they wait."""
    from prefect.testing.utilities import prefect_test_harness

    with prefect_test_harness(server_startup_timeout=120):
        yield


def states() -> list[tuple[str, str]]:
    """Name of each task run, and of its state."""
    from prefect.client.orchestration import get_client

    async def read() -> list[tuple[str, str]]:
        async with get_client() as client:
            runs = await client.read_task_runs(limit=200)
            return [(run.name, run.state_name or "") for run in runs]

    return asyncio.run(read())


def _states_when(told: Callable[[list[tuple[str, str]]], bool]) -> list[tuple[str, str]]:
    """The states once they are told: task runs reach the server as events, a moment later."""
    for _ in range(120):
        if told(seen := states()):
            break
        time.sleep(0.25)
    return seen


def _cached(seen: list[tuple[str, str]]) -> int:
    return sum(state == "Cached" for _, state in seen)


def test_prefect_and_direct_make_the_same_artifacts(
    server: None, settings: Make, tmp_path: Path
) -> None:
    from flows.prefect_flows import dub_flow

    video = make_video(tmp_path / "talk.mp4", frames=12, size=(400, 300), real_faces=True)
    under, alone = (
        settings(video=video, store=str(tmp_path / name), sync={"end_seconds": 0.4})
        for name in ("prefect", "direct")
    )
    report = dub_flow(under)
    direct = dub(alone)
    assert {s["key"] for s in report["stages"]} == {s.key for s in direct.stages}
    assert len(report["stages"]) == len(direct.stages)
    assert all(stage["computed"] for stage in report["stages"])
    first, second = Store(under.store), Store(alone.store)
    for kind, key in first.committed():
        a, b = first.get(kind, key).manifest, second.get(kind, key).manifest
        assert a.attributes == b.attributes
        data = {name: f for name, f in a.files.items() if not name.endswith("zarr.json")}
        assert data == {n: f for n, f in b.files.items() if not n.endswith("zarr.json")}, kind
    again = dub_flow(under)
    assert not any(stage["computed"] for stage in again["stages"])
    seen = _states_when(lambda seen: _cached(seen) >= len(again["stages"]))
    assert _cached(seen) >= len(again["stages"])
    assert any(name.startswith("faces ") and state == "Completed" for name, state in seen)


def test_other_ranges_stop_when_one_failed(
    server: None, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    from prefect import flow
    from prefect.task_runners import ThreadPoolTaskRunner

    body, computed = numbers.body, []

    def fails_in_the_last_range(rows: int, settings: ToySettings, *, shards: list[Shard]) -> Any:
        for block, shard in zip(body(rows, settings, shards=shards), shards, strict=True):
            if shard.index == 75:
                raise OSError("camera on fire")
            time.sleep(0.2)
            computed.append(shard.index)
            yield block

    @flow(name="toy", task_runner=ThreadPoolTaskRunner(max_workers=3))  # type: ignore[arg-type]
    def toy() -> None:
        with open_run(store, workers=4) as run:
            try:
                numbers(100 * ROWS_PER_SHARD, ToySettings())
            finally:
                assert not run.stop.is_set(), "the run can go on"

    monkeypatch.setattr(numbers, "body", fails_in_the_last_range)
    monkeypatch.setattr(PrefectExecutor, "ranges", lambda *_args, **_kwargs: 4)
    monkeypatch.setattr(stage_module, "_groups", lambda shards, count: _last_first(shards, count))
    with pytest.raises(OSError, match="camera on fire"):
        toy()
    assert len(computed) < 25, "each of the other ranges ends after the shard in hand"


def _last_first(shards: list[Shard], count: int) -> list[list[Shard]]:
    """Ranges in such an order that one fails while others run, and one has not begun."""
    size = len(shards) // count
    groups = [shards[start : start + size] for start in range(0, len(shards), size)]
    return [groups[1], groups[-1], groups[0], groups[2]]


@pytest.mark.long
def test_deployments_can_be_made(server: None) -> None:
    """`prefect deploy` breaks with some versions of fastapi although flows run: keep the pin."""
    from prefect.settings import PREFECT_API_URL

    url = str(PREFECT_API_URL.value())
    home = {"DUBFLOW_HOME": str(ROOT), "DUBFLOW_DATA": "clips"}
    environment = {**os.environ, "PREFECT_API_URL": url, **home}
    asyncio.run(_make_pools())
    run_prefect(("deploy", "--all"), environment)
    assert asyncio.run(_deployed()) >= {
        "dub",
        "batch",
        "evaluate",
        "prepare",
        "train",
        "personalise",
    }


async def _make_pools() -> None:
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.actions import WorkPoolCreate

    async with get_client() as client:
        for pool in (CPU_POOL, GPU_POOL):
            await client.create_work_pool(WorkPoolCreate(name=pool, type="process"))


async def _deployed() -> set[str]:
    """Names of the deployments whose flow has the same name."""
    from prefect.client.orchestration import get_client

    async with get_client() as client:
        found = await client.read_deployments()
        flows = {each.id: await client.read_flow(each.flow_id) for each in found}
        return {each.name for each in found if flows[each.id].name == each.name}


@pytest.mark.long
def test_a_batch_is_one_run_with_a_task_per_row(
    server: None, settings: Make, tmp_path: Path
) -> None:
    from flows.prefect_flows import batch_flow

    dubbed = settings(sync={"end_seconds": 0.4})
    rows = [
        {"video": str(dubbed.video), "audio": str(dubbed.audio), "output": f"{number}.mp4"}
        for number in (1, 2)
    ]
    rows.append({**rows[0], "output": "3.mp4", "audio": "missing.wav"})
    manifest = tmp_path / "rows.yaml"
    manifest.write_text(yaml.safe_dump(rows))
    batch = BatchSettings(
        manifest=manifest, store=dubbed.store, defaults={"sync": {"end_seconds": 0.4}}
    )
    before = set(states())
    report = batch_flow(batch)
    assert [row["state"] for row in report["rows"]] == ["done", "done", "failed"]
    rows_done = {("1 1.mp4", "Completed"), ("2 2.mp4", "Completed")}
    assert set(_states_when(lambda seen: rows_done <= set(seen))) - before == rows_done


def test_task_runs_link_to_the_page_where_it_is_served(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[dict[str, str]] = []
    monkeypatch.setattr(prefect_executor, "create_link_artifact", lambda **told: made.append(told))
    monkeypatch.delenv("DUBFLOW_INSPECT_URL", raising=False)
    prefect_executor.link_to_page("face_fit", "0" * 32)
    assert not made
    monkeypatch.setenv("DUBFLOW_INSPECT_URL", "http://host:8766/?token=secret")
    prefect_executor.link_to_page("face_fit", "0" * 32)
    assert [told["key"] for told in made] == ["inspect-face-fit"]
    assert made[0]["link"] == f"http://host:8766/?token=secret#/artifact/face_fit/{'0' * 32}"


@pytest.mark.long
def test_a_redo_is_a_flow_run_where_a_server_is_known(
    server: None, settings: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from flows.inspection.job import Lines
    from flows.inspection.redo import redo

    video = make_video(tmp_path / "talk.mp4", frames=12, size=(400, 300), real_faces=True)
    given = settings(video=video, store=str(tmp_path / "store"))
    store = Store(given.store)
    record = find_run(store, dub(given).run)
    before = len(states())
    monkeypatch.setenv("PREFECT_API_URL", "of the harness")
    lines = io.StringIO()
    made = redo(store, record, {"blend": {"strength": 0.5}}, None, progress=Lines(lines))
    assert find_run(store, made["run"]).redo_of == {"run": record.id, "span": None}
    assert '{"name": "composite", "done": 12, "total": 12}' in lines.getvalue()
    _states_when(lambda seen: len(seen) > before)
    assert len(states()) > before
