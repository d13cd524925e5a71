"""Parts of the output's picture put together, so that whoever reads it sees one composite."""

from collections.abc import Sequence

import numpy as np

from stores.artifacts.artifact import Artifact
from stores.artifacts.source import Source
from stores.media.encode import Segment
from stores.media.settings import EncodeSettings
from tasks.engine.stage import Blocks, Shard, stage
from tasks.result.composite import COMPOSITE, load_segments, plan_picture, segment_arrays

SHARD = COMPOSITE.arrays["size"].shard
"""Parts end at every multiple of it, so that none lies in two segments."""


@stage(COMPOSITE, version=1, rows="output_frames", plan=plan_picture)
def joined(
    video: Source,
    timeline: Artifact,
    *,
    output_frames: Artifact,
    parts: tuple[Artifact, ...],
    encode: EncodeSettings,
    shards: Sequence[Shard],
) -> Blocks:
    """Put the packets of all parts one after the other, as they are.

    Args:
        video: That they were made of.
        parts: In the order of showing, of `tasks.result.part`.
        encode: With which they were encoded.
    """
    ends = np.cumsum([part.sizes["frame"] for part in parts])
    for shard in shards:
        first, last = np.searchsorted(ends, [shard.start, shard.stop - 1], side="right")
        yield segment_arrays(_one([s for p in parts[first : last + 1] for s in load_segments(p)]))


def _one(segments: Sequence[Segment]) -> Segment:
    starts = np.cumsum([0, *map(len, segments)])
    return Segment(
        payload=np.concatenate([each.payload for each in segments]),
        size=np.concatenate([each.size for each in segments]),
        order=np.concatenate([s.order + at for s, at in zip(segments, starts, strict=False)]),
        keyframe=np.concatenate([each.keyframe for each in segments]),
        extradata=segments[0].extradata,
        codec=segments[0].codec,
    )
