"""Features of speech by the lower layers of Whisper's encoder: what mouth motion follows from."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file

from stores.artifacts.artifact import Artifact
from stores.artifacts.schema import ArraySpec, Schema
from stores.shipped import shipped_file
from tasks.engine.stage import Blocks, Plan, Shard, stage
from tasks.speech.waveform import StoredSamples

if TYPE_CHECKING:
    from models.whisper.encoder import SpeechEncoder

_FILE = "models/whisper/encoder.safetensors"

SHARD = 1000
"""Steps: 20 s."""

SPEECH_FEATURES = Schema(
    "speech_features",
    {
        "feature": ArraySpec(
            ("step", "channel"),
            "float16",
            "",
            "second layer of the encoder of Whisper base; step s is at s / 50 s",
            chunk=SHARD // 2,
            shard=SHARD,
        )
    },
    {"channel": 512},
    "50 steps a second.",
)


def _plan(waveform: Artifact) -> Plan:
    from models.whisper.log_mel import n_steps

    return Plan(n_steps(waveform.sizes["sample"]), attributes={"steps_per_second": 50})


@stage(SPEECH_FEATURES, version=3, plan=_plan)
def speech_features(waveform: Artifact, *, shards: Sequence[Shard]) -> Blocks:
    """Run Whisper's encoder over a waveform."""
    from models.whisper.encoder import encode
    from models.whisper.log_mel import loudest
    from tasks.inference.threads import one_thread

    samples, encoder = StoredSamples(waveform), speech_encoder()
    level = loudest(samples)
    for shard in shards:
        one_thread()  # ranges run side by side
        blocks = encode(encoder, samples, loudest=level, start=shard.start, stop=shard.stop)
        yield {"feature": _joined(blocks)}


def features_of(samples: NDArray[np.float32]) -> NDArray[np.float16]:
    """Features (step, 512) of a whole recording (sample,) at 16 kHz, as the stage makes them."""
    from models.whisper.encoder import encode
    from models.whisper.log_mel import loudest, n_steps

    steps = n_steps(len(samples))
    return _joined(encode(speech_encoder(), samples, loudest=loudest(samples), stop=steps))


def _joined(blocks: Iterable[NDArray[np.float32]]) -> NDArray[np.float16]:
    halves = [block.astype(np.float16) for block in blocks]
    return np.concatenate([np.zeros((0, SPEECH_FEATURES.sizes["channel"]), np.float16), *halves])


def speech_encoder() -> "SpeechEncoder":
    """The encoder with the weights that ship: 35 MB, for as long as somebody listens."""
    from models.whisper.encoder import SpeechEncoder

    return SpeechEncoder(load_file(shipped_file(_FILE)))
