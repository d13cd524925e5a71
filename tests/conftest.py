"""Fixtures that every part of the tests shares."""

import atexit
import gc
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from flows.runtime.environment import quiet_and_private

quiet_and_private()
# What is imported for the tests stays: to search it for garbage takes a tenth of the imports' time.
gc.disable()

# A shell has those that it starts in the background ignore it; tests send it to themselves.
signal.signal(signal.SIGINT, signal.default_int_handler)

if "PYTEST_XDIST_WORKER_COUNT" in os.environ:
    # Tests run side by side: threads of one would only get in the way of the other.
    share = str(max(1, (os.cpu_count() or 1) // int(os.environ["PYTEST_XDIST_WORKER_COUNT"])))
    os.environ.setdefault("OMP_NUM_THREADS", share)
    os.environ.setdefault("DUBFLOW_PROCESSORS", share)

from stores.artifacts.store import Store  # noqa: E402  (the environment comes first)
from tasks.engine.open_run import open_run  # noqa: E402
from tasks.engine.run import Run  # noqa: E402

ROOT = Path(__file__).parent.parent

# The same examples on every run; machines that do other things too set no deadline.
settings.register_profile("dubflow", derandomize=True, deadline=None, database=None)
settings.load_profile("dubflow")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--goldens-table", metavar="FILE", help="write how near each golden was")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Two tiers are known by their folder; the others mark themselves."""
    for item in items:
        for tier in {"goldens", "browser"} & set(item.path.relative_to(ROOT).parts):
            item.add_marker(tier)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """Networks that a test draws are the same whichever tests ran before it."""
    import torch

    torch.manual_seed(0)


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()
    atexit.register(gc.unfreeze)  # pytest searches five times at its end, Python only once


@pytest.fixture(scope="session", autouse=True)
def no_waiting_for_the_disk() -> Iterator[None]:
    """What tests write need not outlive a power cut; those that cut the power watch `fsync`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: None)
        yield


@pytest.fixture(scope="session", autouse=True)
def a_users_settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A user who has no key to sign with yet, and uses published weights for research."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.mktemp("config")))
        patch.setenv("DUBFLOW_NON_COMMERCIAL", "1")
        yield


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
