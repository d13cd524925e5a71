"""The example of docs/add_a_method.md: three files in a folder of one's own make a method."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from stores.artifacts.artifact import Artifact
from stores.artifacts.store import Store
from stores.media.read import read_frames
from stores.media.scanning import scan
from tests.media_factory import make_video

pytestmark = pytest.mark.dub

PAGE = Path(__file__).parents[3] / "docs" / "add_a_method.md"
FRAMES = 12


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files that the page shows, where it says that they lie."""
    folder = tmp_path_factory.mktemp("my_methods")
    shown = re.findall(r"`(\S+/blur_mouth\.\w+)`\..*?```\w+\n(.*?)```", PAGE.read_text(), re.S)
    for name, content in shown:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
    assert len(shown) == 3
    return folder


def run(files: Path, *arguments: object) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [Path(sys.executable).with_name("dubflow"), *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(files)},
        capture_output=True,
        text=True,
    )


def test_three_files_are_a_method(files: Path, speech: Path, tmp_path: Path) -> None:
    talk = make_video(tmp_path / "talk.mp4", frames=FRAMES, size=(400, 300), real_faces=True)
    out = tmp_path / "out.mp4"
    given = ("dub", talk, speech, "-o", out, "--method", "blur_mouth", "--quality", "0")
    done = run(files, *given, "--store", tmp_path / "store", "--direct", "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert (report["frames"], report["valid_frames"]) == (FRAMES, FRAMES)
    store = Store(tmp_path / "store")
    keys = {stage["name"]: stage["key"] for stage in report["stages"]}
    render = store.get("render", keys["render"])
    assert render.manifest.parameters == {"width": 4.0}, "the preset beside the method counts"
    assert_blurred_in_the_mouth_alone(talk, out, store.get("landmarks", keys["landmarks"]))


def assert_blurred_in_the_mouth_alone(before: Path, after: Path, landmarks: Artifact) -> None:
    source, made = scan(before), scan(after)
    pairs = zip(
        read_frames(before, source, 0, FRAMES), read_frames(after, made, 0, FRAMES), strict=True
    )
    for row, (own, new) in enumerate(pairs):
        changed = np.abs(own.rgb().astype(int) - new.rgb().astype(int)).max(2) > 8
        rows, columns = np.nonzero(changed)
        points = landmarks.read("landmarks", row, row + 1)[0]
        (left, top), (right, bottom) = points[:, :2].min(0), points[:, :2].max(0)
        assert len(rows) > 20
        assert left - 4 <= columns.min()
        assert columns.max() <= right + 4
        assert (top + bottom) / 2 - 0.1 * (bottom - top) <= rows.min()
        assert rows.max() <= bottom + 0.1 * (bottom - top)


def test_an_unknown_setting_of_it_is_refused(files: Path, tmp_path: Path) -> None:
    given = ("dub", "a.mp4", "b.wav", "-o", "c.mp4", "--method", "blur_mouth", "--dry-run")
    done = run(files, *given, "--set", "method_settings.wide=3")
    assert done.returncode != 0
    assert "wide" in done.stderr
    assert "Traceback" not in done.stderr
