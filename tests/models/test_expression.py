"""The upper half of a face shapes the lips, and leaves their gap to the speech."""

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from models.faces.mesh.indices import LIPS, LOWER_INNER_LIP, MOUTH, NOSE_TIP, UPPER_INNER_LIP
from models.speech_to_lips.expression import (
    APART_SECONDS,
    IRISES,
    LIMIT,
    ExpressionModel,
    lip_offsets,
    lips_by_expression,
    upper_points,
)
from models.speech_to_lips.expression_fit import Shown, fit_expression
from models.speech_to_lips.neutral import opening_row

ROOT = Path(__file__).parents[2]
SHIPPED = ROOT / "models" / "speech_to_lips"
FACE = load_file(ROOT / "models" / "faces" / "mesh" / "mean_face.safetensors")
POINTS = upper_points(FACE["mean_face"], FACE["mirror"])
BASIS = load_file(SHIPPED / "speech_to_lips.safetensors")["basis"].astype(np.float32)
RATE, FRAMES = 25.0, 250
CORNERS = [MOUTH.index(61), MOUTH.index(291)]


@pytest.fixture(scope="module")
def shipped() -> ExpressionModel:
    return ExpressionModel.from_arrays(load_file(SHIPPED / "expression.safetensors"))


def smiles(seed: int, frames: int = FRAMES) -> tuple[np.ndarray, np.ndarray]:
    """Slow smiles (frame,), and upper faces whose cheeks and lids rise with them."""
    rng = np.random.default_rng(seed)
    time = np.arange(frames) / RATE
    smile = np.sin(2 * np.pi * (0.2 * time + rng.uniform()))
    upper = np.repeat(FACE["mean_face"][POINTS][None], frames, 0)
    upper[:, :, 1] -= 0.01 * smile[:, None] * (upper[0, :, 1] > 0.1)
    upper += rng.normal(0, 2e-4, upper.shape)
    return smile.astype(np.float32), upper.astype(np.float32)


def smiling(smile: np.ndarray) -> np.ndarray:
    """Components (frame, component) of lips that follow a smile: the corners go up and apart."""
    moved = np.zeros((len(smile), len(MOUTH), 3), np.float32)
    moved[:, CORNERS, 1] = -0.02 * smile[:, None]
    moved[:, CORNERS, 0] = 0.01 * smile[:, None] * np.array([-1, 1], np.float32)
    return np.asarray(moved.reshape(len(smile), -1) @ BASIS.T, np.float32)


def learned(persons: int = 4) -> ExpressionModel:
    """A model of persons whose lips follow their upper faces; each has a lasting look as well."""
    rng = np.random.default_rng(9)
    videos = []
    for seed in range(persons):
        smile, upper = smiles(seed)
        opened = np.abs(rng.normal(0, 0.03, FRAMES)).astype(np.float32)
        motion = opened[:, None] * opening_row(BASIS) + smiling(smile)
        lasting = rng.normal(0, 0.02, len(BASIS)).astype(np.float32)
        videos.append(Shown(upper, motion, smiling(smile) + lasting))
    return fit_expression(videos, BASIS, points=POINTS, mirror=FACE["mirror"])


def added(
    model: ExpressionModel,
    upper: np.ndarray,
    *,
    valid: np.ndarray | None = None,
    wrong: np.ndarray | None = None,
) -> np.ndarray:
    """What the expression adds (frame, component)."""
    return lips_by_expression(
        model,
        model.along(upper),
        valid=np.ones(len(upper), np.bool_) if valid is None else valid,
        scene_start=np.zeros(len(upper), np.bool_),
        seconds=np.arange(len(upper)) / RATE,
        frame_rate_hz=RATE,
        wrong=wrong,
    )


def gaps(mouths: np.ndarray) -> np.ndarray:
    upper, lower = MOUTH.index(UPPER_INNER_LIP), MOUTH.index(LOWER_INNER_LIP)
    return np.asarray(mouths[:, lower, 1] - mouths[:, upper, 1])


def test_the_upper_half_holds_no_lips() -> None:
    assert FACE["mean_face"][POINTS, 1].max() < FACE["mean_face"][NOSE_TIP, 1]
    assert not set(POINTS.tolist()) & set(LIPS)
    assert POINTS.max() < IRISES
    assert set(FACE["mirror"][POINTS].tolist()) == set(POINTS.tolist())


def test_a_smile_of_the_cheeks_is_one_of_the_lips() -> None:
    model = learned()
    smile, upper = smiles(20)
    said, true = added(model, upper) @ BASIS, smiling(smile) @ BASIS
    assert np.corrcoef(said.ravel(), true.ravel())[0, 1] > 0.95
    assert 0.7 < said.std() / true.std() < 1.1
    corners = lip_offsets(model, added(model, upper))[:, CORNERS, 1].mean(1)
    assert np.corrcoef(corners, -smile)[0, 1] > 0.95


def test_the_fit_knows_no_side() -> None:
    """Faces and their mirror images count alike, so an even face has even lips."""
    model = learned()
    _, upper = smiles(20)
    even = np.repeat(upper.mean((0,), keepdims=True), 50, 0)
    even[25:, :, 1] -= 0.01 * (even[0, :, 1] > 0.1)
    lips = lip_offsets(model, added(model, even))[-1, CORNERS]
    assert lips[0, 1] == pytest.approx(lips[1, 1], rel=0.1)
    assert lips[0, 0] == pytest.approx(-lips[1, 0], rel=0.1)


def test_no_expression_opens_or_shuts_lips(shipped: ExpressionModel) -> None:
    wild = np.random.default_rng(0).normal(0, 0.1, (40, len(BASIS))).astype(np.float32)
    offsets = lip_offsets(shipped, wild)
    assert np.abs(gaps(offsets)).max() < 1e-6
    assert np.abs(offsets).max() > 0.01


def test_how_mouths_open_is_taken_out_whole() -> None:
    """Not the inner lips alone: a chin that drops as mouths open stays, too."""
    model = learned()
    opening_mouth = np.linspace(0, 0.05, 10, dtype=np.float32)[:, None] * model.parting
    assert opening_mouth.any()
    assert np.abs(lip_offsets(model, opening_mouth)).max() < 1e-3


def test_what_was_left_elsewhere_is_looked_up(shipped: ExpressionModel) -> None:
    """A person whose lips are always wider than predicted: the linear model can't tell."""
    _, upper = smiles(1)
    upper = np.repeat(upper.mean(0, keepdims=True), FRAMES, 0)
    lasting = np.zeros((FRAMES, len(BASIS)), np.float32)
    lasting[:, 3] = 0.02
    without, found = added(shipped, upper), added(shipped, upper, wrong=lasting)
    assert np.abs(without).max() < 1e-3
    np.testing.assert_allclose(found[:, 3], 0.02, rtol=0.1)


def test_no_mouth_says_again_what_it_said(shipped: ExpressionModel) -> None:
    """What a moment left over counts elsewhere, not within a second of it."""
    _, upper = smiles(1)
    upper = np.repeat(upper.mean(0, keepdims=True), FRAMES, 0)
    spike = np.zeros((FRAMES, len(BASIS)), np.float32)
    spike[100] = 0.5
    found = np.abs(added(shipped, upper, wrong=spike)).max(1)
    seconds = np.abs(np.arange(FRAMES) - 100) / RATE
    assert found[seconds < APART_SECONDS].max() < 1e-6
    assert found[seconds >= APART_SECONDS].min() > 1e-4


def test_long_sources_are_compared_with_a_part(
    shipped: ExpressionModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, upper = smiles(1)
    lasting = np.full((FRAMES, len(BASIS)), 0.01, np.float32)
    whole = added(shipped, upper, wrong=lasting)
    monkeypatch.setattr("models.speech_to_lips.expression.MOST_REFERENCES", 60)
    monkeypatch.setattr("models.speech_to_lips.expression._BLOCK", 33)
    np.testing.assert_allclose(added(shipped, upper, wrong=lasting), whole, atol=1e-3)


def test_without_a_face_there_is_no_expression(shipped: ExpressionModel) -> None:
    _, upper = smiles(2)
    valid = np.arange(FRAMES) < 100
    upper[~valid] = 0
    found = added(shipped, upper, valid=valid)
    assert not found[~valid].any()
    np.testing.assert_allclose(found[valid], added(shipped, upper[:100]), atol=1e-6)
    assert not added(shipped, upper, valid=np.zeros(FRAMES, np.bool_)).any()


def test_a_face_gone_wrong_moves_lips_only_so_far(shipped: ExpressionModel) -> None:
    _, upper = smiles(3)
    upper[-20:, :, 0] += 1.0
    found = added(shipped, upper)
    assert np.abs(found).max() <= LIMIT * np.abs(shipped.weight).sum(0).max() + 1e-5


def test_other_weights_are_refused_in_a_line() -> None:
    with pytest.raises(ValueError, match="not weights of an expression model") as caught:
        ExpressionModel.from_arrays({"points": np.zeros(3, np.int32)})
    assert "\n" not in str(caught.value)


def test_shipped_weights_lie_as_they_were_made(shipped: ExpressionModel) -> None:
    """Directions written in another order of memory were no directions any more."""
    product = shipped.directions @ shipped.directions.T
    np.testing.assert_allclose(product, np.eye(len(product)), atol=2e-3)
    np.testing.assert_array_equal(shipped.points, POINTS)
    assert opening_row(BASIS) @ shipped.parting == pytest.approx(1, abs=0.01)
