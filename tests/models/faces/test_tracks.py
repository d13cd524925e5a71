"""Tracks and smoothing, on made-up boxes and curves."""

import numpy as np
import pytest
from numpy.typing import NDArray

from models.faces.mesh.align import Pose
from models.faces.persons import SAME_PERSON, join_tracks
from models.faces.smooth import smooth_landmarks, smooth_pose, valid_runs
from models.faces.tracks import Track, choose_track, face_boxes, gather_track, link_faces

FRAMES = 60
TIME_S = np.arange(FRAMES) / 25


def box(x: float, y: float, side: float) -> list[float]:
    return [x - side / 2, y - side / 2, x + side / 2, y + side / 2]


def two_people() -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_]]:
    """A large face on the right, a small one on the left, in slots that change places."""
    boxes = np.zeros((FRAMES, 4, 4), np.float32)
    scores = np.zeros((FRAMES, 4), np.float32)
    for frame in range(FRAMES):
        small, large = (0, 1) if frame % 2 else (1, 0)
        boxes[frame, large] = box(500 + frame, 200, 200)
        boxes[frame, small] = box(100, 220 - frame, 80)
        scores[frame, :2] = 0.9
    scene_start = np.zeros(FRAMES, bool)
    scene_start[0] = True
    return boxes, scores, scene_start


UNKNOWN = np.full((99, 128), np.nan, np.float32)


def join(
    boxes: NDArray[np.float32],
    scores: NDArray[np.float32],
    scene_start: NDArray[np.bool_],
    descriptors: NDArray[np.float32] = UNKNOWN,
) -> list[Track]:
    tracks = link_faces(boxes, scores, scene_start=scene_start, time_s=TIME_S)
    return join_tracks(tracks, descriptors[: len(tracks)], scene_start=scene_start, time_s=TIME_S)


def frames_of(tracks: list[Track]) -> list[tuple[int, int, int]]:
    """First, last and number of frames of each."""
    return [(int(t.frames[0]), int(t.frames[-1]), len(t.frames)) for t in tracks]


def look(person: int) -> NDArray[np.float32]:
    """A descriptor; those of two persons are 1.4 apart."""
    return np.eye(128, dtype=np.float32)[person]


def test_tracks_follow_each_face_through_changing_slots_largest_first() -> None:
    tracks = join(*two_people())
    assert len(tracks) == 2
    assert tracks[0].slots.tolist() == [1 if frame % 2 else 0 for frame in range(FRAMES)]
    np.testing.assert_allclose(tracks[1].boxes[:, 0], 60)


def test_a_short_gap_is_bridged_and_its_frames_are_invalid() -> None:
    boxes, scores, scene_start = two_people()
    scores[20:30] = 0
    tracks = join(boxes, scores, scene_start)
    assert len(tracks) == 2
    slot = tracks[0].slot(FRAMES)
    assert (slot[20:30] == -1).all()
    _, valid = gather_track(np.zeros((FRAMES, 4, 478, 3), np.float32), slot)
    assert valid.sum() == FRAMES - 10


def test_a_long_gap_goes_on_as_the_same_track_at_the_same_place() -> None:
    boxes, scores, scene_start = two_people()
    scores[20:45] = 0
    assert len(join(boxes, scores, scene_start)) == 2


def one_face(parts: dict[range, list[float]]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """A face at those boxes in those frames."""
    boxes, scores = np.zeros((FRAMES, 4, 4), np.float32), np.zeros((FRAMES, 4), np.float32)
    for frames, where in parts.items():
        boxes[frames, 0], scores[frames, 0] = where, 1
    return boxes, scores


FIRST = np.arange(FRAMES) == 0


def test_whoever_comes_elsewhere_after_a_gap_is_another_person() -> None:
    away = one_face({range(20): box(100, 200, 80), range(40, 60): box(200, 200, 80)})
    assert frames_of(join(*away, FIRST)) == [(0, 19, 20), (40, 59, 20)]
    known = np.stack([look(0), look(0)])
    assert frames_of(join(*away, FIRST, known)) == [(0, 59, 40)]


def test_whoever_comes_to_the_same_place_is_known_to_be_another_by_appearance() -> None:
    same_place = one_face({range(20): box(100, 200, 80), range(24, 60): box(100, 200, 80)})
    assert frames_of(join(*same_place, FIRST)) == [(0, 59, 56)]
    known = np.stack([look(0), look(1)])
    assert frames_of(join(*same_place, FIRST, known)) == [(24, 59, 36), (0, 19, 20)]


def test_a_face_that_jumps_is_the_same_unless_it_looks_like_another() -> None:
    jump = one_face({range(20): box(100, 200, 80), range(20, 60): box(140, 220, 70)})
    assert frames_of(join(*jump, FIRST)) == [(0, 59, 60)]
    known = np.stack([look(0), look(1)])
    assert frames_of(join(*jump, FIRST, known)) == [(20, 59, 40), (0, 19, 20)]


def test_after_a_cut_nobody_is_taken_for_the_same_unless_known_again() -> None:
    shots = one_face({range(60): box(100, 200, 80)})
    cuts = np.isin(np.arange(FRAMES), [0, 25, 40])
    assert frames_of(join(*shots, cuts)) == [(0, 24, 25), (40, 59, 20), (25, 39, 15)]
    known = np.stack([look(0), look(1), look(0)])
    assert frames_of(join(*shots, cuts, known)) == [(0, 59, 45), (25, 39, 15)]


def test_who_leaves_at_a_cut_is_not_replaced_by_who_stays() -> None:
    boxes, scores, cuts = two_people()
    cuts[30] = True
    scores[np.arange(30, 60), np.arange(30, 60) % 2] = 0  # the large one leaves
    small, large = look(0), look(1)
    known = np.stack([large, small, small])
    tracks = join(boxes, scores, cuts, known)
    assert frames_of(tracks) == [(0, 29, 30), (0, 59, 60)]


def test_two_faces_of_one_frame_are_two_persons_however_alike() -> None:
    known = np.stack([look(0), look(0)])
    assert len(join(*two_people(), known)) == 2


def test_alike_means_nearer_than_the_bound_for_the_same_person() -> None:
    shots = one_face({range(60): box(100, 200, 80)})
    cuts = np.isin(np.arange(FRAMES), [0, 30])
    for distance, persons in ((SAME_PERSON - 0.01, 1), (SAME_PERSON + 0.01, 2)):
        known = np.stack([np.zeros(128, np.float32), np.float32(distance) * look(0)])
        assert len(join(*shots, cuts, known)) == persons


def test_no_face_gives_no_track_and_a_clear_error() -> None:
    boxes, scores, scene_start = two_people()
    tracks = join(boxes, scores * 0, scene_start)
    assert len(tracks) == 0
    with pytest.raises(ValueError, match="no face was found in any of the 60 frames"):
        choose_track(tracks, time_s=TIME_S)


@pytest.mark.parametrize(
    ("face", "index"), [("largest", 0), ("track:1", 1), ("100,200@1.0", 1), ("540,200@0", 0)]
)
def test_a_face_is_chosen_by_size_number_or_place(face: str, index: int) -> None:
    assert choose_track(join(*two_people()), face, time_s=TIME_S) == index


@pytest.mark.parametrize("face", ["track:2", "300,900@0.5"])
def test_a_face_that_does_not_exist_is_answered_with_those_that_do(face: str) -> None:
    with pytest.raises(ValueError, match=r"track:0 seen in 60 frames.*track:1 seen in 60 frames"):
        choose_track(join(*two_people()), face, time_s=TIME_S)


def test_a_place_beyond_the_end_is_refused() -> None:
    assert choose_track(join(*two_people()), f"540,200@{TIME_S[-1] + 0.5}", time_s=TIME_S) == 0
    with pytest.raises(ValueError, match=r"the last frame is shown at 2\.36 s"):
        choose_track(join(*two_people()), "540,200@9", time_s=TIME_S)


@pytest.mark.parametrize("face", ["biggest", "track:x", "1,2", ""])
def test_other_names_of_faces_are_refused(face: str) -> None:
    with pytest.raises(ValueError, match="largest, track:N or x,y@seconds"):
        choose_track(join(*two_people()), face, time_s=TIME_S)


def test_face_boxes_enclose_the_points() -> None:
    points = np.random.default_rng(0).uniform(10, 90, (2, 3, 478, 3)).astype(np.float32)
    boxes = face_boxes(points)
    np.testing.assert_array_equal(boxes[..., 0], points[..., 0].min(-1))
    np.testing.assert_array_equal(boxes[..., 3], points[..., 1].max(-1))


def test_runs_end_at_cuts_and_at_invalid_frames() -> None:
    valid = np.array([1, 1, 0, 1, 1, 1, 1], bool)
    scene_start = np.array([1, 0, 0, 0, 0, 1, 0], bool)
    assert valid_runs(valid, scene_start) == [(0, 2), (3, 5), (5, 7)]


def test_smoothing_halves_jitter_but_keeps_a_two_frame_closure_and_does_not_lag() -> None:
    rng = np.random.default_rng(1)
    frames = np.arange(200)
    opening = 10 + 5 * np.sin(frames / 6)
    opening[100:102] = 0
    noisy = (opening + rng.normal(0, 0.5, 200)).astype(np.float32)[:, None]
    every, first = np.ones(200, bool), frames == 0
    smooth = smooth_landmarks(noisy, every, scene_start=first, frame_rate_hz=25.0, window_s=0.2)[
        :, 0
    ]
    calm = np.abs(frames - 100) > 5
    assert np.std((smooth - opening)[calm]) < 0.75 * np.std((noisy[:, 0] - opening)[calm])
    assert smooth[98:104].argmin() in (2, 3)
    default = smooth_landmarks(noisy, every, scene_start=first, frame_rate_hz=25.0)[:, 0]
    assert default[100:102].mean() < 4


def test_smoothing_never_mixes_scenes_or_invalid_frames() -> None:
    values = np.repeat([0.0, 100.0, -1.0, 50.0], 10).astype(np.float32)[:, None]
    valid = np.repeat([True, True, False, True], 10)
    scene_start = np.zeros(40, bool)
    scene_start[[0, 10]] = True
    smooth = smooth_landmarks(values, valid, scene_start=scene_start, frame_rate_hz=50.0)
    np.testing.assert_allclose(smooth, values, atol=1e-4)


def test_smooth_pose_keeps_rotations_proper() -> None:
    angle = np.random.default_rng(2).normal(0.2, 0.02, 50)
    c, s, zero, one = np.cos(angle), np.sin(angle), np.zeros(50), np.ones(50)
    turned = np.stack([c, -s, zero, s, c, zero, zero, zero, one], -1).reshape(50, 3, 3)
    pose = Pose(
        np.full(50, 120, np.float32), turned.astype(np.float32), np.zeros((50, 3), np.float32)
    )
    every, first = np.ones(50, bool), np.arange(50) == 0
    smooth = smooth_pose(pose, every, scene_start=first, frame_rate_hz=25.0)
    product = np.einsum("fij,fkj->fik", smooth.rotation, smooth.rotation)
    np.testing.assert_allclose(product, np.broadcast_to(np.eye(3), product.shape), atol=1e-5)
    smoothed = np.arctan2(smooth.rotation[:, 1, 0], smooth.rotation[:, 0, 0])
    assert np.std(np.diff(smoothed)) < 0.5 * np.std(np.diff(angle))
    np.testing.assert_allclose(smooth.scale, 120, rtol=1e-4)
