"""The marks of origin that a media file's sound and picture bear, whoever made or re-encoded it."""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from models.faces.crop.crop import crop_transforms
from models.faces.mesh.align import estimate_pose
from models.faces.tracks import face_boxes, link_faces
from models.marks.code import Reading, best
from models.marks.picture import SIDE, find_in_picture
from models.marks.sound import DETECTION_HZ, find_in_sound
from stores.errors import MediaError
from stores.media.audio import audio_blocks
from stores.media.frame import Frame, FrameMaker
from stores.media.scanning import ColorTags, video_facts
from stores.media.source import only, open_source, video_stream
from tasks.source.area import crop_of
from tasks.source.faces import DETECTION_SIDE_PX, MAX_FACES
from tasks.source.landmarks import mean_face
from tasks.source.mesh_detector import FaceMeshDetector, FrameView

SOUND_SECONDS = 120.0
"""Of sound that is listened to."""

RUNS, RUN_SECONDS, MAX_RUN_FRAMES = 4, 4.0, 120
"""Parts of a video that are looked at, and how long they are."""


@dataclass(frozen=True)
class _Face:
    """One face in one run of frames."""

    looks: NDArray[np.uint8]
    seconds: NDArray[np.float64]
    size: float


def mark_in_sound(path: Path) -> Reading | None:
    """What the sound says; None if there is no sound that can be read."""
    try:
        blocks = list(audio_blocks(path, rate=DETECTION_HZ, mono=True, stop=SOUND_SECONDS))
    except MediaError:
        return None
    return find_in_sound(np.concatenate(blocks)[:, 0])


def mark_in_picture(path: Path) -> Reading | None:
    """What the mouths say; None if there is no face that can be read."""
    runs = []
    detector = FaceMeshDetector(max_faces=MAX_FACES)
    try:
        for frames in _runs(path):
            detector.reset()
            runs.append(_faces(frames, detector))
    except MediaError:
        return None
    finally:
        detector.close()
    found = []
    for rank in range(max(map(len, runs), default=0)):  # the largest face of each run, and so on
        group = [run[rank] for run in runs if rank < len(run)]
        looks = np.concatenate([face.looks for face in group])
        seconds = np.concatenate([face.seconds for face in group])
        found.append(find_in_picture(looks, seconds, mean_face=mean_face()))
    return best(each for each in found if each is not None)


def _faces(frames: Iterator[Frame], detector: FaceMeshDetector) -> list[_Face]:
    """Faces of one run, largest first."""
    meshes: list[NDArray[np.float32]] = []
    scores: list[NDArray[np.float32]] = []
    looks: list[list[NDArray[np.uint8]]] = []
    seconds: list[float] = []
    for frame in frames:
        view = FrameView(frame, DETECTION_SIDE_PX)
        found, score = detector.detect(view)
        mesh = np.zeros((MAX_FACES, 478, 3), np.float32)
        mesh[: len(found)] = found * view.to_frame[[0, 1, 0]]
        meshes.append(mesh)
        scores.append(np.pad(score, (0, MAX_FACES - len(score))))
        pose = estimate_pose(mesh[: len(found)], mean_face())
        looks.append([_look(frame, each) for each in crop_transforms(pose, size=SIDE)])
        seconds.append(frame.seconds)
    if not meshes:
        return []
    times = np.array(seconds)
    start = np.zeros(len(times), bool)
    tracks = link_faces(
        face_boxes(np.stack(meshes)), np.stack(scores), scene_start=start, time_s=times
    )
    faces = [
        _Face(
            np.stack([looks[f][s] for f, s in zip(track.frames, track.slots, strict=True)]),
            times[track.frames],
            float((track.boxes[:, 2] - track.boxes[:, 0]).sum()),
        )
        for track in tracks
    ]
    return sorted(faces, key=lambda face: -face.size)


def _look(frame: Frame, transform: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Luma of the aligned lower face, to a level."""
    crop = crop_of(frame, transform, SIDE).astype(np.float32)
    return np.asarray(np.rint(crop @ np.array([0.299, 0.587, 0.114], np.float32)), np.uint8)


def _runs(path: Path) -> Iterator[Iterator[Frame]]:
    """Runs of frames, evenly over the video; damage ends one."""
    with open_source(path, strict=False) as container:
        stream = video_stream(container, path)
        length = stream.duration and float(stream.duration * (stream.time_base or 0))
        if not length and container.duration:
            length = container.duration / av.time_base
    places = np.linspace(0, max(0.0, (length or 0) - RUN_SECONDS), RUNS)
    for place in places if (length or 0) > RUNS * RUN_SECONDS else [None]:
        yield _run(path, place)


def _run(path: Path, start: float | None) -> Iterator[Frame]:
    """Frames of RUN_SECONDS from the keyframe before `start` on; None: of all runs, from 0 on."""
    with open_source(path, strict=False) as container:
        stream = video_stream(container, path)
        only(container, stream)
        base = stream.time_base or Fraction(1, 1000)
        seconds, most = RUN_SECONDS, MAX_RUN_FRAMES
        if start is None:
            seconds, most = RUNS * RUN_SECONDS, RUNS * MAX_RUN_FRAMES
        else:
            container.seek(round(start / base) + (stream.start_time or 0), stream=stream)
        maker: FrameMaker | None = None
        first = 0
        try:
            for count, frame in enumerate(container.decode(stream)):
                if maker is None:
                    rate = stream.average_rate or Fraction(25)
                    facts = video_facts(frame, stream, base, rate, ColorTags.declared(stream))
                    maker, first = FrameMaker(facts), frame.pts or 0
                pts = count if frame.pts is None else frame.pts
                if count == most or (pts - first) * base > seconds:
                    return
                planar = maker.planar(frame)
                yield maker.make(planar, planar, index=count, pts=pts)
        except av.error.FFmpegError:
            return
