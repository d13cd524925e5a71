"""Mel-frequency cepstra of a waveform as DAVS reckons them."""

from stores.artifacts.artifact import Artifact
from stores.artifacts.schema import ArraySpec, Schema
from tasks.engine.stage import Made, stage

DAVS_CEPSTRA = Schema(
    "davs_cepstra",
    {
        "mfcc": ArraySpec(
            ("step", "coefficient"),
            "float32",
            "",
            "13 bands from 300 to 3,700 Hz, step s on samples [160 s, 160 s + 400)",
            chunk=1000,
            shard=20000,
        )
    },
    {"coefficient": 13},
    "100 steps a second.",
)


@stage(DAVS_CEPSTRA, version=1)
def davs_cepstra(waveform: Artifact) -> Made:
    """Cepstra for a talking face that was trained with `mfcc: davs`."""
    from models.stylegan2_face.speech import davs_cepstra as cepstra  # scipy takes a second

    return Made({"mfcc": cepstra(waveform.read("sample"))}, {"steps_per_second": 100})
