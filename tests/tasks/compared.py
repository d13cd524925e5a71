"""What a metric family is given: videos, looked at by the stages that metrics build on."""

from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from stores.artifacts.artifact import Artifact
from stores.artifacts.source import Source
from tasks.metrics.family import Comparison
from tasks.metrics.match import match
from tasks.source.faces import faces
from tasks.source.landmarks import landmarks
from tasks.source.seen import Seen
from tasks.source.timeline import timeline
from tasks.source.track import follow_person
from tasks.speech.waveform import waveform


def seen(video: Path, *, sound: bool = False) -> Seen:
    """A video with its largest face; call it inside an active run."""
    source = Source.of(video)
    clip = timeline(source)
    found = faces(source, clip)
    face = landmarks(found, follow_person(source, clip, found), timeline=clip)
    return Seen(source, clip, face, waveform(source) if sound else None)


def compared(result: Seen, reference: Seen, *, speech: Artifact, paired: bool = True) -> Comparison:
    """A result beside its reference."""
    shown = match(result.timeline, reference.timeline)
    return Comparison(result, reference, shown, speech, paired)


def heard(path: Path) -> Artifact:
    """The waveform of a sound or video file."""
    return waveform(Source.of(path))


def write_frames(
    path: Path, pictures: list[NDArray[np.uint8]], *, rate: int = 25, crf: int = 4
) -> Path:
    """A video (h, w, 3) uint8 RGB of so many frames a second, without sound."""
    height, width = pictures[0].shape[:2]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate, options={"crf": str(crf)})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for picture in pictures:
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def read_pictures(path: Path, *, most: int | None = None) -> list[NDArray[np.uint8]]:
    """Its frames (h, w, 3) uint8 RGB, the first `most` of them."""
    with av.open(str(path)) as container:
        found = []
        for frame in container.decode(video=0):
            if len(found) == most:
                break
            found.append(frame.to_ndarray(format="rgb24"))
    return found
