"""What the neural face renderer learns from: renders of the lower face beside what was filmed."""

from collections import deque
from collections.abc import Iterator, Sequence

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from models.audiodvp.face_model import FaceModel
from models.deep3d.basis import FaceBasis
from models.face_fit.coefficients import MOVING, Coefficients
from models.faces.settings import BlendSettings
from models.meta_talk.hd_crop import crop_side, crop_transforms
from models.meta_talk.lower_face import lower_face, widest
from models.meta_talk.settings import FaceSettings
from stores.artifacts.artifact import Artifact
from stores.artifacts.schema import Schema
from stores.artifacts.source import Source
from stores.media.frame import Frame
from stores.media.read import FrameReader
from tasks.engine.stage import Blocks, Plan, Shard, stage
from tasks.result.composite import composed
from tasks.source.area import crop_of
from tasks.source.face_basis import face_basis
from tasks.source.pictures import TRANSFORM, marks, pictures
from tasks.source.timeline import load_timeline

THUMBNAIL = 32
"""Side of the small renders by which frames are compared [px]."""
_CHUNK = 8
"""Frames read at once: training reads windows of 7 at random."""
_AT_ONCE = 8
"""Frames drawn together."""

META_TALK_FACES = Schema(
    "meta_talk_faces",
    {
        "render": pictures(
            *("y", "x", "rgb"), doc="RGB 0..255, drawn lower face; 0 outside the mask", chunk=_CHUNK
        ),
        "photo": pictures(
            *("y", "x", "rgb"), doc="RGB 0..255, as filmed; 0 outside the mask", chunk=_CHUNK
        ),
        "mask": pictures("y", "x", doc="255 where the lower face may be, else 0", chunk=_CHUNK),
        "lent": pictures(
            *("y", "x", "rgb"),
            doc="RGB 0..255, the frame with a borrowed mouth; 0 outside the mask, and without one",
            chunk=_CHUNK,
        ),
        "thumbnail": pictures("v", "u", "rgb", doc="RGB 0..255, the render, small"),
        "transform": TRANSFORM,
        "valid": marks("there is a fit"),
    },
    {"rgb": 3, "row": 2, "column": 3, "v": THUMBNAIL, "u": THUMBNAIL},
    "Lower faces in the HD crop, one row per source frame; pixel centres on integers + 0.5.",
)


def load_fit(person: Artifact, fit: Artifact, rows: NDArray[np.int64]) -> Coefficients:
    """Coefficients of some source frames."""
    moving = {name: torch.from_numpy(fit.read_rows(name, rows)) for name in MOVING}
    whose = {name: torch.from_numpy(person.read(name)) for name in ("alpha", "beta")}
    return Coefficients(**whose, **moving)


def basis_of(person: Artifact) -> FaceBasis:
    """The basis that a person was fitted with."""
    return face_basis(person.attributes["basis"], person.attributes["basis_key"])


def _plan(person: Artifact, fit: Artifact, settings: FaceSettings) -> Plan:
    valid, side, opened = fit.read("valid"), settings.side, settings.opened
    zoom = settings.zoom
    size = crop_side(fit.read("transform"), valid, zoom) if side == "auto" else side
    told = {
        "side_px": size,
        "zoom": zoom,
        "opened": widest(fit.read("delta"), valid) if opened is None else opened,
        "person": person.key,
        "basis": person.attributes["basis"],
        "basis_key": person.attributes["basis_key"],
    }
    return Plan(sizes={"y": size, "x": size}, attributes=told)


@stage(META_TALK_FACES, version=2, rows="timeline", plan=_plan)
def meta_talk_faces(
    video: Source,
    timeline: Artifact,
    *,
    person: Artifact,
    fit: Artifact,
    lent: Artifact | None = None,
    settings: FaceSettings,
    shards: Sequence[Shard],
) -> Blocks:
    """Draw each frame's lower face, and cut what was filmed out beside it.

    Args:
        person: A `face_fit_person`.
        fit: The `face_fit` of the video.
        lent: A `render` of each of the video's frames, in order; None: nothing is borrowed.
    """
    clip, model = load_timeline(timeline), FaceModel(basis_of(person))
    told = _plan(person, fit, settings).attributes
    side, drawing = told["side_px"], {name: told[name] for name in ("opened", "zoom")}
    reader = FrameReader(video.path, clip)
    for shard in shards:
        size = shard.stop - shard.start
        valid = fit.read("valid", shard.start, shard.stop)
        transform = crop_transforms(
            fit.read("transform", shard.start, shard.stop), side, settings.zoom
        )
        render = np.zeros((size, side, side, 3), np.uint8)
        mask = np.zeros((size, side, side), np.uint8)
        own = load_fit(person, fit, np.arange(shard.start, shard.stop))
        for rows in _parts(np.flatnonzero(valid)):
            drawn = lower_face(model, own.at(torch.from_numpy(rows)), side=side, **drawing)
            levels = (drawn.render * 255).round().byte().permute(0, 2, 3, 1)
            render[rows], mask[rows] = levels.numpy(), drawn.mask[:, 0].byte().numpy() * 255
        photo, borrowed = np.zeros_like(render), np.zeros_like(render)
        shown = mask[..., None] > 0
        frames = _cut(reader.read(shard.start, shard.stop), photo, valid, transform)
        if lent is not None:
            frames = _cut(
                composed(frames, lent, shard, BlendSettings()), borrowed, valid, transform
            )
        deque(frames, maxlen=0)
        photo *= shown
        borrowed *= shown
        yield {
            "render": render,
            "photo": photo,
            "mask": mask,
            "lent": borrowed,
            "thumbnail": np.stack([_thumbnail(each) for each in render]),
            "transform": transform * valid[:, None, None],
            "valid": valid,
        }


def _cut(
    frames: Iterator[Frame],
    crops: NDArray[np.uint8],
    valid: NDArray[np.bool_],
    transform: NDArray[np.float32],
) -> Iterator[Frame]:
    """The frames as they pass, those that are valid cut out into `crops`."""
    for row, frame in enumerate(frames):
        if valid[row]:
            crops[row] = crop_of(frame, transform[row], crops.shape[1])
        yield frame


def _parts(rows: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    for first in range(0, len(rows), _AT_ONCE):
        yield rows[first : first + _AT_ONCE]


def _thumbnail(render: NDArray[np.uint8]) -> NDArray[np.uint8]:
    small = cv2.resize(render, (THUMBNAIL, THUMBNAIL), interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.uint8)
