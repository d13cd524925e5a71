"""Speech about each tick, as AT-net encodes it for AudioDVP."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from stores.artifacts.artifact import Artifact
from stores.artifacts.schema import ArraySpec, Schema
from tasks.engine.stage import Blocks, Shard, stage
from tasks.speech.speech_windows import SHARD, heard, plan_ticks

ATNET_FEATURES = Schema(
    "atnet_features",
    {
        "feature": ArraySpec(
            ("tick", "step", "band"),
            "float16",
            "",
            "of 28 steps of MFCC 1..12 about tick t, from sample 640 t - 1920 on",
            chunk=SHARD // 6,
            shard=SHARD,
        )
    },
    {"step": 1, "band": 256},
    "25 ticks a second, as many numbers for each as `speech_windows` would hold in one step.",
)


@stage(ATNET_FEATURES, version=1, plan=plan_ticks, network=True)
def atnet_features(waveform: Artifact, *, weights: Artifact, shards: Sequence[Shard]) -> Blocks:
    """Encode windows of MFCC about each tick.

    Args:
        weights: `audiodvp_atnet`.
    """
    from models.meta_talk.features import windows
    from tasks.inference.shared import network_runner

    def blocks() -> Iterator[list[NDArray[np.float32]]]:
        for shard in shards:
            yield [windows(heard(waveform, shard), "mfcc12")[:, None]]

    for found in network_runner("atnet_features", weights, lambda network: network).map(blocks()):
        yield {"feature": found.astype(np.float16)}
