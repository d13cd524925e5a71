"""The picture of a dub, read from its `composite` artifact."""

from collections.abc import Iterator

import numpy as np
import zarr
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from stores.artifacts.artifact import Artifact
from stores.media.encode import Segment
from stores.media.facts import VideoFacts
from stores.media.frame import Frame
from stores.media.read import made_frames
from stores.media.segment import encoded_facts, segment_frames
from stores.media.settings import EncodeSettings


class Composed:
    """The picture of a dub, from the segments that were stored of it.

    Args:
        composite: The artifact.
        video: Facts of the source's pictures.
        pts: When each frame is shown [ticks].
    """

    def __init__(self, composite: Artifact, video: VideoFacts, pts: NDArray[np.int64]) -> None:
        settings = EncodeSettings(**composite.manifest.parameters["encode"])
        self._composite, self._pts = composite, pts
        self._facts = encoded_facts(video, settings)
        self._segment: tuple[int, Segment] | None = None
        self._rows = segment_rows(composite)

    def frames(self, start: int) -> Iterator[Frame]:
        """Those from `start` to the end.

        Raises:
            StoreError: the artifact is damaged.
        """
        return made_frames(self._stored, self._facts, self._pts, start, len(self._pts))

    def close(self) -> None:
        """Forget the segment that was read last."""
        self._segment = None

    def _stored(self, first: int, last: int) -> Iterator[VideoFrame]:
        for shard in range(first // self._rows, -(-last // self._rows)):
            start = shard * self._rows
            yield from segment_frames(self._load(shard), max(0, first - start))

    def _load(self, shard: int) -> Segment:
        kept = self._segment
        if kept is None or kept[0] != shard:
            of, rows = self._composite, (shard * self._rows, (shard + 1) * self._rows)
            segment = Segment(
                payload=of.read_ragged("payload", shard),
                size=of.read("size", *rows),
                order=of.read("order", *rows),
                keyframe=of.read("keyframe", *rows),
                extradata=of.read_ragged("extradata", shard).tobytes(),
                codec=of.attributes["codec"],
            )
            self._segment = kept = shard, segment
        return kept[1]


def segment_rows(composite: Artifact) -> int:
    """How many frames a segment has, the last one left out."""
    array = composite.group["size"]
    assert isinstance(array, zarr.Array) and array.shards
    return array.shards[0]
