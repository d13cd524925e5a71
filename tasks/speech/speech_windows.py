"""Speech about each tick, as Meta Talk's network from speech to expression hears it."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from stores.artifacts.artifact import Artifact
from stores.artifacts.schema import ArraySpec, Schema
from tasks.engine.stage import Blocks, Plan, Shard, stage

SHARD = 1500
"""Ticks: a minute."""

SPEECH_WINDOWS = Schema(
    "speech_windows",
    {
        "feature": ArraySpec(
            ("tick", "step", "band"),
            "float16",
            "",
            "28 steps of 10 ms about tick t, from sample 640 t - 1920 on: 80 cepstra, the first "
            "the log energy (mfcc80), or log energies of 80 mel bands (logmel80)",
            chunk=SHARD // 6,
            shard=SHARD,
        )
    },
    {"step": 28, "band": 80},
    "25 ticks a second.",
)


def plan_ticks(waveform: Artifact) -> Plan:
    """A row for each tick of the sound."""
    from models.meta_talk.features import TICKS_PER_SECOND, n_ticks

    ticks = n_ticks(waveform.sizes["sample"])
    return Plan(ticks, attributes={"ticks_per_second": TICKS_PER_SECOND})


@stage(SPEECH_WINDOWS, version=1, plan=plan_ticks)
def speech_windows(
    waveform: Artifact,
    *,
    features: Literal["mfcc80", "logmel80"] = "mfcc80",
    shards: Sequence[Shard],
) -> Blocks:
    """Cut the speech's features into windows about each tick.

    Args:
        features: What tells of a step.
    """
    from models.meta_talk.features import windows

    for shard in shards:
        yield {"feature": windows(heard(waveform, shard), features).astype(np.float16)}


def heard(waveform: Artifact, shard: Shard) -> NDArray[np.float32]:
    """All that the windows of these ticks hear, with silence beyond the ends of the sound."""
    from models.meta_talk.features import samples_of

    first, last = samples_of(shard.start, shard.stop)
    inside = waveform.read("sample", max(first, 0), last)
    ends = max(-first, 0), last - max(first, 0) - len(inside)
    return np.pad(inside, ends)
