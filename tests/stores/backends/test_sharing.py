"""A store that several users work in."""

import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from stores.artifacts.source import Source
from stores.artifacts.store import Store
from stores.backends import locks
from stores.collector import collect
from stores.runs import RunRecord, record_run
from tasks.engine.open_run import open_run
from tests.tasks.toy_stages import ToySettings, copied, numbers

ROWS = 40
OTHER = 12345
"""A user who owns nothing here."""


def modes(root: Path) -> dict[str, int]:
    return {
        path.relative_to(root).as_posix(): stat.S_IMODE(path.stat().st_mode)
        for path in root.rglob("*")
    }


def fill(root: Path, given: Path) -> None:
    store = Store(root)
    with open_run(store):
        made = numbers(ROWS, ToySettings())
        copied(Source.of(given))
    record_run(store, RunRecord("dub", {}, [("numbers", made.key)], None))


@pytest.fixture
def given(tmp_path: Path) -> Path:
    path = tmp_path / "given.bin"
    path.write_bytes(b"content")
    return path


@pytest.mark.parametrize(("mask", "file", "folder"), [(0o022, 0o644, 0o755), (0o002, 0o664, 0o775)])
def test_modes_follow_the_umask(
    tmp_path: Path, given: Path, mask: int, file: int, folder: int
) -> None:
    before = os.umask(mask)
    try:
        fill(tmp_path / "store", given)
    finally:
        os.umask(before)
    found = modes(tmp_path / "store")
    assert any(name.endswith("manifest.json") for name in found)
    for name, mode in found.items():
        assert mode == (folder if (tmp_path / "store" / name).is_dir() else file), name


def test_a_folder_of_a_group_stays_one(tmp_path: Path, given: Path) -> None:
    """The group may do everything, though the umask would forbid it; others get nothing new."""
    root = tmp_path / "store"
    root.mkdir()
    root.chmod(0o2770)
    before = os.umask(0o077)
    try:
        fill(root, given)
    finally:
        os.umask(before)
    for name, mode in modes(root).items():
        wanted = 0o2770 if (root / name).is_dir() else 0o660
        assert mode == wanted, f"{name}: {mode:o}"


def test_a_lock_of_another_user_can_be_taken(tmp_path: Path) -> None:
    path = tmp_path / "in-use.lock"
    path.touch()
    path.chmod(0o444)
    with locks.shared(path), locks.exclusive_or_refuse(path) as got:
        assert not got
    with locks.exclusive_or_refuse(path) as got:
        assert got


@contextmanager
def other_user(user: int) -> Iterator[None]:
    """Be another user of the group for a while, with the usual umask."""
    groups, before = os.getgroups(), os.umask(0o022)
    os.setgroups([OTHER])
    os.setegid(OTHER)
    os.seteuid(user)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)
        os.setgroups(groups)
        os.umask(before)


def work(root: Path, factor: float) -> list[int]:
    """Ranges that were computed, of an artifact that all users want and of another."""
    with open_run(Store(root)) as run:
        assert numbers(ROWS, ToySettings()).damage() == []
        numbers(ROWS, ToySettings(factor=factor))
    return [record.computed for record in run.records]


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
def test_two_users_work_in_one_store(tmp_path: Path) -> None:
    work(tmp_path / "warm", 3.0)  # whatever is imported late lies where others may not read
    root = Path(tempfile.mkdtemp(prefix="dubflow-shared-"))
    os.chown(root, OTHER, OTHER)
    root.chmod(0o2770)
    try:
        with other_user(OTHER):
            assert work(root, 3.0) == [3, 3]
        with other_user(OTHER + 1):
            assert work(root, 4.0) == [0, 3]
            store = Store(root)
            for kind, key in list(store.committed()):
                store.remove(kind, key)
            assert work(root, 3.0) == [3, 3]
        with other_user(OTHER):
            assert work(root, 4.0) == [0, 3]
            (root / "in-use.lock").stat()
            assert collect(Store(root), dry_run=False).artifacts
    finally:
        shutil.rmtree(root)
