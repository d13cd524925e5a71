"""When each frame is shown, where scenes change, and what the stream is: found by decoding."""

from collections.abc import Callable

from stores.artifacts.artifact import Artifact
from stores.artifacts.schema import ArraySpec, Schema
from stores.artifacts.source import Source
from stores.media.scanning import scan
from stores.media.source import MAX_SECONDS
from stores.media.timeline import Timeline
from tasks.engine.stage import Made, stage
from tasks.source.span import Span

TIMELINE = Schema(
    "timeline",
    {
        "pts": ArraySpec(
            ("frame",), "int64", "time_base ticks", "presentation time", chunk=4096, shard=65536
        ),
        "decoded_pts": ArraySpec(
            ("frame",),
            "int64",
            "time_base ticks",
            "as the decoder gives it",
            chunk=4096,
            shard=65536,
        ),
        "keyframe": ArraySpec(
            ("frame",), "bool", doc="can be decoded alone", chunk=4096, shard=65536
        ),
        "scene_start": ArraySpec(
            ("frame",), "bool", doc="first frame after a cut", chunk=4096, shard=65536
        ),
    },
    {},
    "The source video's frames in presentation order; attributes hold the stream's facts.",
)


@stage(TIMELINE, version=5)
def timeline(video: Source, *, part: Span | None = None, progress: Callable[[int], None]) -> Made:
    """Decode the whole video once, or a part of it.

    Args:
        part: What is read; None: the whole. Time 0 of what is made from a part
            is the part's first frame.

    Raises:
        MediaError: it can't be decoded from the first to the last frame.
    """
    done = 0

    def advance(frames: int) -> None:
        nonlocal done
        progress(frames - done)
        done = frames

    wanted = None
    if part is not None:
        wanted = (part.start, MAX_SECONDS if part.stop is None else part.stop)
    arrays, attributes = scan(video.path, part=wanted, progress=advance).to_record()
    return Made(arrays, attributes)


def load_timeline(artifact: Artifact) -> Timeline:
    """The timeline that the stage stored."""
    arrays = {name: artifact.read(name) for name in TIMELINE.arrays}
    return Timeline.from_record(arrays, artifact.attributes)
