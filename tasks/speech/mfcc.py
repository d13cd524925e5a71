"""Mel-frequency cepstra of a waveform."""

import numpy as np

from stores.artifacts.artifact import Artifact
from stores.artifacts.schema import ArraySpec, Schema
from tasks.engine.stage import Made, stage

MFCC = Schema(
    "mfcc",
    {
        "mfcc": ArraySpec(
            ("step", "coefficient"),
            "float32",
            "",
            "cepstra of int16 sound, step s on samples [160 s, 160 s + 400); first: log energy",
            chunk=1000,
            shard=20000,
        )
    },
    {"coefficient": 13},
    "100 steps a second.",
)


@stage(MFCC, version=1)
def mfcc(waveform: Artifact) -> Made:
    """Mel-frequency cepstra of a waveform, as SyncNet hears it."""
    from models.audio.mfcc import mfcc as cepstra  # it loads librosa

    samples = np.clip(np.round(waveform.read("sample") * 32768), -32768, 32767).astype(np.int16)
    return Made({"mfcc": cepstra(samples)}, {"steps_per_second": 100})
