"""A dub to be looked at, and a browser that may."""

import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from starlette.exceptions import StarletteDeprecationWarning

from flows.dub import dub
from flows.settings import read_settings
from stores.artifacts.source import Source
from stores.artifacts.store import Store
from stores.runs import RunRecord, record_run, recorded_runs
from tasks.engine.open_run import open_run
from tasks.source.timeline import timeline
from tests.flows.conftest import shared_store, speech, talk
from viewer.web.app import create_app
from viewer.web.subject import Subject

with warnings.catch_warnings():  # Prefect brings httpx; Starlette asks for its successor
    warnings.simplefilter("ignore", StarletteDeprecationWarning)
    from fastapi.testclient import TestClient

__all__ = ["shared_store", "speech", "talk"]

TOKEN = "a_token-of-some-length"

Open = Callable[..., TestClient]


@pytest.fixture(scope="session")
def dubbed(
    talk: Path, speech: Path, shared_store: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Store, RunRecord]:
    """The store with a dub of the example's face, and its record."""
    output = tmp_path_factory.mktemp("inspected") / "out.mp4"
    given = {"video": talk, "audio": speech, "output": output, "store": str(shared_store)}
    dub(read_settings(None, [], given | {"workers": 2}), catalog=False)
    store = Store(shared_store)
    return store, next(run for run in recorded_runs(store) if run.output == str(output))


@pytest.fixture(scope="module")
def browse() -> Iterator[Open]:
    """Opens a page's browser on a store; what it opened is closed at the end."""
    opened: list[TestClient] = []

    def browser(store: Store, *, token: str | None = TOKEN, **more: object) -> TestClient:
        app = create_app(store, Subject("home"), token=TOKEN, **more)  # type: ignore[arg-type]
        headers = {"X-Dubflow": "1"} | ({"Authorization": f"Bearer {token}"} if token else {})
        client = TestClient(app, base_url="http://127.0.0.1", headers=headers)
        client.__enter__()
        opened.append(client)
        return client

    yield browser
    for client in opened:
        client.__exit__(None, None, None)


def only_seen(store: Store, video: Path) -> str:
    """Record a run that only looked at a video's times; its id."""
    with open_run(store, workers=1) as run:
        seen = timeline(Source.of(video))
    record = RunRecord("look", {"video": str(video)}, [("timeline", seen.key)], None)
    assert run is not None
    record_run(store, record)
    return record.id
