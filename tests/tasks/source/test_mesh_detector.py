"""The detector, on frames of the example video."""

import hashlib
import importlib.util
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from stores.shipped import shipped_file
from tasks.source.mesh_detector import FaceMeshDetector, RgbView

EXAMPLE = Path(__file__).parents[3] / "examples" / "cap13.mp4"

Frames = list[NDArray[np.uint8]]


@pytest.fixture
def detector() -> Iterator[FaceMeshDetector]:
    made = FaceMeshDetector()
    yield made
    made.close()


def test_the_models_are_those_that_the_script_made() -> None:
    known = {
        "face_mesh": "7dc35e863e4580cf3c5a94ff567d041d1d6a8e9f35238cbbaa43a947794c7500",
        "face_detection_full_range_sparse": (
            "2c3728e6da56f21e21a320433396fb06d40d9088f2247c05e5635a688d45dfe1"
        ),
        "face_detection_short_range": (
            "bbff11cebd1eb27a1e004cae0b0e63ec8c551cbf34a4451148b4908b8db3eca8"
        ),
    }
    for name, digest in known.items():
        file = shipped_file(f"models/face_mesh/{name}.tflite").read_bytes()
        assert hashlib.sha256(file).hexdigest() == digest


def test_mediapipe_reports_its_use_to_nobody() -> None:
    """Versions that do hold the address; a dub of theirs looks it up."""
    package = Path(importlib.util.find_spec("mediapipe").origin).parent  # type: ignore[union-attr,arg-type]
    libraries = [each for each in package.rglob("*") if each.suffix in (".so", ".dylib", ".dll")]
    assert libraries
    assert not [each.name for each in libraries if b"play.googleapis.com" in each.read_bytes()]


def test_one_face_is_followed(frames: Frames, detector: FaceMeshDetector) -> None:
    meshes = []
    for frame in frames:
        landmarks, scores = detector.detect(RgbView(frame))
        assert landmarks.shape == (1, 478, 3) and landmarks.dtype == np.float32
        assert 0.5 <= scores[0] <= 1
        meshes.append(landmarks[0])
    steps = np.linalg.norm(np.diff(np.stack(meshes)[..., :2], axis=0), axis=-1)
    assert steps.max() < 12
    assert meshes[0][10, 1] < meshes[0][1, 1] < meshes[0][13, 1] < meshes[0][152, 1]


def test_landmarks_hardly_depend_on_where_detection_began(
    frames: Frames, detector: FaceMeshDetector
) -> None:
    for frame in frames[:10]:
        followed, _ = detector.detect(RgbView(frame))
    detector.reset()
    fresh, _ = detector.detect(RgbView(frames[9]))
    assert np.linalg.norm((fresh - followed)[0, :, :2], axis=-1).mean() < 1.0


def test_a_small_face_in_a_wide_frame_is_found_in_frame_pixels(
    frames: Frames, detector: FaceMeshDetector
) -> None:
    small, _ = detector.detect(RgbView(frames[0]))
    wide = np.full((1080, 1920, 3), 90, np.uint8)
    wide[500:800, 1300:1700] = frames[0]
    detector.reset()
    found, _ = detector.detect(RgbView(wide))
    assert len(found) == 1
    moved = found[0, :, :2] - small[0, :, :2]
    np.testing.assert_allclose(moved.mean(0), [1300, 500], atol=1.5)


def test_two_faces_come_largest_first(frames: Frames, detector: FaceMeshDetector) -> None:
    both = np.full((400, 1100, 3), 90, np.uint8)
    both[:300, :400] = frames[0]
    both[:, 500:1033] = cv2.resize(frames[5], (533, 400))
    found, scores = detector.detect(RgbView(both))
    assert len(found) == len(scores) == 2
    assert found[0, 1, 0] > 500 > found[1, 1, 0]


def test_nothing_is_found_where_nothing_is(detector: FaceMeshDetector) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (240, 320, 3)).astype(np.uint8)
    for picture in (np.zeros((240, 320, 3), np.uint8), noise):
        landmarks, scores = detector.detect(RgbView(picture))
        assert landmarks.shape == (0, 478, 3) and scores.shape == (0,)


def test_a_face_that_leaves_is_lost_and_found_again(
    frames: Frames, detector: FaceMeshDetector
) -> None:
    assert len(detector.detect(RgbView(frames[0]))[0]) == 1
    assert len(detector.detect(RgbView(np.full_like(frames[0], 90)))[0]) == 0
    assert len(detector.detect(RgbView(frames[1]))[0]) == 1


@pytest.mark.clips
def test_real_clips_with_and_without_faces(clips: Path, detector: FaceMeshDetector) -> None:
    def count(name: str) -> list[int]:
        detector.reset()
        with av.open(str(clips / "extra" / name)) as video:
            return [
                len(detector.detect(RgbView(frame.to_ndarray(format="rgb24")))[0])
                for index, frame in enumerate(video.decode(video=0))
                if index % 4 == 0
            ]

    assert max(count("no_face.mp4")) == 0
    seen = count("face_noface.mov")
    assert seen[0] == 1 and seen[-1] == 0


def test_detectors_made_at_once_leave_stderr_open(capfd: pytest.CaptureFixture[str]) -> None:
    with ThreadPoolExecutor(2) as pool:
        for detector in pool.map(lambda _: FaceMeshDetector(), range(4)):
            detector.close()
    os.write(2, b"still heard")
    assert "still heard" in capfd.readouterr().err


def turned_back(
    points: NDArray[np.float32], turn: int, width: int, height: int
) -> NDArray[np.float32]:
    """Points (n, 2) [px] of an upright frame that was turned by so many quarters, in the latter."""
    x, y = points[:, 0], points[:, 1]
    at = ((x, y), (y, width - x), (width - x, height - y), (height - y, x))[turn]
    return np.stack(at, axis=-1)


@pytest.mark.parametrize("turn", [1, 2, 3])
def test_a_turned_face_is_read_as_well_as_an_upright_one(
    turn: int, frames: Frames, detector: FaceMeshDetector
) -> None:
    height, width = frames[0].shape[:2]
    seen = 0
    for number, frame in enumerate(frames[:12]):
        detector.reset()
        upright, _ = detector.detect(RgbView(frame))
        detector.reset()
        found, _ = detector.detect(RgbView(np.ascontiguousarray(np.rot90(frame, turn))))
        assert len(found) <= 1, number
        if len(found):
            wanted = turned_back(upright[0, :, :2], turn, width, height)
            face_width = np.ptp(upright[0, :, 0])
            apart = np.linalg.norm(found[0, :, :2] - wanted, axis=-1)
            assert apart.mean() < 0.05 * face_width and apart.max() < 0.1 * face_width, number
            seen += 1
    assert seen >= 10


def test_a_turned_face_is_followed_while_the_head_is_turned_on(
    frames: Frames, detector: FaceMeshDetector
) -> None:
    """A frame that is turned by 15 degrees more each time, all round."""
    height, width = frames[0].shape[:2]
    upright, _ = detector.detect(RgbView(frames[0]))
    detector.reset()
    for angle in range(0, 361, 15):
        turn = cv2.getRotationMatrix2D((width / 2, height / 2), angle, 1)
        found, _ = detector.detect(RgbView(cv2.warpAffine(frames[0], turn, (width, height))))
        assert len(found) == 1, angle
        wanted = upright[0, :, :2] @ turn[:, :2].T + turn[:, 2]
        apart = np.linalg.norm(found[0, :, :2] - wanted, axis=-1)
        assert apart.mean() < 0.1 * np.ptp(upright[0, :, 0]), angle


def test_a_mesh_that_no_longer_lies_on_a_face_is_dropped(
    frames: Frames, detector: FaceMeshDetector
) -> None:
    """The face is turned by 180 degrees at once, at its place; no cut says so."""
    upright, _ = detector.detect(RgbView(frames[0]))
    centre = upright[0, :, :2].mean(0)
    turn = cv2.getRotationMatrix2D([float(each) for each in centre], 180, 1)
    height, width = frames[0].shape[:2]
    upside_down = cv2.warpAffine(frames[0], turn, (width, height))
    wanted = upright[0, :, :2] @ turn[:, :2].T + turn[:, 2]
    for _ in range(4):
        found, _ = detector.detect(RgbView(upside_down))
    for mesh in found:
        apart = np.linalg.norm(mesh[:, :2] - wanted, axis=-1)
        assert apart.mean() < 0.1 * np.ptp(upright[0, :, 0])
