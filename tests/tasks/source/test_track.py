"""Who is followed through a video with cuts, end to end."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from models.ip_lap.settings import IpLapCropSettings
from models.wav2lip.settings import Wav2LipCropSettings
from stores.artifacts.artifact import Artifact
from stores.artifacts.source import Source
from stores.errors import SettingsError
from tasks.engine.run import Run
from tasks.methods.ip_lap import ip_lap_crops
from tasks.methods.wav2lip import wav2lip_crops
from tasks.source import face_descriptors as module
from tasks.source.face_descriptors import NONE, RECOGNISERS, face_descriptors
from tasks.source.faces import faces
from tasks.source.landmarks import landmarks
from tasks.source.timeline import timeline
from tasks.source.track import follow_person
from tests.media_factory import faces as face_pictures
from tests.tasks.compared import write_frames

pytestmark = pytest.mark.dub

SHOT = 15

Choose = Callable[[str], None]


@pytest.fixture
def choose(monkeypatch: pytest.MonkeyPatch) -> Choose:
    """Sets the recogniser that counts as installed."""
    return lambda name: monkeypatch.setattr(module, "RECOGNISERS", offered(name))


def offered(name: str) -> dict[str, module.Recogniser]:
    """`by_colour` tells persons by the colour of their faces."""
    by_colour = replace(RECOGNISERS["dlib"], installed=lambda: True, describe=_colour)
    return {NONE: {}, "dlib": RECOGNISERS, "by_colour": {"by_colour": by_colour}}[name]


def _colour(pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
    found = np.zeros((len(pictures), 128), np.float32)
    found[:, :3] = pictures[:, 50:100, 50:100].mean(axis=(1, 2)) / 50
    return found


def interview(folder: Path) -> Path:
    """Shots of A, of B (A in other colours, as large, elsewhere), and of A again."""
    source = face_pictures(400, 300)
    pictures = [next(source) for _ in range(3 * SHOT)]
    pictures[SHOT : 2 * SHOT] = [
        np.ascontiguousarray(np.roll(picture[:, ::-1, ::-1], 12, axis=1))
        for picture in pictures[SHOT : 2 * SHOT]
    ]
    return write_frames(folder / "interview.mp4", pictures)


def followed(video: Path, face: str) -> Artifact:
    source = Source.of(video)
    clip = timeline(source)
    assert np.flatnonzero(clip.read("scene_start")).tolist() == [0, SHOT, 2 * SHOT]
    return follow_person(source, clip, faces(source, clip), face=face)


def seen_in(track: Artifact) -> list[int]:
    """Shots in all frames of which the chosen face is seen; others have it in none."""
    seen = (track.read("slot") >= 0).reshape(3, SHOT)
    assert (seen.all(axis=1) | ~seen.any(axis=1)).all()
    return np.flatnonzero(seen.any(axis=1)).tolist()


def test_a_person_is_followed_over_cuts_and_nobody_else(
    tmp_path: Path, run: Run, choose: Choose
) -> None:
    choose("by_colour")
    video = interview(tmp_path)
    largest, b = followed(video, "largest"), followed(video, "200,150@0.8")
    assert seen_in(largest) == [0, 2] and seen_in(b) == [1]
    assert [each["frames"] for each in largest.attributes["tracks"]] == [2 * SHOT, SHOT]
    (note,) = largest.attributes["notes"]
    assert note.startswith("several persons after cuts: frames 15-29 of the source")
    assert "dubflow[metrics]" not in note
    named = note.partition("--face ")[2].split()[0]
    assert seen_in(followed(video, named)) == [1], "the note's own advice chooses the other"
    (note,) = b.attributes["notes"]
    assert "frames 0-14, 30-44 of" in note


def test_without_a_recogniser_only_the_chosen_shot_is_dubbed(
    tmp_path: Path, run: Run, choose: Choose
) -> None:
    choose(NONE)
    video = interview(tmp_path)
    for second, shot in ((0.2, 0), (0.8, 1), (1.5, 2)):
        track = followed(video, f"200,150@{second}")
        assert seen_in(track) == [shot]
        (note,) = track.attributes["notes"]
        assert "dubflow[metrics]" in note
    assert len(seen_in(followed(video, "largest"))) == 1


@pytest.mark.long
def test_dlib_knows_a_person_again_after_a_jump_cut(
    tmp_path: Path, run: Run, choose: Choose
) -> None:
    if not RECOGNISERS["dlib"].installed():
        pytest.skip("dlib is not installed")
    choose("dlib")
    source = face_pictures(400, 300)
    pictures = [next(source) for _ in range(3 * SHOT)]
    for at in range(SHOT, 2 * SHOT):  # brighter and shifted, as from another camera
        light = np.clip(pictures[at].astype(np.float32) * 0.6 + 100, 0, 255).astype(np.uint8)
        pictures[at] = np.roll(light, 60, axis=1)
    track = followed(write_frames(tmp_path / "jumps.mp4", pictures), "largest")
    assert seen_in(track) == [0, 1, 2]
    assert track.attributes["notes"] == []


def test_a_recogniser_that_is_missing_on_a_worker_is_named(
    tmp_path: Path, run: Run, choose: Choose, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = Source.of(interview(tmp_path))
    clip = timeline(source)
    found = faces(source, clip)
    gone = replace(RECOGNISERS["dlib"], installed=lambda: False)
    monkeypatch.setattr(module, "RECOGNISERS", {"dlib": gone})
    with pytest.raises(SettingsError, match=r"dlib is not installed here; add dubflow\[metrics\]"):
        face_descriptors(source, clip, faces=found, recogniser="dlib")


@pytest.mark.parametrize(("turn", "upright"), [(0, True), (1, False), (2, False)])
def test_methods_that_take_upright_boxes_leave_turned_faces_as_they_are(
    turn: int, upright: bool, tmp_path: Path, run: Run
) -> None:
    source = face_pictures(400, 300)
    pictures = [np.ascontiguousarray(np.rot90(next(source), turn)) for _ in range(6)]
    video = Source.of(write_frames(tmp_path / "turned.mp4", pictures))
    clip = timeline(video)
    found = faces(video, clip)
    face = landmarks(found, follow_person(video, clip, found), timeline=clip)
    assert face.read("valid").all()
    for crops in (
        wav2lip_crops(video, clip, landmarks=face, settings=Wav2LipCropSettings()),
        ip_lap_crops(video, clip, landmarks=face, settings=IpLapCropSettings()),
    ):
        assert (crops.read("valid") == upright).all()
