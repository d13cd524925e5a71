"""Covered mouths."""

import cv2
import numpy as np
from numpy.typing import NDArray

from models.faces.crop.crop import cut, to_crop
from models.faces.mesh.align import Pose
from models.faces.occlusion import (
    covered_frames,
    covered_share,
    face_look,
    facing,
    mouth_quality,
    opacity,
)
from tests.models.exemplar_scene import MEAN_FACE, make_scene, still_pose

HAND = slice(50, 70)


def looks_of_a_talk(*, hand: bool) -> NDArray[np.uint8]:
    """100 frames with a moving mouth, changing light and noise; a hand in frames 50 to 69."""
    rng = np.random.default_rng(0)
    amount = (0.05 + 0.05 * np.sin(np.arange(100) / 3)).astype(np.float32)
    scene = make_scene(amount)
    looks = []
    for frame in range(100):
        light = 1 + 0.1 * np.sin(frame / 20)
        picture = np.clip(scene.frame * light + rng.normal(0, 4, scene.frame.shape), 0, 255)
        picture = picture.astype(np.uint8)
        points = scene.landmarks[frame]
        hull = cv2.convexHull(points[[78, 81, 13, 311, 308, 402, 14, 178], :2].astype(np.int32))
        cv2.fillConvexPoly(picture, hull, (40, 10, 10))
        if hand and HAND.start <= frame < HAND.stop:
            x, y = points[17, :2].astype(int)
            cv2.circle(picture, (int(x) - 15, int(y) + 5), 24, (215, 170, 140), -1)
        crop = cut(picture, scene.transforms[frame], scene.size)
        landmarks = to_crop(scene.landmarks, scene.transforms)[frame]
        looks.append(face_look(crop, landmarks, MEAN_FACE))
    return np.stack(looks)


def test_a_hand_before_the_mouth_is_found_and_little_else() -> None:
    usable = np.ones(100, bool)
    share = covered_share(looks_of_a_talk(hand=True), usable, mean_face=MEAN_FACE)
    covered = covered_frames(share, usable)
    assert covered[HAND].all()
    assert covered.sum() <= 20 + 2 * 4
    quality = mouth_quality(share, usable)
    assert quality[HAND].max() < 0.2 and np.median(quality[:40]) > 0.9


def test_wide_open_mouths_changing_light_and_noise_are_nothing_unusual() -> None:
    usable = np.ones(100, bool)
    usable[30:33] = False
    share = covered_share(looks_of_a_talk(hand=False), usable, mean_face=MEAN_FACE)
    assert not covered_frames(share, usable).any()
    assert (share[30:33] == 1).all()


def test_each_scene_is_judged_by_its_own_light() -> None:
    looks = looks_of_a_talk(hand=False)
    looks[55:] = 255 - looks[55:]
    usable = np.ones(100, bool)
    scene_start = np.zeros(100, bool)
    scene_start[[0, 55]] = True
    share = covered_share(looks, usable, mean_face=MEAN_FACE, scene_start=scene_start)
    assert not covered_frames(share, usable).any()


def test_no_usable_frame_is_no_error() -> None:
    looks = np.zeros((5, 32, 32, 3), np.uint8)
    assert (covered_share(looks, np.zeros(5, bool), mean_face=MEAN_FACE) == 1).all()


def test_a_profile_is_not_facing() -> None:
    pose = still_pose(2)
    c, s = np.cos(1.1), np.sin(1.1)
    rotation = pose.rotation.copy()
    rotation[1] = np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])
    assert facing(Pose(pose.scale, rotation, pose.translation)).tolist() == [True, False]


def test_opacity_falls_before_and_rises_after_but_not_across_a_cut() -> None:
    shown = np.ones(30, bool)
    shown[10:12] = False
    scene_start = np.zeros(30, bool)
    scene_start[[0, 12]] = True
    level = opacity(shown, scene_start=scene_start, fade_frames=3)
    np.testing.assert_allclose(level[6:10], [1, 0.75, 0.5, 0.25])
    assert (level[10:12] == 0).all()
    assert (level[12:] == 1).all()
