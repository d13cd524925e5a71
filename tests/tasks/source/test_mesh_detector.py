"""The detector, on frames of the example video."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from tasks.source.mesh_detector import FaceMeshDetector

EXAMPLE = Path(__file__).parents[3] / "examples" / "cap13.mp4"

Frames = list[NDArray[np.uint8]]


@pytest.fixture
def detector() -> Iterator[FaceMeshDetector]:
    made = FaceMeshDetector()
    yield made
    made.close()


def test_one_face_is_followed(frames: Frames, detector: FaceMeshDetector) -> None:
    meshes = []
    for frame in frames:
        landmarks, scores = detector.detect(frame)
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
        followed, _ = detector.detect(frame)
    detector.reset()
    fresh, _ = detector.detect(frames[9])
    assert np.linalg.norm((fresh - followed)[0, :, :2], axis=-1).mean() < 1.0


def test_a_small_face_in_a_wide_frame_is_found_in_frame_pixels(
    frames: Frames, detector: FaceMeshDetector
) -> None:
    small, _ = detector.detect(frames[0])
    wide = np.full((1080, 1920, 3), 90, np.uint8)
    wide[500:800, 1300:1700] = frames[0]
    detector.reset()
    found, _ = detector.detect(wide)
    assert len(found) == 1
    moved = found[0, :, :2] - small[0, :, :2]
    np.testing.assert_allclose(moved.mean(0), [1300, 500], atol=1.5)


def test_two_faces_come_largest_first(frames: Frames, detector: FaceMeshDetector) -> None:
    both = np.full((400, 1100, 3), 90, np.uint8)
    both[:300, :400] = frames[0]
    both[:, 500:1033] = cv2.resize(frames[5], (533, 400))
    found, scores = detector.detect(both)
    assert len(found) == len(scores) == 2
    assert found[0, 1, 0] > 500 > found[1, 1, 0]


def test_nothing_is_found_where_nothing_is(detector: FaceMeshDetector) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (240, 320, 3)).astype(np.uint8)
    for picture in (np.zeros((240, 320, 3), np.uint8), noise):
        landmarks, scores = detector.detect(picture)
        assert landmarks.shape == (0, 478, 3) and scores.shape == (0,)


def test_a_face_that_leaves_is_lost_and_found_again(
    frames: Frames, detector: FaceMeshDetector
) -> None:
    assert len(detector.detect(frames[0])[0]) == 1
    assert len(detector.detect(np.full_like(frames[0], 90))[0]) == 0
    assert len(detector.detect(frames[1])[0]) == 1


@pytest.mark.clips
def test_real_clips_with_and_without_faces(clips: Path, detector: FaceMeshDetector) -> None:
    def count(name: str) -> list[int]:
        detector.reset()
        with av.open(str(clips / "extra" / name)) as video:
            return [
                len(detector.detect(frame.to_ndarray(format="rgb24"))[0])
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
