"""Sound as the models hear it: a mono waveform at 16 kHz, its log-mel spectrogram, its cepstra."""

import numpy as np

from models.audio.mel import N_MELS, SAMPLE_RATE, Ends, mel_spectrogram
from stores.artifacts.artifact import Artifact
from stores.artifacts.schema import ArraySpec, Schema
from stores.artifacts.source import Source
from stores.media.audio import decode_audio
from tasks.engine.stage import Made, stage

WAVEFORM = Schema(
    "waveform",
    {
        "sample": ArraySpec(
            ("sample",), "float32", "", "mono, 16 kHz, -1..1", chunk=1 << 16, shard=1 << 22
        )
    },
    {},
    "Sample 0 is time 0 of the container.",
)

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


@stage(WAVEFORM, version=1)
def waveform(audio: Source) -> Made:
    """Decode, mix down and resample the sound of an audio or video file.

    Raises:
        MediaError: there is no sound in the file, or it is damaged.
    """
    samples = decode_audio(audio.path, rate=SAMPLE_RATE, mono=True)[:, 0]
    facts = {"rate_hz": SAMPLE_RATE, "seconds": len(samples) / SAMPLE_RATE}
    return Made({"sample": samples}, facts)


@stage(MEL, version=1)
def mel(waveform: Artifact, ends: Ends = "zeros") -> Made:
    """Log-mel spectrogram of a waveform.

    Args:
        ends: What lies beyond the sound's ends; networks differ in what they were trained with.
    """
    columns = mel_spectrogram(waveform.read("sample"), ends=ends)
    return Made({"mel": np.ascontiguousarray(columns)}, {"columns_per_second": 80})


@stage(MFCC, version=1)
def mfcc(waveform: Artifact) -> Made:
    """Mel-frequency cepstra of a waveform, as SyncNet hears it."""
    from models.audio.mfcc import mfcc as cepstra  # scipy takes a second to import

    samples = np.clip(np.round(waveform.read("sample") * 32768), -32768, 32767).astype(np.int16)
    return Made({"mfcc": cepstra(samples)}, {"steps_per_second": 100})
