"""The stages of the fit: frames without a face, cuts, another fit's pose, and what is refused."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flows.seen import see
from models.face_fit.settings import FitSettings
from stores.artifacts.artifact import Artifact
from stores.artifacts.source import Source
from stores.artifacts.store import Store
from stores.errors import SettingsError
from tasks.engine.open_run import open_run
from tasks.engine.stage import Made, Shard, stage
from tasks.source.face_basis import own_basis_key
from tasks.source.face_fit import FACE_FIT, face_fit
from tasks.source.face_fit_person import face_fit_person
from tasks.source.landmarks import LANDMARKS
from tasks.source.timeline import timeline
from tests.media_factory import make_video
from viewer.drawings.draw import draw

FRAMES = 24
HIDDEN = slice(9, 12)
QUICK = FitSettings(person_frames=6, person_iterations=12, iterations=3)
MESH = FitSettings(mode="mesh")

Seen = dict[str, Any]


@stage(LANDMARKS, version=1)
def hidden(landmarks: Artifact) -> Made:
    """Landmarks with a hole."""
    arrays = {name: landmarks.read(name) for name in LANDMARKS.arrays}
    for values in arrays.values():
        values[HIDDEN] = 0
    return Made(arrays)


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seen]:
    """A video whose face is hidden for three frames, in a run."""
    folder = tmp_path_factory.mktemp("fit")
    path = make_video(folder / "talk.mp4", frames=FRAMES, size=(400, 300), real_faces=True)
    with open_run(Store(folder / "store"), workers=2):
        whole = see(Source.of(path))
        points = hidden(whole.landmarks)
        yield {"video": whole.video, "timeline": whole.timeline, "landmarks": points}


def person_of(seen: Seen, settings: FitSettings) -> Artifact:
    return face_fit_person(**seen, basis=own_basis_key(), settings=settings)


@pytest.mark.parametrize("settings", [QUICK, MESH], ids=lambda each: each.mode)
def test_valid_frames_are_fitted(seen: Seen, settings: FitSettings, tmp_path: Path) -> None:
    fitted = face_fit(**seen, person=person_of(seen, settings), frozen=None, settings=settings)
    valid = fitted.read("valid")
    assert valid.sum() == FRAMES - 3 and not valid[HIDDEN].any()
    for name in FACE_FIT.arrays:
        assert not fitted.read(name)[HIDDEN].any()
    assert np.median(fitted.read("landmark_error")[valid]) < 1
    photo = fitted.read("photo_error")[valid]
    assert np.isnan(photo).all() if settings.mode == "mesh" else (photo < 0.12).all()
    assert fitted.attributes["basis_key"] == own_basis_key()
    with open_run(Store(fitted.store_url)) as run:
        draw(run.store, fitted, tmp_path / "sheet.png")
    assert (tmp_path / "sheet.png").stat().st_size > 10_000


@pytest.mark.long
def test_pictures_bring_the_render_nearer(seen: Seen) -> None:
    person = person_of(seen, QUICK)
    first, more = (
        face_fit(
            **seen, person=person, frozen=None, settings=QUICK.model_copy(update={"iterations": n})
        ).read("photo_error")
        for n in (1, 10)
    )
    assert np.median(more[more > 0]) < np.median(first[first > 0])


@pytest.mark.long
def test_a_shard_depends_on_its_own_frames_and_a_margin(seen: Seen) -> None:
    given = dict(seen, person=person_of(seen, QUICK), frozen=None, settings=QUICK)
    shards = [Shard(0, 0, 8), Shard(1, 8, 16), Shard(2, 16, FRAMES)]
    forth = list(face_fit.body(**given, shards=shards))
    back = list(face_fit.body(**given, shards=shards[::-1]))[::-1]
    for one, other in zip(forth, back, strict=True):
        for name, values in one.items():
            np.testing.assert_array_equal(values, other[name])
    whole = next(face_fit.body(**given, shards=[Shard(0, 0, FRAMES)]))
    together = np.concatenate([each["rotation"] for each in forth])
    np.testing.assert_allclose(together, whole["rotation"], atol=2e-3)


@pytest.mark.parametrize("settings", [QUICK, MESH], ids=lambda each: each.mode)
def test_light_and_pose_are_taken_from_another_fit(seen: Seen, settings: FitSettings) -> None:
    person = person_of(seen, settings)
    before = face_fit(**seen, person=person, frozen=None, settings=settings)
    after = face_fit(**seen, person=person, frozen=before, settings=settings)
    for name in ("gamma", "rotation", "translation", "transform", "valid"):
        np.testing.assert_array_equal(after.read(name), before.read(name))
    valid = before.read("valid")
    jaw = [each.read("delta")[valid, 0] for each in (before, after)]
    np.testing.assert_allclose(*jaw, atol=0.2)


def test_a_fit_of_other_frames_is_refused(seen: Seen, tmp_path: Path) -> None:
    path = make_video(tmp_path / "short.mp4", frames=5, size=(400, 300), real_faces=True)
    clock = timeline(Source.of(path))
    person = person_of(seen, MESH)
    fitted = face_fit(**seen, person=person, frozen=None, settings=MESH)
    given = dict(seen, video=Source.of(path), timeline=clock, person=person, settings=MESH)
    with pytest.raises(SettingsError, match="24 frames, the video 5"):
        face_fit(**given, frozen=fitted)


def test_a_video_without_a_face_is_all_invalid(seen: Seen) -> None:
    empty = dict(seen, landmarks=nobody(seen["landmarks"]))
    fitted = face_fit(**empty, person=person_of(empty, QUICK), frozen=None, settings=QUICK)
    assert not fitted.read("valid").any() and not fitted.read("delta").any()


@stage(LANDMARKS, version=1)
def nobody(landmarks: Artifact) -> Made:
    """Landmarks of no face."""
    arrays = {name: landmarks.read(name) for name in LANDMARKS.arrays}
    return Made({name: np.zeros_like(values) for name, values in arrays.items()})
