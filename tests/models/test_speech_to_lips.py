"""The shipped speech → mouth model: what anyone who dubs with it relies on."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open

from models.audio.mel import mel_spectrogram
from models.faces.mesh.indices import MOUTH
from models.speech_to_lips.adapt import adapt
from models.speech_to_lips.adapter import Adapter
from models.speech_to_lips.figures import clip_figures, summarise
from models.speech_to_lips.fit import FitSettings, fit
from models.speech_to_lips.gate import n_ticks, speech_gate
from models.speech_to_lips.lag import find_lag, shifted
from models.speech_to_lips.layout import InputFeatures, Size
from models.speech_to_lips.lips_network import LipsNetwork
from models.speech_to_lips.network import SpeechToLips
from models.speech_to_lips.neutral import (
    LOWER,
    REFERENCE_OPENING,
    UPPER,
    neutral_mouth,
    opening,
    opening_scale,
)
from models.speech_to_lips.predict import LIVELY, SMOOTH, edged, load_model, predict_motion
from models.speech_to_lips.recordings import Recording, at_ticks, common_level, examples
from models.speech_to_lips.training import mirrored, mirrored_rows

ROOT = Path(__file__).parents[2]
SHIPPED = ROOT / "models" / "speech_to_lips"
WEIGHTS = SHIPPED / "from_mel.safetensors"
MEAN_FACE = ROOT / "models" / "faces" / "mesh" / "mean_face.safetensors"


def read(path: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    with safe_open(path, "numpy") as file:
        return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118


@pytest.fixture(scope="module")
def model() -> LipsNetwork:
    weights, metadata = read(WEIGHTS)
    return load_model(weights, json.loads(metadata["config"]))


@pytest.fixture(scope="module")
def neutral() -> np.ndarray:
    """The mean face's mouth, closed."""
    mouth = read(MEAN_FACE)[0]["mean_face"][list(MOUTH)].copy()
    middle = (mouth[UPPER] + mouth[LOWER]) / 2
    mouth[UPPER], mouth[LOWER] = middle, middle
    return mouth


def babble(seconds: float, seed: int = 0) -> np.ndarray:
    """A voice-like sound: a buzz at 120 Hz through two wandering resonances, in syllables."""
    rng = np.random.default_rng(seed)
    n = round(seconds * 16_000)
    time = np.arange(n) / 16_000
    knots = np.arange(0, seconds + 0.4, 0.2)
    first, second = (
        np.interp(time, knots, rng.uniform(low, high, len(knots)))
        for low, high in ((300, 800), (900, 2300))
    )
    sound = np.zeros(n)
    for k in range(1, 30):
        hz = 120 * k
        gain = sum(1 / (1 + ((hz - f) / 120) ** 2) for f in (first, second))
        sound += gain * np.sin(2 * np.pi * hz * time + k)
    loud = np.interp(time, knots, rng.uniform(0, 1, len(knots)) ** 1.5)
    return (0.08 * sound * loud).astype(np.float32)


def gap(motion: np.ndarray, neutral: np.ndarray) -> np.ndarray:
    return opening(neutral + motion)


@pytest.mark.parametrize("name", ["from_mel", "speech_to_lips"])
def test_shipped_file_is_small_and_safe_to_load(name: str) -> None:
    weights, metadata = read(SHIPPED / f"{name}.safetensors")
    assert (SHIPPED / f"{name}.safetensors").stat().st_size < 5_000_000
    assert {a.dtype.kind for a in weights.values()} == {"f"}
    assert Size(**json.loads(metadata["config"])).components == weights["basis"].shape[0]


@pytest.mark.parametrize("columns", [0, 1, 2, 16, 81, 333])
def test_one_motion_per_tick(model: LipsNetwork, columns: int) -> None:
    mel = mel_spectrogram(babble(5))[:columns]
    motion = predict_motion(model, mel)
    assert motion.shape == (int(np.ceil(columns / 3.2)), 57, 3)
    assert motion.dtype == np.float32
    assert np.isfinite(motion).all()


def test_blocks_do_not_show(model: LipsNetwork) -> None:
    mel = mel_spectrogram(babble(7))
    whole = predict_motion(model, mel)
    for ticks in (5, 35, 1000):
        parts = predict_motion(model, mel, block_ticks=ticks)
        np.testing.assert_allclose(parts, whole, atol=2e-6)


def test_an_edge_enlarges_what_is_fast_and_leaves_the_rest() -> None:
    slow = np.tile(np.float32([1, -2]), (9, 1))
    ticks = np.arange(9, dtype=np.float32)[:, None]
    fast = np.float32((-1) ** ticks)
    np.testing.assert_allclose(edged(slow, LIVELY), slow, atol=1e-6)
    np.testing.assert_allclose(edged(ticks, LIVELY)[1:-1], ticks[1:-1], atol=1e-5)
    np.testing.assert_allclose(edged(fast, LIVELY)[1:-1], 1.4 * fast[1:-1], atol=1e-6)
    np.testing.assert_allclose(edged(fast, SMOOTH)[1:-1], 0, atol=1e-6)
    assert len(edged(slow[:0], LIVELY)) == 0


def test_same_input_same_motion(model: LipsNetwork) -> None:
    mel = mel_spectrogram(babble(2))
    np.testing.assert_array_equal(predict_motion(model, mel), predict_motion(model, mel))


def test_speech_moves_the_mouth_and_not_wildly(model: LipsNetwork, neutral: np.ndarray) -> None:
    sound = (ROOT / "examples" / "jfk.wav").read_bytes()[44:]
    mel = mel_spectrogram(np.frombuffer(sound, "<i2").astype(np.float32) / 32768)
    opened = gap(predict_motion(model, mel), neutral)
    assert 0.02 < opened.max() < 0.2
    assert np.quantile(opened, 0.1) < 0.1 * opened.max()
    # No jumps: from one tick to the next less than half of the widest opening.
    assert np.abs(np.diff(opened)).max() < 0.5 * opened.max()


def test_silence_closes(model: LipsNetwork, neutral: np.ndarray) -> None:
    assert not predict_motion(model, np.full((400, 80), -4, np.float32)).any()
    sound = np.concatenate([babble(2), np.zeros(32_000, np.float32), babble(2, 1)])
    opened = gap(predict_motion(model, mel_spectrogram(sound)), neutral)
    assert opened[10:40].max() > 0.01
    assert opened[62:88].max() < 1e-4


def test_faint_noise_keeps_the_mouth_closed(model: LipsNetwork, neutral: np.ndarray) -> None:
    noise = np.random.default_rng(0).standard_normal(64_000).astype(np.float32) * 10 ** (-50 / 20)
    assert gap(predict_motion(model, mel_spectrogram(noise)), neutral).max() < 0.003
    between = np.concatenate([babble(2), np.zeros(32_000, np.float32), babble(2, 1)])
    between[: len(noise)] += noise
    opened = gap(predict_motion(model, mel_spectrogram(between)), neutral)
    assert opened[62:88].max() < 0.003
    assert opened[110:140].max() > 0.01


def test_gate_opens_before_the_sound_and_rides_over_short_pauses() -> None:
    sound = babble(3, 2) + np.float32(0.05) * np.sin(np.arange(48_000) * 0.1).astype(np.float32)
    sound[:16_000] = 0
    sound[32_000:33_600] = 0
    gate = speech_gate(mel_spectrogram(sound))
    assert gate[:15].max() == 0
    assert gate[24] > 0.3
    assert gate[28:62].min() > 0.99
    assert ((gate >= 0) & (gate <= 1)).all()


def test_a_click_in_silence_is_no_speech() -> None:
    sound = np.concatenate([babble(2), np.zeros(32_000, np.float32)])
    sound[48_000:48_160] = 0.5
    assert speech_gate(mel_spectrogram(sound))[65:].max() < 0.05


def test_both_sides_move_alike(model: LipsNetwork) -> None:
    rows = mirrored_rows(read(MEAN_FACE)[0]["mirror"])
    motion = predict_motion(model, mel_spectrogram(babble(3)))
    assert np.abs(motion - mirrored(motion, rows)).max() < 0.1 * np.abs(motion).max()


def test_loudness_hardly_matters(model: LipsNetwork, neutral: np.ndarray) -> None:
    quiet, loud = (
        gap(predict_motion(model, mel_spectrogram(babble(4) * g)), neutral) for g in (0.3, 1)
    )
    assert np.corrcoef(quiet, loud)[0, 1] > 0.8
    assert quiet.mean() == pytest.approx(loud.mean(), rel=0.35)


def test_foreign_weights_are_refused_in_one_line(model: LipsNetwork) -> None:
    with pytest.raises(ValueError, match="not weights of this speech_to_lips network") as caught:
        load_model({"conv": np.zeros(3, np.float32)}, model.size.to_dict())
    assert "\n" not in str(caught.value)
    with pytest.raises(ValueError, match="not weights"):
        load_model({}, {"width": 3})


def speaker(model: LipsNetwork, mel: np.ndarray, gain: float) -> np.ndarray:
    """Someone who opens `gain` times as far, with a lasting smile and a detector's noise."""
    noise = np.random.default_rng(3).normal(0, 0.002, (n_ticks(len(mel)), 57, 3))
    smile = np.zeros((57, 3))
    smile[17:, 1] = -0.004
    return (predict_motion(model, mel) * gain + smile + noise).astype(np.float32)


def test_adaptation_learns_a_speaker(model: LipsNetwork) -> None:
    mel = mel_spectrogram(babble(24))
    motion = speaker(model, mel, 1.5)
    half = 12 * 80
    found = adapt(model, mel[:half], motion=motion[: 12 * 25])
    assert found.reason == ""
    assert found.error_after < found.error_before

    def error(adapter: Adapter | None) -> float:
        later = predict_motion(model, mel, adapter=adapter)[12 * 25 : 24 * 25]
        return float(np.abs(later - motion[12 * 25 : 24 * 25]).mean())

    assert error(found.adapter) < 0.8 * error(None)


def test_adaptation_finds_late_pictures(model: LipsNetwork) -> None:
    mel = mel_spectrogram(babble(15))
    late = shifted(speaker(model, mel, 1.3), -4.0)
    found = adapt(model, mel, motion=late)
    assert found.lag_seconds == pytest.approx(0.16, abs=0.02)


@pytest.mark.parametrize("case", ["noise", "other words", "too short", "nobody seen"])
def test_no_adaptation_where_nothing_is_to_be_learnt(model: LipsNetwork, case: str) -> None:
    mel = mel_spectrogram(babble(12))
    motion = speaker(model, mel, 1.3)
    seen = None
    if case == "noise":
        motion = np.random.default_rng(0).normal(0, 0.01, motion.shape).astype(np.float32)
    elif case == "other words":
        motion = speaker(model, mel_spectrogram(babble(12, 9)), 1.3)
    elif case == "too short":
        mel, motion = mel[:200], motion[:63]
    else:
        seen = np.zeros(len(motion), np.float32)
    found = adapt(model, mel, motion=motion, seen=seen, scale=1.2)
    assert found.adapter.is_plain
    assert found.adapter.scale == np.float32(1.2)
    assert found.reason


def test_adapter_survives_the_store(model: LipsNetwork) -> None:
    mel = mel_spectrogram(babble(3))
    rng = np.random.default_rng(0)
    plain = Adapter.plain(model.size, scale=0.8)
    adapter = Adapter(plain.scale, rng.normal(0, 1e-3, plain.weight.shape).astype("f4"), plain.bias)
    again = Adapter.from_arrays(adapter.to_arrays())
    np.testing.assert_array_equal(
        predict_motion(model, mel, adapter=adapter), predict_motion(model, mel, adapter=again)
    )


def test_scale_scales(model: LipsNetwork) -> None:
    mel = mel_spectrogram(babble(3))
    wide = Adapter.plain(model.size, scale=1.3)
    np.testing.assert_allclose(
        predict_motion(model, mel, adapter=wide), 1.3 * predict_motion(model, mel), atol=1e-6
    )


def test_neutral_mouth_is_the_closed_one(neutral: np.ndarray) -> None:
    rng = np.random.default_rng(0)
    wide = np.abs(np.sin(np.arange(300) * 0.3)).astype(np.float32) * 1.5 * REFERENCE_OPENING
    mouth = np.repeat(neutral[None], 300, 0)
    mouth[:, LOWER, 1] += wide
    mouth += rng.normal(0, 5e-4, mouth.shape).astype(np.float32)
    found = neutral_mouth(mouth)
    assert np.abs(found - neutral).max() < 0.015
    assert opening(found[None])[0] < np.quantile(opening(mouth), 0.2)
    assert 1.05 < opening_scale(mouth, found) < 1.5
    assert opening_scale(neutral[None], neutral) == pytest.approx(1, abs=0.01)
    with pytest.raises(ValueError, match="at least one frame"):
        neutral_mouth(mouth[:0])


@pytest.mark.parametrize("lag", [-5.0, 0.0, 2.5, 6.0])
def test_lag_is_found(lag: float) -> None:
    rng = np.random.default_rng(1)
    sound = np.convolve(rng.standard_normal(400), np.hanning(7), "same").astype(np.float32)
    late = shifted(sound, -lag) + 0.3 * rng.standard_normal(400).astype(np.float32)
    found = find_lag(sound, late, seen=np.ones(400, np.float32))
    assert found.reliable
    assert found.ticks == pytest.approx(lag, abs=0.4)


def test_lips_do_not_pass_through_each_other(model: LipsNetwork, neutral: np.ndarray) -> None:
    motion = predict_motion(model, mel_spectrogram(babble(6)))
    shape = neutral + motion
    assert (shape[:, LOWER, 1] - shape[:, UPPER, 1]).min() > -1e-5


def test_variable_frame_times_land_on_ticks(neutral: np.ndarray) -> None:
    times = np.array([0.0, 0.03, 0.1, 0.13, 0.5, 0.54])
    mouth = np.repeat(neutral[None], len(times), 0)
    mouth[:, LOWER, 1] = times
    points, seen = at_ticks(times, mouth)
    np.testing.assert_allclose(points[:, LOWER, 1], np.arange(14) / 25, atol=1e-6)
    assert seen.tolist() == [1, 1, 1, 1, *[0] * 8, 0, 1]


@pytest.fixture(scope="module")
def clips(model: LipsNetwork, neutral: np.ndarray) -> list[Recording]:
    made = []
    for k in range(6):
        mel = mel_spectrogram(babble(2, k))
        mouth = neutral + speaker(model, mel, 1.2)
        made.append(Recording(f"{k}.mp4", f"p{k // 2}", mel, mouth, np.ones(len(mouth), "f4")))
    return made


def test_training_repeats_itself(clips: list[Recording]) -> None:
    rows = mirrored_rows(read(MEAN_FACE)[0]["mirror"])
    level = common_level(clips, "mel")
    made = examples(clips, level, lags={"5.mp4": None})
    assert len(made) == 5
    recipe = FitSettings(steps=4, batch=4)
    size = Size(channels=8, hidden=8, components=6, members=2)
    losses: list[float] = []
    first, second = (
        fit(made, level, rows=rows, recipe=recipe, size=size, on_step=lambda _, x: losses.append(x))
        for _ in range(2)
    )
    assert losses[:8] == losses[8:]
    assert losses[:4] != losses[4:8]
    basis = first.basis.numpy()
    np.testing.assert_allclose(basis @ basis.T, np.eye(6), atol=1e-5)
    motion = predict_motion(first.trained(), clips[0].mel)
    np.testing.assert_array_equal(motion, predict_motion(second.trained(), clips[0].mel))


def test_members_answer_together(clips: list[Recording]) -> None:
    rows = mirrored_rows(read(MEAN_FACE)[0]["mirror"])
    level = common_level(clips, "mel")
    size = Size(channels=8, hidden=8, components=6, members=3)
    recipe = FitSettings(steps=2, batch=4)
    model = fit(examples(clips, level, lags={}), level, rows=rows, recipe=recipe, size=size)
    columns = 6 * size.layout.columns + 2 * size.layout.halo
    inputs = torch.ones(1, columns, 1) * torch.linspace(-1, 1, size.layout.bands)
    exists = torch.ones(inputs.shape[:2])
    components, features = model(inputs, exists)
    apart = [member(inputs, exists) for member in model.members]
    assert not torch.equal(apart[0][0], apart[1][0])
    torch.testing.assert_close(components, sum(c for c, _ in apart) / 3)
    assert features.shape == (1, components.shape[1], size.features)
    torch.testing.assert_close(features[..., 8:16], apart[1][1])


def test_figures_of_perfect_and_of_still_mouths(clips: list[Recording]) -> None:
    example = examples(clips, common_level(clips, "mel"), lags={})[0]
    truth = example.motion * np.float32(example.scale)
    seen = example.weight
    perfect = clip_figures(truth, truth, neutral=example.neutral, seen=seen)
    still = clip_figures(0 * truth, truth, neutral=example.neutral, seen=seen)
    assert perfect is not None and still is not None
    assert (perfect.correlation, perfect.error) == (pytest.approx(1), 0)
    assert still.correlation == 0
    assert still.error > perfect.held > 0
    summary = summarise([perfect, still], ["a", "b"])
    assert summary["correlation"].mean == pytest.approx(0.5)
    assert summary["correlation"].low == 0


@pytest.mark.parametrize("features", ["mel", "whisper"])
def test_what_was_trained_with_torch_says_the_same_without(features: InputFeatures) -> None:
    torch.manual_seed(5)
    size = Size(features, channels=24, hidden=16, components=6, members=2)
    network = SpeechToLips(size).eval().requires_grad_(False)
    columns = 2 * size.layout.halo + 3 * size.layout.columns
    inputs, exists = torch.randn(columns, size.layout.bands), torch.ones(columns)
    exists[: columns // 3] = 0
    components, hidden = network(inputs[None], exists[None])
    answer = network.trained()(inputs.numpy(), exists.numpy())
    assert answer.components.dtype == np.float32
    np.testing.assert_allclose(answer.components, components[0], atol=1e-6)
    np.testing.assert_allclose(answer.features, hidden[0], atol=1e-4)
