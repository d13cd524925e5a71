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
from models.faces.smooth import smooth_landmarks, smooth_pose
from models.faces.tracks import face_boxes, link_faces
from models.marks.code import Reading, best
from models.marks.picture import SIDE, find_in_picture
from models.marks.sound import DETECTION_HZ, find_in_sound
from stores.errors import MediaError
from stores.media.audio import audio_blocks
from stores.media.frame import Frame, FrameMaker
from stores.media.source import only, open_source, video_stream
from stores.media.stream_facts import ColorTags, video_facts
from tasks.source.area import crop_of
from tasks.source.faces import DETECTION_SIDE_PX, MAX_FACES
from tasks.source.landmarks import mean_face
from tasks.source.mesh_detector import FaceMeshDetector, FrameView

SOUND_SECONDS = 120.0
"""Of sound that is listened to."""

RUNS, RUN_SECONDS, MAX_RUN_FRAMES = 4, 4.0, 120
"""Parts of a video that are looked at, and how long they are."""


_Transform = NDArray[np.float32]


@dataclass(frozen=True)
class _Face:
    """One face in one run of frames."""

    looks: NDArray[np.uint8]
    seconds: NDArray[np.float64]


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
        for place in _places(path):
            detector.reset()
            persons = _persons(_run(path, place), detector)
            runs.append(_faces(_run(path, place), persons))
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


def _persons(frames: Iterator[Frame], detector: FaceMeshDetector) -> list[dict[int, _Transform]]:
    """Of each face in a run of frames, largest first: frame px → px of the aligned lower face."""
    meshes: list[NDArray[np.float32]] = []
    scores: list[NDArray[np.float32]] = []
    seconds: list[float] = []
    for frame in frames:
        view = FrameView(frame, DETECTION_SIDE_PX)
        found, score = detector.detect(view)
        mesh = np.zeros((MAX_FACES, 478, 3), np.float32)
        mesh[: len(found)] = found * view.to_frame[[0, 1, 0]]
        meshes.append(mesh)
        scores.append(np.pad(score, (0, MAX_FACES - len(score))))
        seconds.append(frame.seconds)
    if not meshes:
        return []
    start, times, seen = np.zeros(len(seconds), bool), np.array(seconds), np.stack(meshes)
    tracks = link_faces(face_boxes(seen), np.stack(scores), scene_start=start, time_s=times)
    persons: list[dict[int, _Transform]] = []
    for track in sorted(tracks, key=lambda track: -float(np.ptp(track.boxes[:, ::2], 1).sum())):
        mesh, valid = np.zeros((len(times), 478, 3), np.float32), np.zeros(len(times), bool)
        mesh[track.frames], valid[track.frames] = seen[track.frames, track.slots], True
        rate = (len(times) - 1) / max(times[-1] - times[0], 1e-3)
        smooth = smooth_landmarks(mesh, valid, scene_start=start, frame_rate_hz=rate)
        pose = estimate_pose(smooth, mean_face())
        pose = smooth_pose(pose, valid, scene_start=start, frame_rate_hz=rate)
        transforms = crop_transforms(pose, size=SIDE)
        person = {int(row): transforms[row] for row in track.frames}
        # Whoever was lost for a while is the one who was seen before.
        before = next((each for each in persons if not person.keys() & each), None)
        if before is None:
            persons.append(person)
        else:
            before.update(person)
    return persons


def _faces(frames: Iterator[Frame], persons: list[dict[int, _Transform]]) -> list[_Face]:
    """What the lower faces of a run look like."""
    looks: list[list[NDArray[np.uint8]]] = [[] for _ in persons]
    seconds: list[list[float]] = [[] for _ in persons]
    for row, frame in enumerate(frames):
        for number, person in enumerate(persons):
            if row in person:
                looks[number].append(_look(frame, person[row]))
                seconds[number].append(frame.seconds)
    return [_Face(np.stack(a), np.array(b)) for a, b in zip(looks, seconds, strict=True) if a]


def _look(frame: Frame, transform: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Luma of the aligned lower face, to a level."""
    crop = crop_of(frame, transform, SIDE).astype(np.float32)
    return np.asarray(np.rint(crop @ np.array([0.299, 0.587, 0.114], np.float32)), np.uint8)


def _places(path: Path) -> list[float | None]:
    """Where the runs of frames begin [s], evenly over the video; None: at its beginning, one run
    as long as all."""
    with open_source(path, strict=False) as container:
        stream = video_stream(container, path)
        length = stream.duration and float(stream.duration * (stream.time_base or 0))
        if not length and container.duration:
            length = container.duration / av.time_base
    if not length or length <= RUNS * RUN_SECONDS:
        return [None]
    return [float(at) for at in np.linspace(0, length - RUN_SECONDS, RUNS)]


def _run(path: Path, start: float | None) -> Iterator[Frame]:
    """Frames of RUN_SECONDS from the keyframe before `start` on; None: of all runs, from 0 on.

    Damage ends them.
    """
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
