"""Who is seen in a video, and the one of them who is dubbed."""

import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from flows.dub import dub
from flows.settings import DubSettings
from stores.artifacts.store import Store
from tests.command import invoke
from tests.media_factory import make_audio, make_video
from tests.tasks.source.test_track import SHOT, interview, offered

pytestmark = pytest.mark.dub

Make = Callable[..., DubSettings]


@pytest.fixture(autouse=True)
def by_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tasks.source.face_descriptors.RECOGNISERS", offered("by_colour"))


def test_faces_lists_persons_and_a_dub_takes_their_numbers(settings: Make, tmp_path: Path) -> None:
    video, store = interview(tmp_path), tmp_path / "store"
    picture = tmp_path / "who.png"
    done = invoke("faces", video, "--store", store, "-o", picture, "--json")
    assert done.exit_code == 0, done.output
    a, b = json.loads(done.stdout)
    assert (a["face"], a["frames"], a["first_seconds"], a["last_seconds"]) == (
        *("track:0", 2 * SHOT, 0.0),
        (3 * SHOT - 1) / 25,
    )
    assert (b["face"], b["frames"], b["share"]) == ("track:1", SHOT, 0.3333)
    assert (b["first_seconds"], b["last_seconds"]) == (SHOT / 25, (2 * SHOT - 1) / 25)
    sheet = cv2.imread(str(picture))
    left, right = np.hsplit(sheet[50:150, 30:-30].astype(int), 2)
    assert left.mean((0, 1))[2] > left.mean((0, 1))[0], "A is reddish, in BGR"
    assert right.mean((0, 1))[2] < right.mean((0, 1))[0], "B is bluish"

    table = invoke("faces", video, "--store", store).stdout
    assert "track:1" in table and "33%" in table

    report = dub(settings(video=video, face=b["face"], store=str(store)))
    assert report.no_face_ranges == [(0, SHOT), (2 * SHOT, 3 * SHOT)]
    assert report.notes[0].startswith("several persons after cuts: frames 0-14, 30-44")
    stages = {stage.name: stage for stage in report.stages}
    assert not stages["faces"].computed and not stages["face_descriptors"].computed
    kept = [kind for kind, _ in Store(store).committed()]
    assert kept.count("face_descriptors") == 1


def test_a_video_without_a_face_says_so(tmp_path: Path) -> None:
    video = make_video(tmp_path / "empty.mp4", frames=5)
    done = invoke("faces", video, "--store", tmp_path / "store", "-o", tmp_path / "who.png")
    assert done.exit_code == 0 and "no face was found: faces that are small" in done.stdout
    assert not (tmp_path / "who.png").exists()


@pytest.mark.parametrize(
    ("output", "says"),
    [("who.txt", "name it .png or .jpg"), ("nowhere/who.png", "its folder does not exist")],
)
def test_a_picture_that_could_not_be_written_is_refused_at_once(
    output: str, says: str, tmp_path: Path
) -> None:
    video = make_video(tmp_path / "v.mp4", frames=2)
    done = invoke("faces", video, "--store", tmp_path / "store", "-o", tmp_path / output)
    assert done.exit_code and says in done.stderr
    assert not (tmp_path / "store" / "timeline").exists()


def test_sound_alone_shows_nobody(tmp_path: Path) -> None:
    sound = make_audio(tmp_path / "tone.wav")
    done = invoke("faces", sound, "--store", tmp_path / "store")
    assert done.exit_code and "holds no picture" in done.stderr
