"""Two machines, or two users, that dub the same at once on one store: no error, the same bytes."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from stores.artifacts.store import Store
from tests.flows.conftest import cut_wav
from tests.flows.runtime.test_kill_commands import digests
from tests.media_factory import EXAMPLE, content, make_video
from tests.stores.conftest import s3_port, s3_url  # noqa: F401

DUBFLOW = str(Path(sys.executable).with_name("dubflow"))
MACHINE = ("unshare", "--uts", "--pid", "--fork", "--mount-proc")
"""A machine of its own, whose processes have the same numbers and whose name is the same too."""

USERS = (12345, 12346)
GROUP = 12345

pytestmark = pytest.mark.slow


def fails(command: Sequence[str], **options: Any) -> str:
    """Why a command can't be run here; "" if it can."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, **options)
    except OSError as error:
        return str(error)
    return done.stderr if done.returncode else ""


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that all users may read."""
    folder = Path(tempfile.mkdtemp(prefix="dubflow-two-"))
    try:
        folder.chmod(0o755)
        make_video(folder / "talk.mp4", frames=30, size=(320, 240), real_faces=True)
        cut_wav(EXAMPLE.with_name("jfk.wav"), folder, 0.3, 1.2).rename(folder / "speech.wav")
        yield folder
    finally:
        shutil.rmtree(folder)


def dub(place: Path, store: str, output: Path, *prefix: str, **options: Any) -> Any:
    """Begin a dub."""
    command = [
        *(DUBFLOW, "dub", str(place / "talk.mp4"), str(place / "speech.wav"), "-o", str(output)),
        *("--store", store, "--direct"),
    ]
    return subprocess.Popen(
        [*prefix, *command], cwd=place, stderr=subprocess.PIPE, text=True, **options
    )


def check(place: Path, store: str, dubs: Sequence[Any]) -> None:
    """Both came to their end, with the bytes of one that nobody disturbed."""
    for each in dubs:
        _, told = each.communicate()
        assert each.returncode == 0, told
        assert "Traceback" not in told and "damaged" not in told
    alone = dub(place, str(place / "alone"), place / "alone.mp4")
    alone.communicate()
    assert alone.returncode == 0
    outputs = [content(place / name) for name in ("alone.mp4", "0/0.mp4", "1/1.mp4")]
    assert outputs[0] == outputs[1] == outputs[2]
    assert digests(Store(store)) == digests(Store(place / "alone"))
    assert Store(store).unfinished() == []


@pytest.mark.timeout(600)
@pytest.mark.skipif(bool(fails([*MACHINE, "true"])), reason="no namespaces can be made here")
@pytest.mark.parametrize("kind", ["folder", "s3"])
def test_two_machines_share_a_store(kind: str, place: Path, request: pytest.FixtureRequest) -> None:
    store, apart = str(place / "store"), ["--net"]
    if kind == "s3":
        store, apart = request.getfixturevalue("s3_url"), []  # whose server both must reach
    named = ("sh", "-c", 'hostname node; exec "$@"', "node")
    dubs = []
    for number in range(2):
        (place / str(number)).mkdir()
        output = place / str(number) / f"{number}.mp4"
        dubs.append(dub(place, store, output, *MACHINE, *apart, *named))
    check(place, store, dubs)


@pytest.mark.timeout(600)
@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
def test_two_users_share_a_store(place: Path) -> None:
    becoming = [{"user": user, "group": GROUP, "extra_groups": [GROUP]} for user in USERS]
    if why := fails([DUBFLOW, "--help"], env={**os.environ, "HOME": str(place)}, **becoming[0]):
        pytest.skip(f"other users can't run dubflow here: {why.splitlines()[-1]}")
    store = place / "store"
    store.mkdir()
    os.chown(store, USERS[0], GROUP)
    store.chmod(0o2770)
    dubs = []
    for number, own in enumerate(becoming):
        home = place / str(number)
        home.mkdir()
        os.chown(home, USERS[number], GROUP)
        environment = {**os.environ, "HOME": str(home), "XDG_CACHE_HOME": str(home)}
        output = home / f"{number}.mp4"
        dubs.append(dub(place, str(store), output, env=environment, umask=0o022, **own))
    check(place, str(store), dubs)
    owners = {path.stat().st_uid for path in store.rglob("*")}
    assert owners <= set(USERS)
