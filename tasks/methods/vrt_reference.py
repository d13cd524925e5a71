"""VideoReTalking's reference: every face with the same frozen expression, in its own pose."""

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from models.faces.crop.crop import box_transforms, pixel_matrix
from models.faces.crop.recast import between
from models.faces.smooth import valid_runs
from models.sampling.rows import spread
from models.speech_to_lips.neutral import CLOSED_FRACTION, opening
from models.video_retalking.alignment import FACE_SIDE, face_quads
from models.video_retalking.enet import SIDE
from models.video_retalking.settings import Template
from models.video_retalking.steps import EXPRESSION
from stores.artifacts.artifact import Artifact
from stores.artifacts.schema import ArraySpec, Schema
from stores.errors import InputError
from tasks.engine.device_settings import Precision
from tasks.engine.stage import Blocks, Made, Shard, stage
from tasks.methods.vrt_coefficients import first_rows, run_windows
from tasks.methods.vrt_render import HALF_PRECISION_TOLERANCE
from tasks.source.pictures import boxed_faces, marks, pictures
from tasks.source.timeline import load_timeline

VRT_TEMPLATE = Schema(
    "vrt_template",
    {"expression": ArraySpec(("component",), "float32", "", "what faces are frozen in")},
    {"component": EXPRESSION.stop - EXPRESSION.start},
    "The expression that all frames get.",
)

STABILISED = Schema(
    "stabilised",
    {
        "face": pictures("y", "x", "bgr", doc="BGR 0..255, the cut; zeros where invalid"),
        "valid": marks("there is a face"),
    },
    {"y": FACE_SIDE, "x": FACE_SIDE, "bgr": 3},
    "Faces with a frozen expression, in their cuts.",
)

REFERENCE = boxed_faces("reference", SIDE, "Faces with a frozen expression, in the crops' boxes.")

_MOST_CLOSED_FRAMES = 1000
"""Of those of a video that `person` looks at."""


@stage(VRT_TEMPLATE, version=1)
def vrt_template(
    coefficients: Artifact,
    landmarks: Artifact,
    *,
    template: Template,
    strength: float,
    published: Artifact | None,
    picture: Artifact | None,
) -> Made:
    """The expression that all faces shall have.

    Args:
        template: person: the median of the most closed fifth of the video's frames.
        strength: 0 neutral .. 1 the template.
        published: Weights `vrt_expression`; None takes zeros for neutral.
        picture: `coefficients` of a picture, for the template of that name.

    Raises:
        InputError: there is no face in the picture.
    """
    known = _published(published)
    neutral = known["expression_center"]
    if template == "smile":
        wanted = known["expression_mouth"]
    elif template == "person":
        wanted = _at_rest(coefficients, landmarks)
    elif template == "picture":
        assert picture is not None
        if not picture.read("valid")[0]:
            raise InputError("no face was found in the picture of the template; give another one")
        wanted = picture.read("coefficients", 0, 1)[0, EXPRESSION]
    else:
        wanted = neutral
    return Made({"expression": (neutral + strength * (wanted - neutral)).astype(np.float32)})


def _published(weights: Artifact | None) -> dict[str, NDArray[np.float32]]:
    if weights is None:
        return {"expression_center": np.zeros(VRT_TEMPLATE.sizes["component"], np.float32)}
    from tasks.weights.networks import load_network

    state = load_network(weights).state_dict()
    return {name: tensor[0].numpy() for name, tensor in state.items()}


def _at_rest(coefficients: Artifact, landmarks: Artifact) -> NDArray[np.float32]:
    rows = np.flatnonzero(coefficients.read("valid"))
    gap = opening(landmarks.read("mouth"))[rows]
    closed = np.sort(rows[np.argsort(gap)[: max(1, round(CLOSED_FRACTION * len(rows)))]])
    some = spread(closed, _MOST_CLOSED_FRAMES)
    found = coefficients.read_rows("coefficients", some)[:, EXPRESSION]
    return np.asarray(np.median(found, 0), np.float32)


@stage(STABILISED, version=1, rows="coefficients", network=True)
def vrt_stabilised(
    cut: Artifact,
    coefficients: Artifact,
    *,
    timeline: Artifact,
    template: Artifact,
    one_shot: bool,
    weights: Artifact,
    precision: Precision,
    shards: Sequence[Shard],
) -> Blocks:
    """Give each face the template's expression, in its own pose.

    Args:
        template: Of `vrt_template`.
        one_shot: Warp the first face of the scene, and not each frame's own.
        weights: Of D-Net.
    """
    from models.video_retalking.speaker import Stabiliser
    from tasks.inference.shared import network_runner

    valid, starts = coefficients.read("valid"), load_timeline(timeline).scene_start
    runs, first = valid_runs(valid, starts), first_rows(valid, starts)
    expression = template.read("expression")

    def inputs(start: int, stop: int) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        rows = np.flatnonzero(valid[start:stop]) + start
        faces = cut.read_rows("face", first[rows] if one_shot else rows)
        windows = run_windows(coefficients, runs, start, stop)
        windows[:, : len(expression)] = expression[:, None]
        return faces, windows

    def apart(rows: NDArray[np.int64]) -> tuple[NDArray[Any], ...]:
        several = [inputs(row, row + 1) for row in rows.tolist()]
        return tuple(np.concatenate(each) for each in zip(*several, strict=True))

    runner = network_runner(
        "vrt_stabilised",
        weights,
        Stabiliser,
        precision=precision,
        tolerance=HALF_PRECISION_TOLERANCE,
        usable=valid,
        block=apart,
    )
    filled = (shard for shard in shards if valid[shard.start : shard.stop].any())
    made = runner.map(inputs(shard.start, shard.stop) for shard in filled)
    for shard in shards:
        inside = valid[shard.start : shard.stop]
        faces = np.zeros((len(inside), FACE_SIDE, FACE_SIDE, 3), np.uint8)
        if inside.any():
            faces[inside] = next(made)
        yield {"face": faces, "valid": inside}


@stage(REFERENCE, version=1, rows="crops")
def vrt_reference(
    crops: Artifact, stabilised: Artifact, *, cut: Artifact, shards: Sequence[Shard]
) -> Blocks:
    """Each crop with its stabilised face in the upright square around eyes and mouth."""
    for shard in shards:
        rows = (shard.start, shard.stop)
        valid = crops.read("valid", *rows) & stabilised.read("valid", *rows)
        boxes, faces = crops.read("box", *rows), crops.read("face", *rows)
        to_crop = box_transforms(boxes, valid, size=SIDE)
        to_cut = box_transforms(cut.read("box", *rows), valid, size=FACE_SIDE)
        quads = face_quads(cut.read("landmarks", *rows)[valid] - np.float32(0.5)) + 0.5
        frozen = stabilised.read("face", *rows)
        for row, quad in zip(np.flatnonzero(valid), quads, strict=True):
            _put(faces[row], frozen[row], quad, between(to_cut[row], to_crop[row]))
        faces[~valid], boxes[~valid] = 0, 0
        yield {"face": faces, "box": boxes, "valid": valid}


def _put(
    crop: NDArray[np.uint8],
    face: NDArray[np.uint8],
    quad: NDArray[np.floating[Any]],
    transform: NDArray[np.float32],
) -> None:
    """Write what the quad holds of the cut into the crop.

    Args:
        quad: (4, 2) px of the cut.
        transform: (2, 3) px of the cut → px of the crop.
    """
    size, whole = (SIDE, SIDE), np.ones(face.shape[:2], np.uint8)
    matrix = pixel_matrix(transform)
    seen = cv2.warpAffine(face, matrix, size, borderMode=cv2.BORDER_REPLICATE)
    corners = quad @ transform[:, :2].T + transform[:, 2]
    inside = np.zeros(size, np.uint8)
    cv2.fillConvexPoly(inside, np.round(corners * 16 - 8).astype(np.int32), (1,), shift=4)
    covered = cv2.warpAffine(whole, matrix, size, flags=cv2.INTER_NEAREST)
    cv2.copyTo(seen, inside & np.asarray(covered, np.uint8), crop)
