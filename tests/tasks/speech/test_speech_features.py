"""Features of speech: the same whatever the ranges, and heard in step with the sound."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from torch.nn import functional

from models.whisper.encoder import BODY, WIDTH, SpeechEncoder, encode
from models.whisper.log_mel import BANDS, HOP, context, log_power, loudest, n_steps, scaled
from stores.artifacts.source import Source
from stores.artifacts.store import Store
from stores.shipped import shipped_file
from tasks.engine.open_run import open_run
from tasks.speech.speech_features import features_of, speech_encoder, speech_features
from tasks.speech.waveform import waveform

_PARTS = ("query", "key", "value")
SPEECH = Path(__file__).parents[3] / "examples" / "jfk.wav"


@pytest.fixture(scope="module")
def samples() -> np.ndarray:
    return np.frombuffer(SPEECH.read_bytes()[44:], "<i2").astype(np.float32) / 32768


@pytest.fixture(scope="module")
def encoder() -> SpeechEncoder:
    return speech_encoder()


def features(encoder: SpeechEncoder, sound: np.ndarray) -> np.ndarray:
    blocks = encode(encoder, sound, loudest=loudest(sound), stop=n_steps(len(sound)))
    return np.concatenate(list(blocks))


def test_the_stage_gives_what_one_pass_gives(tmp_path: Path, encoder: SpeechEncoder) -> None:
    with open_run(Store(tmp_path)):
        sound = waveform(Source.of(SPEECH))
        made = speech_features(sound)
    decoded = sound.read("sample")
    whole = features(encoder, decoded)
    np.testing.assert_array_equal(made.read("feature"), features_of(decoded))
    assert made.sizes == {"step": len(whole), "channel": WIDTH}
    np.testing.assert_allclose(made.read("feature"), whole, atol=2e-2)
    assert np.abs(whole).mean() > 0.1


def test_blocks_may_begin_anywhere(samples: np.ndarray, encoder: SpeechEncoder) -> None:
    whole = features(encoder, samples)
    level = loudest(samples)
    later = np.concatenate(
        list(encode(encoder, samples, loudest=level, start=2 * BODY, stop=len(whole)))
    )
    np.testing.assert_array_equal(later, whole[2 * BODY :])
    with pytest.raises(ValueError, match="multiple"):
        next(encode(encoder, samples, loudest=level, start=7, stop=20))


def test_a_moment_is_heard_the_same_wherever_it_lies(
    samples: np.ndarray, encoder: SpeechEncoder
) -> None:
    """Moved by a whole window of 2 s, a recording gives the same features, moved."""
    quiet = np.zeros(BODY * 2 * HOP, np.float32)
    moved = features(encoder, np.concatenate([quiet, samples]))
    plain = features(encoder, samples)
    np.testing.assert_allclose(moved[BODY : BODY + len(plain)], plain, atol=2e-3)


def test_the_spectrogram_is_whispers(samples: np.ndarray) -> None:
    """Against a plain computation by definition: Hann, power, Slaney bank, decades, clipped."""
    import librosa

    frames = np.lib.stride_tricks.sliding_window_view(np.pad(samples, 200), 400)[::160]
    spectrum = np.fft.rfft(frames * np.hanning(401)[:-1])  # Hann, periodic
    bank = librosa.filters.mel(sr=16_000, n_fft=400, n_mels=80)
    decades = np.log10(np.maximum(bank @ (np.abs(spectrum) ** 2).T, 1e-10))
    expected = (np.maximum(decades, decades.max() - 8) + 4) / 4
    found = scaled(log_power(context(samples, 0, 500)), loudest(samples))
    np.testing.assert_allclose(found, expected.T[:500], atol=1e-3)


def test_features_tell_sounds_apart_more_than_loudness(
    samples: np.ndarray, encoder: SpeechEncoder
) -> None:
    soft = features(encoder, samples * np.float32(0.2))
    loud = features(encoder, samples)
    apart = np.abs(loud[25:] - loud[:-25]).mean()
    assert np.abs(soft - loud).mean() < 0.5 * apart


def test_silence_and_nothing(encoder: SpeechEncoder) -> None:
    assert features(encoder, np.zeros(16_000, np.float32)).shape == (50, WIDTH)
    assert list(encode(encoder, np.zeros(0, np.float32), loudest=-10.0, stop=0)) == []
    assert loudest(np.zeros(0, np.float32)) == -10


def test_the_weights_are_those_that_the_script_made() -> None:
    file = shipped_file("models/whisper/encoder.safetensors").read_bytes()
    known = "83736d1f57e2d5b8695ba926d7f98623bb5f5950e899e7ef635d66923f59c73b"
    assert hashlib.sha256(file).hexdigest() == known


def test_the_encoder_is_whispers(encoder: SpeechEncoder) -> None:
    """Against the layers of torch, with the weights under the published names."""
    state = load_file(shipped_file("models/whisper/encoder.safetensors"))
    w = {name: torch.from_numpy(part.astype(np.float32)) for name, part in state.items()}
    mel = np.random.default_rng(0).normal(0.3, 0.4, (60, BANDS)).astype(np.float32)
    x = torch.from_numpy(mel.T[None])
    x = functional.gelu(functional.conv1d(x, w["conv1.weight"], w["conv1.bias"], padding=1))
    x = functional.conv1d(x, w["conv2.weight"], w["conv2.bias"], stride=2, padding=1)
    x = functional.gelu(x)[0].T + w["positional_embedding"][:30]
    for at in ("blocks.0.", "blocks.1."):

        def linear(y: torch.Tensor, name: str, at: str = at) -> torch.Tensor:
            return functional.linear(y, w[f"{at}{name}.weight"], w.get(f"{at}{name}.bias"))

        def norm(y: torch.Tensor, name: str, at: str = at) -> torch.Tensor:
            return functional.layer_norm(
                y, (WIDTH,), w[f"{at}{name}.weight"], w[f"{at}{name}.bias"]
            )

        y = norm(x, "attn_ln")
        heads = [linear(y, f"attn.{n}").reshape(30, 8, 64).transpose(0, 1) for n in _PARTS]
        mixed = functional.scaled_dot_product_attention(*heads).transpose(0, 1).reshape(30, WIDTH)
        x = x + linear(mixed, "attn.out")
        x = x + linear(functional.gelu(linear(norm(x, "mlp_ln"), "mlp.0")), "mlp.2")
    np.testing.assert_allclose(encoder(mel), x.numpy(), atol=2e-4)
