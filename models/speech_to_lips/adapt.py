"""Adaptation of the predicted motion to a person, from the speech of the source video.

From a source whose sound fits its picture, a ridge regression from the network's features to what
its components got wrong. Its strength is chosen on parts of the source that the fit has not seen,
and if it is not better there than no adaptation, there is none.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from models.arrays import Mel, SpeechFeatures, TickMouths, TickValues
from models.speech_to_lips.adapter import Adapter
from models.speech_to_lips.gate import n_ticks, speech_gate
from models.speech_to_lips.lag import find_lag, shifted
from models.speech_to_lips.layout import TICKS_PER_SECOND
from models.speech_to_lips.lips_network import LipsNetwork
from models.speech_to_lips.neutral import CLOSED_OPENING, opening_row
from models.speech_to_lips.predict import predict_blocks

_Array = NDArray[np.float32]
_Wide = NDArray[np.float64]

MIN_SECONDS = 4.0
"""Less speech than this is not worth a fit."""
MAX_SECONDS = 600.0
"""More than this adds nothing: the first ten minutes are taken."""
RIDGE = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
"""Strengths tried: how far corrections are held back, relative to the features' energy."""
PIECE_TICKS = 50
"""The source is parted into pieces of 2 s; every FOLDS-th is held out in turn."""
FOLDS = 4
OPENING_EMPHASIS = 6.0
"""How much the mouth opening counts beside the whole shape, in the error that decides."""
CLOSED_WEIGHT = 3.0
"""How much a moment with closed lips counts in the fit beside others, or lips would stay ajar."""
BELIEF = 0.5
"""Of how the fit changes from moment to moment so much is believed, of its mean everything: the
other half would mostly shrink the motion, because what is unsure comes out small."""
MIN_GAIN = 0.02
"""Share of the held-out error that an adaptation must save."""


@dataclass(frozen=True)
class Adaptation:
    """Result of `adapt`.

    Attributes:
        adapter: for `predict_motion`; plain (scale only) when nothing was to be learnt.
        reason: why it is plain, in words for a report; empty when it is not.
        lag_seconds: how much later the source's picture is than its sound; 0 if it can't be told.
        correlation: of predicted and observed mouth opening at that lag.
        error_before: held-out error without adaptation [face heights].
        error_after: the same with it.
    """

    adapter: Adapter
    reason: str
    lag_seconds: float = 0.0
    correlation: float = 0.0
    error_before: float = 0.0
    error_after: float = 0.0


def adapt(
    model: LipsNetwork,
    mel: Mel,
    *,
    speech: SpeechFeatures | None = None,
    motion: TickMouths,
    seen: TickValues | None = None,
    scale: float = 1.0,
) -> Adaptation:
    """Fit the model to a person whose speech and mouth are both at hand.

    Args:
        model: from `predict.load_model`.
        mel: -4..4, sound of the source.
        speech: its features, for a model that takes them.
        motion: displacement of its mouth from neutral, canonical [face heights], at 25 Hz.
        seen: 1 where the face was seen, else 0; None for everywhere.
        scale: the person's `neutral.opening_scale`.
    """
    ticks = min(len(motion), n_ticks(len(mel)), int(MAX_SECONDS * TICKS_PER_SECOND))
    plain = Adapter.plain(model.size, scale=scale)
    seen = np.ones(ticks, np.float32) if seen is None else seen[:ticks].astype(np.float32)
    mel = mel[: ticks * 16 // 5]
    ticks = min(ticks, n_ticks(len(mel)))
    talking = speech_gate(mel)[:ticks]
    useful = (seen[:ticks] > 0) & (talking > 0.5)
    if useful.sum() < MIN_SECONDS * TICKS_PER_SECOND:
        return Adaptation(plain, f"the source shows less than {MIN_SECONDS:g} s of a speaking face")
    blocks = [(c, f) for _, c, f in predict_blocks(model, mel, speech)]
    components = np.concatenate([c for c, _ in blocks])[:ticks]
    features = np.concatenate([f for _, f in blocks])[:ticks]
    basis = model.basis
    observed = motion[:ticks].reshape(ticks, -1) @ basis.T
    row = opening_row(basis)
    lag = find_lag((components * talking[:, None]) @ row, observed @ row, seen=seen[:ticks])
    seconds = lag.ticks / TICKS_PER_SECOND
    if not lag.reliable:
        reason = "the source's sound does not fit its picture"
        return Adaptation(plain, reason, 0.0, lag.correlation)
    useful = useful & (shifted(useful.astype(np.float32), lag.ticks) > 0.99)
    fitted = _fit(
        plain,
        components=components[useful],
        features=features[useful],
        observed=shifted(observed.astype(np.float32), lag.ticks)[useful],
        row=row,
    )
    return replace(fitted, lag_seconds=seconds, correlation=lag.correlation)


def _fit(
    plain: Adapter, *, components: _Array, features: _Array, observed: _Array, row: _Array
) -> Adaptation:
    """The best of no adaptation and ridge fits of several strengths, by held-out error."""
    before = plain(components, features)
    wrong = (observed - before).astype(np.float64)
    fold = (np.arange(len(wrong)) // PIECE_TICKS) % FOLDS
    folds = [fold == k for k in range(FOLDS) if 0 < (fold == k).sum() < len(fold)]
    error_before = _error(wrong, row)
    weights = np.where(observed @ row < CLOSED_OPENING, CLOSED_WEIGHT, 1.0)
    errors = []
    for strength in RIDGE:
        left = np.zeros_like(wrong)
        for held in folds:
            weight, bias = _ridge(features[~held], wrong[~held], weights[~held], strength=strength)
            left[held] = wrong[held] - (features[held] @ weight + bias)
        errors.append(_error(left, row) if folds else np.inf)
    best = int(np.argmin(errors))
    if errors[best] > (1 - MIN_GAIN) * error_before:
        reason = "the person's own speech did not improve on the model"
        return Adaptation(plain, reason, error_before=error_before, error_after=error_before)
    weight, bias = _ridge(features, wrong, weights, strength=RIDGE[best])
    bias = bias + (1 - BELIEF) * features.mean(0) @ weight
    weight = BELIEF * weight
    adapter = Adapter(plain.scale, weight.astype(np.float32), bias.astype(np.float32))
    return Adaptation(adapter, "", error_before=error_before, error_after=errors[best])


def _ridge(
    features: _Array, wrong: _Wide, weights: _Wide, *, strength: float
) -> tuple[_Wide, _Wide]:
    """Weighted least squares of `wrong` on centred features, held back by `strength`."""
    x = features.astype(np.float64)
    counts = weights / weights.mean()
    mean_x, mean_y = np.average(x, 0, counts), np.average(wrong, 0, counts)
    x = x - mean_x
    counted = (x * counts[:, None]).T
    energy = np.trace(counted @ x) / x.shape[1] + 1e-9
    weight = np.linalg.solve(
        counted @ x + strength * energy * np.eye(x.shape[1]), counted @ (wrong - mean_y)
    )
    # A mean from few ticks is believed less.
    bias = mean_y * len(x) / (len(x) + PIECE_TICKS) - mean_x @ weight
    return weight, bias


def _error(wrong: _Wide, row: _Array) -> float:
    """Mean absolute error of shape and, with emphasis, of opening."""
    return float(
        np.abs(wrong).sum(1).mean() + OPENING_EMPHASIS * np.abs(wrong @ row.astype(float)).mean()
    )
