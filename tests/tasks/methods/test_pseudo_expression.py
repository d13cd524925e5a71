"""Expressions of faces whose mouths were made anew, and which frames have none."""

from collections.abc import Iterator
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
import pytest

from models.exemplar.settings import CropSettings
from models.face_fit.settings import FitSettings
from models.faces.crop.crop import to_crop
from models.faces.crop.masks import lower_face_mask
from stores.artifacts.artifact import Artifact
from stores.artifacts.source import Source
from stores.artifacts.store import Store
from stores.errors import InputError
from tasks.engine.open_run import open_run
from tasks.engine.stage import Made, stage
from tasks.methods.pseudo_expression import pseudo_expression, pseudo_faces
from tasks.result.output_frames import OUTPUT_FRAMES
from tasks.result.render import RENDER, render_rows
from tasks.source.crops import crops
from tasks.source.face_basis import own_basis_key
from tasks.source.face_fit import face_fit
from tasks.source.face_fit_person import face_fit_person
from tasks.source.faces import faces
from tasks.source.fitted import Fitted
from tasks.source.landmarks import landmarks
from tasks.source.timeline import timeline
from tasks.source.track import follow_person
from tests.media_factory import faces as pictures
from tests.media_factory import make_video
from tests.tasks.drawn_face import PERSON

FIRST, FRAMES = 22, 24
"""Of the example, whose mouth opens meanwhile."""
UNMADE = 3
"""Output frame that the teacher leaves as it is."""


class Target(NamedTuple):
    """A video's fit, small faces, landmarks and crops."""

    fitted: Fitted
    small: Artifact
    landmarks: Artifact
    crops: Artifact


@stage(OUTPUT_FRAMES, version=1)
def backwards(frames: int) -> Made:
    """The video from its end."""
    rows = np.arange(frames)
    return Made({"source_frame": rows[::-1].copy(), "pts": rows})


@stage(RENDER, version=1)
def own_mouths(crops: Artifact, landmarks: Artifact, *, borrowed: int) -> Made:
    """Mouths of the video itself, backwards: each frame's own, or all of one frame."""
    rows = np.arange(crops.sizes["frame"])[::-1]
    lent = rows if borrowed < 0 else np.full_like(rows, borrowed)
    transform = crops.read("transform")
    points = to_crop(landmarks.read("landmarks"), transform)
    size = crops.attributes["crop_size_px"]
    mask = np.stack([lower_face_mask(points[row], size) for row in rows])
    valid = np.arange(len(rows)) != UNMADE
    patch = crops.read("crop")[lent]
    return Made(render_rows(patch=patch, mask=mask, transform=transform[rows], valid=valid))


@stage(PERSON, version=2)
def stranger(basis_key: str) -> Made:
    """Somebody in another basis."""
    nothing = np.zeros(80, np.float32)
    return Made({"alpha": nothing, "beta": nothing}, {"basis_key": basis_key})


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    """A real face, fitted to its landmarks, in a run."""
    folder = tmp_path_factory.mktemp("pseudo")
    shown = list(islice(pictures(400, 300), FIRST, FIRST + FRAMES))
    path = make_video(
        folder / "talk.mp4", frames=FRAMES, size=(400, 300), draw=lambda index, *_: shown[index]
    )
    with open_run(Store(folder / "store"), workers=2):
        video = Source.of(path)
        clock = timeline(video)
        found = faces(video, clock)
        points = landmarks(found, follow_person(video, clock, found), timeline=clock)
        seen: dict[str, Any] = {"video": video, "timeline": clock, "landmarks": points}
        mesh = FitSettings(mode="mesh")
        person = face_fit_person(**seen, basis=own_basis_key(), settings=mesh)
        fit = face_fit(**seen, person=person, frozen=None, settings=mesh)
        small = pseudo_faces(**seen, face_px=96)
        yield Target(Fitted(person, fit), small, points, crops(**seen, settings=CropSettings()))


def expression(target: Target, borrowed: int) -> Artifact:
    return pseudo_expression(
        target.fitted,
        faces=target.small,
        render=own_mouths(target.crops, target.landmarks, borrowed=borrowed),
        output_frames=backwards(FRAMES),
    )


def test_the_own_mouth_has_the_fitted_expression(target: Target) -> None:
    found = expression(target, -1)
    valid = found.read("valid")
    np.testing.assert_array_equal(valid, np.arange(FRAMES) != UNMADE)
    assert not found.read("delta")[~valid].any()
    assert 0 < found.read("landmark_error")[valid].max() < 0.5
    made, real = found.read("delta")[valid], target.fitted.fit.read("delta")[::-1][valid]
    assert np.sqrt(np.square(made[:, :6] - real[:, :6]).mean(0)).max() < 0.2
    assert np.corrcoef(made[:, 0], real[:, 0])[0, 1] > 0.99
    assert found.attributes["basis_key"] == own_basis_key()
    assert found.manifest.inputs["person"][1] == target.fitted.person.key


def test_another_mouth_has_its_own_expression(target: Target) -> None:
    opening = target.fitted.fit.read("delta")[:, 0]
    for lent in (opening.argmin(), opening.argmax()):
        found = expression(target, int(lent))
        made = found.read("delta")[found.read("valid"), 0]
        assert np.abs(made - opening[lent]).max() < 0.15
    assert np.ptp(opening) > 1.5


def test_a_face_of_another_basis_is_refused(target: Target) -> None:
    with pytest.raises(InputError, match="fitted with the basis own"):
        expression(target._replace(fitted=Fitted(stranger("0" * 40), target.fitted.fit)), -1)
