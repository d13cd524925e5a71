"""The log-mel spectrogram of a waveform."""

from models.audio.mel import N_MELS, Ends, mel_spectrogram
from stores.artifacts.artifact import Artifact
from stores.artifacts.schema import ArraySpec, Schema
from tasks.engine.stage import Made, stage
from tasks.speech.waveform import StoredSamples

MEL = Schema(
    "mel",
    {
        "mel": ArraySpec(
            ("column", "band"),
            "float32",
            "",
            "log-mel, -4..4, column c centred on c / 80 s (Wav2Lip's parameters)",
            chunk=800,
            shard=16000,
        )
    },
    {"band": N_MELS},
    "80 columns a second.",
)


@stage(MEL, version=1)
def mel(waveform: Artifact, ends: Ends = "zeros") -> Made:
    """Log-mel spectrogram of a waveform.

    Args:
        ends: What lies beyond the sound's ends; networks differ in what they were trained with.
    """
    columns = mel_spectrogram(StoredSamples(waveform), ends=ends)
    return Made({"mel": columns}, {"columns_per_second": 80})
