"""IP-LAP's first half: faces and references as it takes them, and the landmarks speech asks for."""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from models.ip_lap.boxes import face_boxes, to_box, whole_boxes
from models.ip_lap.landmarks import FULL, POSE
from models.ip_lap.references import choose_references, lip_distance, reference_count
from models.ip_lap.settings import IpLapCropSettings, References
from models.ip_lap.sketch import SIZE
from models.ip_lap.windows import (
    MIDDLE,
    REFERENCES,
    TICKS_PER_SECOND,
    WINDOW,
    face_runs,
    mel_windows,
    pose_windows,
)
from stores.artifacts.artifact import Artifact
from stores.artifacts.schema import ArraySpec, Schema
from stores.artifacts.source import Source
from stores.media.read import FrameReader
from tasks.engine.device_settings import Precision
from tasks.engine.stage import Blocks, Made, Shard, stage
from tasks.result.output_frames import scene_starts
from tasks.source.landmarks import load_upright
from tasks.source.pictures import boxed_faces
from tasks.source.timeline import load_timeline

if TYPE_CHECKING:
    from torch import nn

    from models.ip_lap.landmark_generator import LandmarkGenerator
    from tasks.inference.runner import Runner

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

LEAST_SIDE = 8
"""A face whose box is smaller cannot be seen [px]."""

MOTION_TOLERANCE = 0.01
"""Root mean square difference from float32 that half precision may make [share of the box]."""

IP_LAP_CROPS = boxed_faces(
    "ip_lap_crops", SIZE, "Faces as IP-LAP takes them, one row per source frame."
)

IP_LAP_REFERENCES = Schema(
    "ip_lap_references",
    {
        "landmarks": ArraySpec(("shape",), "int64", "", "source frames, mouth closed to open"),
        "images": ArraySpec(("image",), "int64", "", "source frames, mouth closed to open"),
    },
    {"shape": REFERENCES},
    "Which frames show the networks the person.",
)

IP_LAP_MOTION = Schema(
    "ip_lap_motion",
    {
        "landmarks": ArraySpec(
            ("frame", "tick", "xy", "point"),
            "float32",
            "share of the box",
            "own pose and predicted jaw and lips around each frame; zeros where invalid",
        ),
        "box_size": ArraySpec(
            ("frame", "tick", "extent"), "int64", "px", "height and width of the nearest box"
        ),
        "valid": ArraySpec(("frame",), "bool", "", "there is a face"),
    },
    {"tick": WINDOW, "xy": 2, "point": len(FULL), "extent": 2},
    "Landmarks that the new speech asks for, five ticks of 25 Hz around each output frame.",
)


@stage(IP_LAP_CROPS, version=2, rows="timeline")
def ip_lap_crops(
    video: Source,
    timeline: Artifact,
    *,
    landmarks: Artifact,
    settings: IpLapCropSettings,
    shards: Sequence[Shard],
) -> Blocks:
    """Box each face by its landmarks, and scale it to 128 x 128."""
    clip = load_timeline(timeline)
    size = (clip.video.height, clip.video.width)
    reader = FrameReader(video.path, clip)
    for shard in shards:
        points = landmarks.read("landmarks", shard.start, shard.stop)[:, list(FULL)]
        boxes = whole_boxes(face_boxes(points, pad=settings.pad), size)
        valid = landmarks.read("valid", shard.start, shard.stop)
        valid &= load_upright(landmarks, shard.start, shard.stop)
        valid &= (boxes[:, 2:] - boxes[:, :2] >= LEAST_SIDE).all(1)
        boxes[~valid] = 0
        faces = np.zeros((len(boxes), SIZE, SIZE, 3), np.uint8)
        for row, frame in enumerate(reader.read(shard.start, shard.stop)):
            if valid[row]:
                faces[row] = cv2.resize(frame.crop_rgb(*boxes[row].tolist()), (SIZE, SIZE))
        yield {"face": faces[..., ::-1].copy(), "box": boxes, "valid": valid}


@stage(IP_LAP_REFERENCES, version=1)
def ip_lap_references(
    crops: Artifact, landmarks: Artifact, *, visibility: Artifact, images: References
) -> Made:
    """Choose reference frames by how far the lips are open, among those whose mouth is free."""
    valid = crops.read("valid")
    free = valid & visibility.read("free")
    usable = next((each for each in (free, valid) if each.any()), np.ones_like(valid))
    distance = lip_distance(landmarks.read("mouth"))
    count = reference_count(images, int(usable.sum()))
    return Made(
        {
            "landmarks": choose_references(distance, usable, REFERENCES),
            "images": choose_references(distance, usable, count),
        }
    )


@stage(IP_LAP_MOTION, version=2, rows="output_frames", network=True)
def ip_lap_motion(
    crops: Artifact,
    references: Artifact,
    *,
    mel: Artifact,
    landmarks: Artifact,
    timeline: Artifact,
    output_frames: Artifact,
    weights: Artifact,
    precision: Precision,
    shards: Sequence[Shard],
) -> Blocks:
    """Predict jaw and lips from speech and pose, for five ticks around each frame.

    Args:
        weights: Of the landmark generator.
    """
    columns = mel.read("mel")
    shown = _Shown.of(timeline, output_frames)
    waiting: deque[tuple[Floats, Ints, Bools]] = deque()

    def inputs(shard: Shard) -> tuple[Floats, Floats]:
        poses = _poses(shard, shown, crops, landmarks)
        waiting.append(poses)
        heard = mel_windows(columns, shown.pts[shard.start : shard.stop], shown.time_base)
        return heard, poses[0][..., : len(POSE)]

    def apart(rows: Ints) -> list[Floats]:
        blocks = zip(*(inputs(Shard(0, row, row + 1)) for row in map(int, rows)), strict=True)
        waiting.clear()
        return [np.concatenate(each) for each in blocks]

    usable = crops.read("valid")[shown.source]
    talker = _runner(weights, crops, references, landmarks, precision, usable, apart)
    for content in talker.map(map(inputs, shards)):
        windows, sizes, valid = waiting.popleft()
        windows[..., len(POSE) :] = content * valid[:, None, None, None]
        yield {"landmarks": windows, "box_size": sizes, "valid": valid}


@dataclass(frozen=True)
class _Shown:
    """What the output shows when.

    Attributes:
        source: (frame,) source frames.
        pts: (frame,) times [time_base].
        time_base: Seconds per tick.
        scene_start: (frame,) cuts of the output.
    """

    source: Ints
    pts: Ints
    time_base: Fraction
    scene_start: Bools

    @classmethod
    def of(cls, timeline: Artifact, output_frames: Artifact) -> "_Shown":
        clip, source = load_timeline(timeline), output_frames.read("source_frame")
        starts = scene_starts(clip.scene_start, source)
        return cls(source, output_frames.read("pts"), clip.time_base, starts)

    def around(self, shard: Shard) -> slice:
        """The shard's frames, and those that its windows reach."""
        reach = Fraction(MIDDLE, TICKS_PER_SECOND) / self.time_base
        first = np.searchsorted(self.pts, self.pts[shard.start] - float(reach), side="right") - 1
        last = np.searchsorted(self.pts, self.pts[shard.stop - 1] + float(reach))
        return slice(max(int(first), 0), int(last) + 1)


def _poses(
    shard: Shard, shown: _Shown, crops: Artifact, landmarks: Artifact
) -> tuple[Floats, Ints, Bools]:
    """Own landmarks (frame, WINDOW, 2, 131), box sizes (frame, WINDOW, 2), and valid (frame,)."""
    part = shown.around(shard)
    rows = shown.source[part]
    boxes, valid = crops.read_rows("box", rows), crops.read_rows("valid", rows)
    points = to_box(landmarks.read_rows("landmarks", rows)[:, list(FULL)], boxes)
    windows, sizes = pose_windows(
        points,
        (boxes[:, 2:] - boxes[:, :2])[:, ::-1],
        shown.pts[part] * float(shown.time_base),
        run=face_runs(valid, shown.scene_start[part]),
    )
    own = slice(shard.start - part.start, shard.stop - part.start)
    return np.ascontiguousarray(windows[own].swapaxes(2, 3)), sizes[own], valid[own]


def _runner(
    weights: Artifact,
    crops: Artifact,
    references: Artifact,
    landmarks: Artifact,
    precision: Precision,
    usable: Bools,
    block: Callable[[Ints], list[Floats]],
) -> "Runner":
    """The landmark generator with this person's references."""
    import torch

    from models.ip_lap.speaker import Talker
    from tasks.inference.shared import network_runner

    def with_references(generator: "nn.Module") -> Talker:
        points = reference_points(references.read("landmarks"), crops, landmarks)
        return Talker(cast("LandmarkGenerator", generator), torch.from_numpy(points))

    return network_runner(
        "ip_lap_motion",
        weights,
        with_references,
        *(crops.key, references.key),
        precision=precision,
        tolerance=MOTION_TOLERANCE,
        usable=usable,
        block=block,
    )


def reference_points(rows: Ints, crops: Artifact, landmarks: Artifact) -> Floats:
    """True landmarks (n, 2, 131) of source frames, as shares of their boxes."""
    points = landmarks.read_rows("landmarks", rows)[:, list(FULL)]
    shares = to_box(points, crops.read_rows("box", rows))
    return np.ascontiguousarray(shares.swapaxes(1, 2))
