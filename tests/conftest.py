"""Fixtures that every part of the tests shares."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from flows.runtime.environment import quiet_and_private

quiet_and_private()

from stores.artifacts.store import Store  # noqa: E402  (the environment comes first)
from tasks.engine.open_run import open_run  # noqa: E402
from tasks.engine.run import Run  # noqa: E402

ROOT = Path(__file__).parent.parent

# The same examples on every run; machines that do other things too set no deadline.
settings.register_profile("dubflow", derandomize=True, deadline=None, database=None)
settings.load_profile("dubflow")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--goldens-table", metavar="FILE", help="write how near each golden was")


@pytest.fixture(scope="session")
def clips() -> Path:
    """The folder of real clips, where there is one: DUBFLOW_CLIPS, else beside the checkout."""
    folder = Path(os.environ.get("DUBFLOW_CLIPS", ROOT.parent / "shared" / "clips"))
    if not (folder / "manifest.csv").is_file():
        pytest.skip("no real clips here; set DUBFLOW_CLIPS to a folder with a manifest.csv")
    return folder


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """An empty store."""
    return Store(tmp_path / "store")


@pytest.fixture
def run(store: Store) -> Iterator[Run]:
    """An active run on an empty store, with two workers."""
    with open_run(store, workers=2) as active:
        yield active
