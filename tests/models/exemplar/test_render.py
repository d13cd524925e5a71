"""Crops, warps and blending."""

import numpy as np
import pytest
from numpy.typing import NDArray

from models.exemplar.render import (
    Donor,
    MouthRenderer,
    canonical_to_crop,
    mouth_displacement,
)
from models.exemplar.settings import CropSettings, RenderSettings
from models.exemplar.shapes import lip_gap
from models.faces.blend import blend, colour_difference
from models.faces.coding import RGB, Coding
from models.faces.crop.crop import (
    copied,
    crop_size,
    crop_transforms,
    cut,
    face_squares,
    native_crops,
    to_crop,
)
from models.faces.crop.rendered import Rendered
from models.faces.mesh.align import Pose
from models.faces.mesh.indices import MOUTH
from models.faces.settings import BlendSettings
from stores.media.pixels import Codes
from tests.models.exemplar_scene import (
    MEAN_FACE,
    NEUTRAL,
    Scene,
    make_scene,
    still_pose,
    texture,
)

Floats = NDArray[np.float32]
Image = NDArray[np.uint8]

OPEN, SHUT = 0.08, 0.0


def in_crop(crop: Image, rendered: Rendered, settings: BlendSettings | None = None) -> Image:
    """Blend into the crop itself."""
    new = blend([crop], rendered, transform=np.eye(2, 3, dtype=np.float32), settings=settings)
    return crop if new is None else new.onto(crop)


def render(
    scene: Scene, *, target: int, donor: int, wanted: Floats, opacity: float = 1.0
) -> Rendered:
    moved = mouth_displacement(
        wanted[None], scene.mouth[donor][None], scene.mouth[target][None], neutral=NEUTRAL
    )
    linear = canonical_to_crop(scene.pose, scene.transforms)[target]
    return MouthRenderer(MEAN_FACE, size=scene.size).render(
        scene.crop_landmarks[target],
        moved[0],
        linear,
        square=scene.square,
        donors=[Donor(scene.crop, scene.crop_landmarks[donor], scene.square, 1.0)],
        opacity=opacity,
    )


def test_the_crop_keeps_native_sharpness_up_to_a_limit() -> None:
    every = np.ones(5, bool)
    assert crop_size(np.full(5, 200, np.float32), every) == 192
    assert crop_size(np.full(5, 900, np.float32), every, max_size=512) == 512
    with pytest.raises(ValueError, match="no valid frame"):
        crop_size(np.full(5, 200, np.float32), ~every)


def test_the_crop_undoes_place_size_and_roll() -> None:
    still = still_pose(1)
    angle = 0.4
    c, s = np.cos(angle), np.sin(angle)
    turned = Pose(
        np.array([220], np.float32),
        np.array([[[c, -s, 0], [s, c, 0], [0, 0, 1]]], np.float32),
        np.array([[300, 50, 0]], np.float32),
    )
    places = [
        to_crop(pose.to_image(MEAN_FACE[None]), crop_transforms(pose, size=160))[0]
        for pose in (still, turned)
    ]
    np.testing.assert_allclose(places[0], places[1], atol=0.02)
    assert (places[0][list(MOUTH), :2] > 8).all() and (places[0][list(MOUTH), :2] < 152).all()


def test_cutting_at_scale_one_copies_pixels() -> None:
    frame = make_scene(np.zeros(1, np.float32)).frame
    shifted = np.array([[1, 0, -40], [0, 1, -30]], np.float32)
    np.testing.assert_array_equal(cut(frame, shifted, 96), frame[30:126, 40:136])


def test_the_own_frame_and_shape_give_the_own_crop_back() -> None:
    scene = make_scene(np.array([OPEN], np.float32))
    rendered = render(scene, target=0, donor=0, wanted=scene.mouth[0])
    inside = rendered.mask > 0
    assert inside.mean() > 0.1
    off = np.abs(rendered.patch.astype(int) - scene.crop)[inside]
    assert off.max() <= 2
    np.testing.assert_array_equal(in_crop(scene.crop, rendered), scene.crop)


def test_the_mask_is_zero_on_the_border_and_full_on_the_mouth() -> None:
    scene = make_scene(np.array([SHUT, OPEN], np.float32))
    mask = render(scene, target=0, donor=1, wanted=scene.mouth[1]).mask
    edge = np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]])
    assert (edge == 0).all()
    x, y = scene.crop_landmarks[0, 17, :2].astype(int)
    assert mask[y, x] == 255
    x, y = scene.crop_landmarks[0, 1, :2].astype(int)
    assert mask[y, x] == 0, "the nose is the frame's own"


def test_the_borrowed_mouth_lands_where_the_wanted_mouth_is() -> None:
    """A dot painted on the donor's lower lip comes out on the wanted lower lip."""
    scene = make_scene(np.array([SHUT, OPEN], np.float32))
    painted = np.full_like(scene.crop, 100)
    x, y = scene.crop_landmarks[1, 17, :2]
    painted[int(y) - 2 : int(y) + 3, int(x) - 2 : int(x) + 3] = 255
    moved = mouth_displacement(
        scene.mouth[1][None], scene.mouth[1][None], scene.mouth[0][None], neutral=NEUTRAL
    )
    rendered = MouthRenderer(MEAN_FACE, size=scene.size).render(
        scene.crop_landmarks[0],
        moved[0],
        canonical_to_crop(scene.pose, scene.transforms)[0],
        square=scene.square,
        donors=[Donor(painted, scene.crop_landmarks[1], scene.square, 1.0)],
    )
    bright = np.argwhere(rendered.patch[..., 0] > 180).mean(0)[::-1] + 0.5
    np.testing.assert_allclose(bright, scene.crop_landmarks[1, 17, :2], atol=1.5)


def test_the_chin_goes_down_with_the_jaw_and_takes_the_own_pixels_along() -> None:
    scene = make_scene(np.array([SHUT, OPEN], np.float32))
    rendered = render(scene, target=0, donor=1, wanted=scene.mouth[1])
    chin = 152
    own, wanted = scene.crop_landmarks[0, chin], scene.crop_landmarks[1, chin]
    cell = (wanted[:2] * 32 / scene.size).astype(int)
    assert wanted[1] - own[1] > 5
    share = rendered.own_shift[cell[1], cell[0], 1] / (own[1] - wanted[1])
    assert 0.6 < share < 1.2


def test_a_neutral_target_closes_even_a_borrowed_open_mouth() -> None:
    scene = make_scene(np.array([OPEN, 0.03], np.float32))
    moved = mouth_displacement(
        NEUTRAL[None], scene.mouth[1][None], scene.mouth[0][None], neutral=NEUTRAL
    )
    assert lip_gap(scene.mouth[0][None] + moved)[0] < lip_gap(NEUTRAL[None])[0] + 0.002
    half = RenderSettings(correction=0.5)
    wanted = NEUTRAL.copy()
    wanted[:, 1] = (scene.mouth[1][:, 1] + scene.mouth[0][:, 1]) / 2
    moved = mouth_displacement(
        wanted[None], scene.mouth[1][None], scene.mouth[0][None], neutral=NEUTRAL, settings=half
    )
    gap = float(lip_gap(scene.mouth[0][None] + moved)[0])
    assert gap == pytest.approx((lip_gap(wanted[None])[0] + lip_gap(scene.mouth[1:])[0]) / 2, 0.05)


def test_opacity_zero_leaves_the_frame() -> None:
    scene = make_scene(np.array([SHUT, OPEN], np.float32))
    rendered = render(scene, target=0, donor=1, wanted=scene.mouth[1], opacity=0.0)
    assert blend([scene.frame], rendered, transform=scene.transforms[0]) is None


@pytest.mark.parametrize("mode", ["feather", "multiband"])
def test_compositing_changes_the_lower_face_and_nothing_else(mode: str) -> None:
    scene = make_scene(np.array([SHUT, OPEN], np.float32))
    rendered = render(scene, target=0, donor=1, wanted=scene.mouth[1])
    settings = BlendSettings.model_validate({"mode": mode})
    new = blend([scene.frame], rendered, transform=scene.transforms[0], settings=settings)
    assert new is not None
    out = new.onto(scene.frame)
    changed = np.abs(out.astype(int) - scene.frame).max(-1) > 0
    rows = np.flatnonzero(changed.any(1))
    assert changed.any()
    assert rows[0] > scene.landmarks[0, 4, 1], "nothing above the tip of the nose"
    assert not changed[:, :60].any() and not changed[:, 260:].any()


@pytest.mark.parametrize("mode", ["feather", "multiband"])
def test_the_colour_match_takes_out_a_cast_and_a_dimmed_light(mode: str) -> None:
    scene = make_scene(np.array([OPEN], np.float32))
    rendered = render(scene, target=0, donor=0, wanted=scene.mouth[0])
    dimmed = np.clip(rendered.patch * 0.85 + np.array([12, 0, -10]), 0, 255).astype(np.uint8)
    tinted = Rendered(dimmed, rendered.mask, rendered.own_shift)
    settings = BlendSettings.model_validate({"mode": mode})
    plain = BlendSettings.model_validate({"mode": mode, "colour_match": False})
    inside = rendered.mask > 250

    def off(settings: BlendSettings) -> float:
        new = in_crop(scene.crop, tinted, settings).astype(int)
        return float(np.abs((new - scene.crop)[inside].mean(0)).mean())

    assert off(plain) > 10
    assert off(settings) < 0.3 * off(plain)


def test_the_colour_match_of_equal_pictures_is_nothing() -> None:
    scene = make_scene(np.zeros(1, np.float32))
    mask = np.zeros(scene.crop.shape[:2], np.uint8)
    mask[40:100, 40:100] = 128
    small = RGB.small_rgb([scene.crop])
    assert np.abs(colour_difference(small, small, mask)).max() == 0


def rolled_pose(angles: list[float], scales: list[float]) -> Pose:
    """A head that leans and comes nearer."""
    turn = [[[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]] for a in angles]
    place = np.tile(np.array([160.3, 90.7, 0], np.float32), (len(angles), 1))
    return Pose(np.array(scales, np.float32), np.array(turn, np.float32), place)


def test_a_native_crop_is_a_copy_that_holds_the_aligned_one() -> None:
    pose = rolled_pose([0, 0.5, 1.6], [90, 100, 110])
    size, transforms = native_crops(pose, np.array([True, True, False]), max_size=512)
    assert size % 32 == 0 and not transforms[2].any()
    frame = make_scene(np.zeros(1, np.float32)).frame
    for transform, square in zip(transforms[:2], face_squares(pose, transforms)[:2], strict=True):
        x, y = (-transform[:, 2]).astype(int)
        assert copied(transform) == (-x, -y)
        crop = cut(frame, transform, size)
        np.testing.assert_array_equal(
            crop[max(0, -y) : 240 - y, max(0, -x) : 320 - x],
            frame[max(0, y) : y + size, max(0, x) : x + size],
        )
        corners = np.array([[0, 0], [0, 1], [1, 0], [1, 1]]) @ square[:, :2].T + square[:, 2]
        assert (corners > -1).all() and (corners < size + 1).all()


def test_faces_too_large_for_a_native_crop_are_scaled_down() -> None:
    pose = rolled_pose([0, 0], [150, 1500])
    size, transforms = native_crops(pose, np.ones(2, bool), max_size=256)
    assert size == 256
    assert transforms[0, 0, 0] == 1 and transforms[1, 0, 0] == pytest.approx(256 / 1440, 0.01)


def test_a_close_up_at_4k_is_not_scaled_down() -> None:
    size, transforms = native_crops(
        rolled_pose([0], [950]), np.ones(1, bool), max_size=CropSettings().max_size
    )
    assert size > 900 and copied(transforms[0])


@pytest.mark.parametrize("angle", [0.0, 0.6, -1.5])
def test_the_own_frame_comes_back_however_the_head_leans(angle: float) -> None:
    pose = rolled_pose([angle], [120])
    faces = make_scene(np.array([OPEN], np.float32)).faces
    frame, meshes = texture(), pose.to_image(faces)
    size, transforms = native_crops(pose, np.ones(1, bool), max_size=512)
    square = face_squares(pose, transforms)[0]
    crop, points = cut(frame, transforms[0], size), to_crop(meshes, transforms)[0]
    rendered = MouthRenderer(MEAN_FACE, size=size).render(
        points,
        np.zeros((57, 3), np.float32),
        canonical_to_crop(pose, transforms)[0],
        square=square,
        donors=[Donor(crop, points, square, 1.0)],
    )
    inside = rendered.mask > 0
    assert 0.1 < inside.mean() < 0.5
    assert np.abs(rendered.patch.astype(int) - crop)[inside].max() <= 2
    x, y = points[17, :2].astype(int)
    assert rendered.mask[y, x] == 255


@pytest.mark.parametrize("bits", [8, 10])
@pytest.mark.parametrize("shift", [(1, 1), (1, 0), (0, 0)])
@pytest.mark.parametrize("mode", ["feather", "multiband"])
def test_planes_take_a_mouth_as_rgb_does(shift: tuple[int, int], bits: int, mode: str) -> None:
    scene = make_scene(np.array([SHUT, OPEN], np.float32))
    rendered = render(scene, target=0, donor=1, wanted=scene.mouth[1])
    settings = BlendSettings.model_validate({"mode": mode})
    codes = Codes(0.2126, 0.0722, False, bits)
    coding = Coding(codes.from_rgb(), codes.to_rgb(), codes.maximum, shift)
    area = coding.parts(scene.frame)
    new = blend(area, rendered, transform=scene.transforms[0], coding=coding, settings=settings)
    whole = blend([scene.frame], rendered, transform=scene.transforms[0], settings=settings)
    assert new is not None and whole is not None
    wanted = coding.parts(whole.onto(scene.frame))
    for number, (part, old, into) in enumerate(zip(new.parts, area, wanted, strict=True)):
        x, y = (new.x0 >> shift[0], new.y0 >> shift[1]) if number else (new.x0, new.y0)
        out = old.copy()
        out[y : y + part.shape[0], x : x + part.shape[1]] = part
        off = np.abs(out.astype(int) - into) / (1 << (bits - 8))
        assert off.mean() < 0.3 and np.quantile(off, 0.999) <= 6
        changed = np.abs(old.astype(int) - into).mean() / (1 << (bits - 8))
        assert changed > 4 * off.mean() or number == 1
