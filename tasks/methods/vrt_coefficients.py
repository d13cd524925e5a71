"""What VideoReTalking reads off each face: its cut, its coefficients, and the frozen expression."""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from models.deep3d.alignment import (
    FACE_SIZE_PX,
    STANDARD_POINTS,
    align,
    five_points,
    orthographic_pose,
)
from models.face_basis.own import LANDMARKS
from models.face_fit.settings import FitSettings
from models.faces.smooth import smooth_landmarks
from models.video_retalking.alignment import FACE_SIDE, scene_box
from models.video_retalking.settings import Driver, Smoothing
from models.video_retalking.steps import COEFFICIENTS as N_COEFFICIENTS
from models.video_retalking.steps import WINDOW, WINDOW_COEFFICIENTS, coefficient_windows
from stores.artifacts.artifact import Artifact
from stores.artifacts.schema import ArraySpec, Schema
from stores.artifacts.source import Source
from stores.media.read import FrameReader
from tasks.engine.stage import Blocks, Shard, stage
from tasks.source.fitted import fit_face
from tasks.source.landmarks import load_upright
from tasks.source.landmarks68 import landmarks68 as fan_points
from tasks.source.pictures import PIXEL_SHARD, boxed_faces, marks
from tasks.source.seen import Seen
from tasks.source.timeline import load_timeline
from tasks.weights.networks import find_weights, weights_of

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]

SMOOTHED_S = 0.36
"""Window over which landmarks are smoothed: 9 frames at 25 a second."""

FAN = "fan_2dfan4"
_FIT = FitSettings.model_validate({"mode": "mesh"})

LEAST_SIDE = 8
"""A face whose cut is smaller cannot be seen [px]."""

_CUT = boxed_faces("vrt_cut", FACE_SIDE, "Faces as D-Net takes them, one row per source frame.")
VRT_CUT = replace(
    _CUT,
    arrays={
        **_CUT.arrays,
        "landmarks": ArraySpec(
            ("frame", "point", "xy"),
            "float32",
            "px",
            "iBUG's 68 points in the cut; zeros where invalid",
            shard=PIXEL_SHARD,
        ),
    },
    sizes={**_CUT.sizes, "point": 68, "xy": 2},
)

COEFFICIENTS = Schema(
    "coefficients",
    {
        "coefficients": ArraySpec(
            ("frame", "coefficient"),
            "float32",
            doc="identity 80, expression 64, texture 80, angles 3, light 27, translation 3; width, "
            "height, scale, x and y of the face in the cut; zeros where invalid",
            shard=PIXEL_SHARD,
        ),
        "valid": marks("there is a face"),
    },
    {"coefficient": N_COEFFICIENTS},
    "Faces in numbers, as D-Net takes them.",
)


@stage(VRT_CUT, version=1, rows="timeline")
def vrt_cut(
    video: Source,
    timeline: Artifact,
    *,
    landmarks: Artifact,
    landmarks68: Artifact | None,
    smoothing: Smoothing,
    shards: Sequence[Shard],
) -> Blocks:
    """Cut each scene where its first face is, and mark the face in the cut.

    Args:
        landmarks68: Points of FAN; None takes those of the mesh.
        smoothing: Of the points, by a local parabola over 0.36 s within a scene.
    """
    import cv2

    clip = load_timeline(timeline)
    seen, rate = landmarks.read("valid") & load_upright(landmarks), float(clip.video.rate)
    margin = int(np.ceil(SMOOTHED_S * rate)) + 1

    def points(start: int, stop: int) -> Floats:
        if landmarks68 is not None:
            return landmarks68.read("landmarks", start, stop)
        return landmarks.read("landmarks", start, stop)[:, list(LANDMARKS), :2]

    reader = FrameReader(video.path, clip)
    for shard in shards:
        start, stop = max(0, shard.start - margin), min(len(seen), shard.stop + margin)
        found = points(start, stop)
        if smoothing == "savgol":
            found = smooth_landmarks(
                found,
                seen[start:stop],
                scene_start=clip.scene_start[start:stop],
                frame_rate_hz=rate,
                window_s=SMOOTHED_S,
            )
        found = found[shard.start - start :][: shard.stop - shard.start]
        boxes = np.zeros((len(found), 4), np.int64)
        first = first_rows(seen, clip.scene_start)[shard.start : shard.stop]
        for row in np.unique(first[first >= 0]):
            (face,) = points(row, row + 1)
            boxes[first == row] = scene_box(face, (clip.video.width, clip.video.height))
        valid = seen[shard.start : shard.stop]
        valid = valid & (boxes[:, 2:] - boxes[:, :2] >= LEAST_SIDE).all(1)
        boxes[~valid] = 0
        faces = np.zeros((len(boxes), FACE_SIDE, FACE_SIDE, 3), np.uint8)
        for row, frame in enumerate(reader.read(shard.start, shard.stop)):
            if valid[row]:
                cut = frame.crop_rgb(*boxes[row].tolist())
                faces[row] = cv2.resize(cut, (FACE_SIDE, FACE_SIDE))[..., ::-1]
        zoom = FACE_SIDE / np.maximum(boxes[:, 2:] - boxes[:, :2], 1)
        found = (found - boxes[:, None, :2]) * zoom[:, None] * valid[:, None, None]
        yield {
            "face": faces,
            "box": boxes,
            "landmarks": found.astype(np.float32),
            "valid": valid,
        }


def first_rows(valid: NDArray[np.bool_], scene_start: NDArray[np.bool_]) -> Ints:
    """For each frame the first valid one of its scene (frame,); -1 where there is none."""
    scene = np.cumsum(scene_start)
    rows = np.flatnonzero(valid)
    scenes, at = np.unique(scene[rows], return_index=True)
    found = np.full(scene.max(initial=0) + 1, -1)
    found[scenes] = rows[at]
    return np.asarray(found[scene], np.int64)


def face_numbers(
    seen: Seen,
    *,
    driver: Driver,
    landmarks: Literal["mesh", "fan"] = "mesh",
    smoothing: Smoothing = "savgol",
    weights: str = "vrt_face3d",
) -> tuple[Artifact, Artifact]:
    """Each face's cut, and the face in numbers: artifacts `vrt_cut` and `coefficients`.

    Args:
        seen: The video.
        driver: Whose coefficients D-Net knows.
        landmarks: mesh: of the face mesh; fan: of face-alignment.
        smoothing: Of the landmarks.
        weights: Of Deep3D's network, if it is the driver.

    Raises:
        MissingWeights: those of a network are missing; says where to get them.
    """
    points = fan_points(seen, weights=find_weights(FAN)) if landmarks == "fan" else None
    cut = vrt_cut(seen, landmarks68=points, smoothing=smoothing)
    if driver == "mesh":
        face = fit_face(seen, _FIT)
        return cut, vrt_fitted_coefficients(cut, face.fit, person=face.person)
    return cut, vrt_coefficients(cut, weights=weights_of(weights, "deep3d_recon_resnet50"))


def run_windows(
    coefficients: Artifact, runs: Sequence[tuple[int, int]], start: int, stop: int
) -> Floats:
    """D-Net's input for the rows [start, stop) that have a face (row, 73, 26).

    Args:
        coefficients: Of the whole video.
        runs: Stretches of rows with a face, of `valid_runs`; none sees what is beyond its ends.
        start: First row.
        stop: Row after the last.
    """

    def windows() -> Iterator[Floats]:
        yield np.zeros((0, WINDOW_COEFFICIENTS, WINDOW[1] - WINDOW[0]), np.float32)
        for first, end in runs:
            low, high = max(first, start), min(end, stop)
            if low < high:
                begin = max(first, low + WINDOW[0])
                part = coefficients.read("coefficients", begin, min(end, high + WINDOW[1]))
                yield coefficient_windows(part, np.arange(low, high) - begin)

    return np.concatenate(list(windows()))


def _upwards(landmarks: Floats) -> NDArray[np.float64]:
    """Points (68, 2) of a cut as Deep3D counts them: pixel centres on integers, y up."""
    centred = landmarks.astype(np.float64) - 0.5
    return np.stack([centred[:, 0], FACE_SIDE - 1 - centred[:, 1]], 1)


@stage(COEFFICIENTS, version=1, rows="cut", network=True)
def vrt_coefficients(cut: Artifact, *, weights: Artifact, shards: Sequence[Shard]) -> Blocks:
    """What Deep3D's network says of each face, and how the face lies in its cut.

    Args:
        weights: Of the network.
    """
    from tasks.inference.shared import network_runner
    from tasks.source.regressed import RegressorOfBytes

    valid = cut.read("valid")
    lying: deque[NDArray[np.float64]] = deque()  # in their cuts, of faces on their way

    def squares(shard: Shard) -> tuple[NDArray[np.uint8]]:
        rows = np.flatnonzero(valid[shard.start : shard.stop])
        faces = cut.read("face", shard.start, shard.stop)[rows][..., ::-1]
        points = cut.read("landmarks", shard.start, shard.stop)[rows]
        found = [align(face, _upwards(p)) for face, p in zip(faces, points, strict=True)]
        lying.append(np.stack([each.transform for each in found]))
        return (np.stack([each.image for each in found]),)

    runner = network_runner("vrt_coefficients", weights, RegressorOfBytes)
    filled = (shard for shard in shards if valid[shard.start : shard.stop].any())
    made = runner.map(map(squares, filled))
    for shard in shards:
        inside = valid[shard.start : shard.stop]
        coefficients = np.zeros((len(inside), N_COEFFICIENTS), np.float32)
        if inside.any():
            said = next(made)
            coefficients[inside] = np.concatenate([said, lying.popleft()], 1)
        yield {"coefficients": coefficients, "valid": inside}


@stage(COEFFICIENTS, version=1, rows="cut")
def vrt_fitted_coefficients(
    cut: Artifact, fit: Artifact, *, person: Artifact, shards: Sequence[Shard]
) -> Blocks:
    """The fit of the face model in the same numbers, for a D-Net that was trained on such.

    Args:
        fit: Of `face_fit`.
        person: Of `face_fit_person`.
    """
    alpha, beta = person.read("alpha"), person.read("beta")
    for shard in shards:
        rows = (shard.start, shard.stop)
        valid = cut.read("valid", *rows) & fit.read("valid", *rows)
        points = cut.read("landmarks", *rows)
        delta, rotation, gamma, translation = (
            fit.read(name, *rows) for name in ("delta", "rotation", "gamma", "translation")
        )
        coefficients = np.zeros((len(valid), N_COEFFICIENTS), np.float32)
        for row in np.flatnonzero(valid):
            size, x, y = orthographic_pose(five_points(_upwards(points[row])), STANDARD_POINTS)
            lies = np.array([FACE_SIDE, FACE_SIDE, FACE_SIZE_PX / size, x, y], np.float32)
            face = (alpha, delta[row], beta, rotation[row], gamma[row], translation[row], lies)
            coefficients[row] = np.concatenate(face)
        yield {"coefficients": coefficients, "valid": valid}
