"""The target's face, small, and the expressions of the mouths that a teacher gave it."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from models.deep3d.basis import N_EXPRESSION
from models.deep3d.geometry import euler_rotation
from models.face_basis.own import N_POINTS
from models.face_fit.coefficients import Coefficients
from models.face_fit.mesh import Placed
from models.face_fit.photometric import landmark_error
from models.faces.blend import blend
from models.faces.crop.recast import between
from stores.artifacts.artifact import Artifact
from stores.artifacts.schema import ArraySpec, Schema
from stores.artifacts.source import Source
from stores.errors import InputError
from stores.media.read import FrameReader
from tasks.engine.stage import Blocks, Plan, Shard, stage
from tasks.inference.threads import one_thread
from tasks.methods.meta_talk_faces import load_fit
from tasks.result.composite import rendered_rows
from tasks.source.area import crop_of
from tasks.source.face_basis import own_basis_key
from tasks.source.face_fit import MAX_ERROR_PX
from tasks.source.fitting import fitted_model
from tasks.source.mesh_detector import (
    MESH_SIZE,
    REGION_MARGIN,
    MeshNetwork,
    mesh_network,
    mesh_region,
)
from tasks.source.pictures import PIXEL_SHARD, TRANSFORM, marks, pictures
from tasks.source.timeline import load_timeline

_MIN_PRESENCE = 0.5
"""Score (0..1) of the mesh network under which there is no face."""

PSEUDO_FACES = Schema(
    "pseudo_faces",
    {
        "face": pictures("y", "x", "rgb", doc="RGB 0..255; zeros where invalid"),
        "transform": TRANSFORM,
        "valid": marks("there is a face"),
    },
    {"rgb": 3, "row": 2, "column": 3},
    "Small squares about the face as the mesh network takes them, one row per source frame.",
)

PSEUDO_EXPRESSION = Schema(
    "pseudo_expression",
    {
        "delta": ArraySpec(
            ("frame", "expression"),
            "float32",
            "standard deviations",
            "expression of the made face; zeros where invalid",
            shard=PIXEL_SHARD,
        ),
        "landmark_error": ArraySpec(
            ("frame",),
            "float32",
            "px",
            "of 256: mean distance of the 68 points; 0 where invalid",
            shard=PIXEL_SHARD,
        ),
        "valid": marks("a mouth was made, and the model fits the face with it"),
    },
    {"expression": N_EXPRESSION},
    "Expressions of dubbed faces, one row per output frame, in the light and pose of their frames.",
)


def _plan_faces(face_px: int) -> Plan:
    side = round(REGION_MARGIN * face_px)
    return Plan(sizes={"y": side, "x": side})


@stage(PSEUDO_FACES, version=1, rows="timeline", plan=_plan_faces)
def pseudo_faces(
    video: Source,
    timeline: Artifact,
    *,
    landmarks: Artifact,
    face_px: int,
    shards: Sequence[Shard],
) -> Blocks:
    """Cut the face out of every frame, for any speech that it will be given.

    Args:
        face_px: Height of the face.
    """
    clip, side = load_timeline(timeline), round(REGION_MARGIN * face_px)
    reader = FrameReader(video.path, clip)
    for shard in shards:
        meshes = landmarks.read("landmarks", shard.start, shard.stop)
        valid = landmarks.read("valid", shard.start, shard.stop)
        transform = np.zeros((len(valid), 2, 3), np.float32)
        for at in np.flatnonzero(valid):
            region = cv2.invertAffineTransform(mesh_region(meshes[at]))
            transform[at] = region * (side / MESH_SIZE)
        face = np.zeros((len(valid), side, side, 3), np.uint8)
        for row, frame in enumerate(reader.read(shard.start, shard.stop)):
            if valid[row]:
                face[row] = crop_of(frame, transform[row], side)
        yield {"face": face, "transform": transform, "valid": valid}


def _plan(person: Artifact) -> Plan:
    if person.attributes["basis_key"] != own_basis_key():
        raise InputError(
            "pseudo labels need a face that was fitted with the basis own; fit it again with it"
        )
    return Plan(attributes=dict(person.attributes))


@stage(PSEUDO_EXPRESSION, version=2, rows="output_frames", plan=_plan)
def pseudo_expression(
    person: Artifact,
    fit: Artifact,
    *,
    faces: Artifact,
    render: Artifact,
    output_frames: Artifact,
    shards: Sequence[Shard],
) -> Blocks:
    """Put the new mouths into the small faces, and fit the expression alone.

    Args:
        person: A `face_fit_person`, with the own basis.
        fit: The `face_fit` of the target: light and pose of each frame.
        faces: `pseudo_faces` of the target.
        render: Of the teacher.

    Raises:
        InputError: the face was fitted with another basis.
    """
    one_thread()
    source = output_frames.read("source_frame")
    usable = (fit.read("valid") & faces.read("valid"))[source]
    frames = load_fit(person, fit, np.arange(fit.sizes["frame"]))
    to_fit = fit.read("transform")
    with closing(mesh_network()) as network:
        for shard in shards:
            rows = source[shard.start : shard.stop]
            points = np.zeros((len(rows), N_POINTS, 2), np.float32)
            seen = np.zeros(len(rows), bool)
            squares = faces.read_rows("transform", rows)
            for row, face in _made(faces, render, rows, shard, usable):
                found = _mesh(network, face)
                if found is not None:
                    there = between(squares[row], to_fit[rows[row]])
                    points[row] = found @ there[:, :2].T + there[:, 2]
                    seen[row] = True
            yield _fitted(points, seen, frames.at(torch.from_numpy(rows)))


def _made(
    faces: Artifact,
    render: Artifact,
    rows: NDArray[np.int64],
    shard: Shard,
    usable: NDArray[np.bool_],
) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """Place in the shard and picture (side, side, 3) RGB of each face that got a new mouth."""
    own, squares = faces.read_rows("face", rows), faces.read_rows("transform", rows)
    for row, (mouth, transform, valid) in enumerate(rendered_rows(render, shard)):
        if valid and usable[shard.start + row]:
            new = blend([own[row]], mouth, transform=between(squares[row], transform))
            yield row, own[row] if new is None else new.onto(own[row])


def _mesh(network: MeshNetwork, face: NDArray[np.uint8]) -> NDArray[np.float32] | None:
    """Points (N_POINTS, 2) of a face (side, side, 3) [its px]; None if there is none."""
    large = cv2.resize(face, (MESH_SIZE, MESH_SIZE), interpolation=cv2.INTER_CUBIC)
    points, score = network(np.asarray(large, np.uint8))
    if score < _MIN_PRESENCE:
        return None
    return np.asarray(points[:N_POINTS, :2] * np.float32(len(face) / MESH_SIZE))


def _fitted(
    points: NDArray[np.float32], seen: NDArray[np.bool_], frames: Coefficients
) -> dict[str, NDArray[np.generic]]:
    """Arrays of the schema.

    Args:
        points: (row, N_POINTS, 2) [px of 256].
        seen: Which rows have any.
        frames: Light and pose of each row.
    """
    at = np.flatnonzero(seen)
    own, there = frames.at(torch.from_numpy(at)), torch.from_numpy(points[at])
    placed = Placed(euler_rotation(own.rotation), own.translation, torch.zeros_like(own.delta))
    face = fitted_model("own")
    found = replace(own, delta=face.by_mesh.expression(there, placed, own.alpha))
    error = landmark_error(face.model, found, there[:, face.model.landmarks]).numpy()
    fits = error <= MAX_ERROR_PX  # false for NaN
    out = {
        "delta": np.zeros((len(seen), N_EXPRESSION), np.float32),
        "landmark_error": np.zeros(len(seen), np.float32),
        "valid": np.zeros(len(seen), bool),
    }
    out["delta"][at[fits]] = found.delta.numpy()[fits]
    out["landmark_error"][at[fits]] = error[fits]
    out["valid"][at[fits]] = True
    return out
