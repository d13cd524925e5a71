"""LSE-D, LSE-C and the audio-visual offset: SyncNet v2 on the result's pictures and sound."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import NDArray

from models.metrics.metric import Metric
from stores.artifacts.artifact import Artifact
from stores.artifacts.schema import Schema, series
from stores.artifacts.source import Source
from stores.media.frame import Frame
from stores.media.timeline import Timeline
from tasks.engine.stage import Made, stage
from tasks.metrics.family import Comparison, Family
from tasks.metrics.frames import Regions, some_frames
from tasks.metrics.match import nearest
from tasks.source.timeline import load_timeline
from tasks.weights.networks import find_weights

if TYPE_CHECKING:
    from models.syncnet.crops import Track
    from tasks.inference.runner import Runner

WEIGHTS = "syncnet_v2"

_PIECES = 4
"""Pieces that are read at once."""

_NO_PICTURE = np.zeros((224, 224, 3), np.uint8)

_SOUND = (
    "Sound is the result's own, or the speech where it has none, 16 kHz int16, as 13 cepstra at "
    "100 Hz; shifts up to 15 frames either way are compared, and sound beyond the ends counts as "
    "zero vectors, as published."
)
_CROP = (
    "Face at 224 x 224 px, BGR, 0..255, 25 frames a second (the frame nearest in time): the square "
    "crop of syncnet_python (median filter 13; 1.4 half sides to each side of the box's centre, "
    "from 1 above to 1.8 below). Boxes go around the face mesh instead of coming from S3FD, cuts "
    "are Dubflow's own, and frames are not compressed again (there: XVID and JPEG), so figures "
    "differ a little from those of the original. As there, only tracks of more than 100 frames "
    "with a face larger than 100 px count; a clip's figure is the mean over its tracks, by frames. "
    + _SOUND
)
_FULL = (
    "The whole frame squeezed to 224 x 224 px whatever its shape, BGR, 0..255, 25 frames a second "
    "(the frame nearest in time): what Wav2Lip's script for LRS and LRW does, whose videos show "
    "little but the face. On wider pictures it says less than LSE of the face; its script for real "
    "videos cuts faces out as lse_d and lse_c do. Frames are not compressed again (there: JPEG). "
    + _SOUND
)
_SYNCNET = "Chung and Zisserman 2016; joonson/syncnet_python (run_pipeline, run_syncnet)"
_WAV2LIP = "Prajwal et al. 2020, section 5; Rudrabha/Wav2Lip, evaluation/scores_LSE (LRS)"

METRICS = (
    Metric(
        "lse_d",
        "LSE-D",
        "lower",
        "Distance of lip and sound embeddings at the best shift. " + _CROP,
        _SYNCNET,
    ),
    Metric(
        "lse_c",
        "LSE-C",
        "higher",
        "Median over shifts of that distance less the least: how clearly one shift is best. "
        + _CROP,
        _SYNCNET,
    ),
    Metric(
        "av_offset",
        "offset, SyncNet",
        "zero",
        "The best shift, of the longest track: positive where the lips are late, negative where "
        "the sound is. " + _CROP,
        _SYNCNET,
        unit="frames at 25/s",
    ),
    Metric(
        "lse_d_wav2lip",
        "LSE-D, whole frame",
        "lower",
        "Distance of lip and sound embeddings at the best shift. " + _FULL,
        _WAV2LIP,
    ),
    Metric(
        "lse_c_wav2lip",
        "LSE-C, whole frame",
        "higher",
        "Median over shifts of that distance less the least. " + _FULL,
        _WAV2LIP,
    ),
)


LSE = Schema(
    "metrics_lse",
    {
        "lse_d": series("distance at the clip's best shift, of the window around the frame"),
        "lse_c": series("median of the mean distances less that, median filtered over 9 windows"),
        "lse_d_wav2lip": series("as lse_d, of the whole frame"),
        "lse_c_wav2lip": series("as lse_c, of the whole frame"),
    },
    {},
    "SyncNet's figures; attributes hold those of the clip.",
)


TOO_SHORT = "skipped: shorter than 0.2 s of picture and sound"
"""Why there is no score: SyncNet looks at five frames at once."""


@stage(LSE, version=2)
def lse(
    video: Source, timeline: Artifact, *, landmarks: Artifact, waveform: Artifact, weights: Artifact
) -> Made:
    """Score the face's tracks, and the whole frames.

    Args:
        video: The result.
        timeline: Its timeline.
        landmarks: Its landmarks.
        waveform: What is heard with it; sample 0 is time 0 of the container.
        weights: SyncNet's.
    """
    clip = load_timeline(timeline)
    scorer = _Scorer(video, clip, waveform, _runner(weights))
    tracks, reason = _scored_tracks(clip, landmarks, scorer.rows)
    found = [scorer.score(track.start, len(track), _track_windows(track)) for track in tracks]
    whole = scorer.score(0, len(scorer.rows), None)
    values: dict[str, float | None] = {metric.name: None for metric in METRICS}
    reasons: dict[str, str] = {}
    curves = {name: np.full(len(clip), np.nan, np.float32) for name in LSE.arrays}
    for suffix, parts, why in (
        ("", [each for each in found if each is not None], reason),
        ("_wav2lip", [] if whole is None else [whole], TOO_SHORT),
    ):
        names = [n for n in values if n.endswith("_wav2lip") == bool(suffix)]
        if not parts:
            reasons |= dict.fromkeys(names, why)
            continue
        lengths = [len(part.distance) for part in parts]
        values[f"lse_d{suffix}"] = float(np.average([p.lse_d for p in parts], weights=lengths))
        values[f"lse_c{suffix}"] = float(np.average([p.lse_c for p in parts], weights=lengths))
        if not suffix:
            values["av_offset"] = float(parts[int(np.argmax(lengths))].offset)
        for part in parts:
            scorer.draw(curves[f"lse_d{suffix}"], part.start, part.distance)
            scorer.draw(curves[f"lse_c{suffix}"], part.start, part.confidence)
    return Made(curves, {"values": values, "reasons": reasons})


@dataclass(frozen=True)
class _Scored:
    """Figures of some frames at 25 a second, and the curves (window,) behind them."""

    start: int
    offset: int
    lse_d: float
    lse_c: float
    distance: NDArray[np.float32]
    confidence: NDArray[np.float32]


class _Scorer:
    """Reads pictures at 25 a second, in pieces, and the sound beside them.

    Attributes:
        rows: The video's frame nearest in time to each of 25 a second.
    """

    def __init__(self, video: Source, clip: Timeline, waveform: Artifact, runner: "Runner") -> None:
        from models.audio.mfcc import SAMPLE_RATE
        from models.syncnet.crops import RATE

        self._video, self._clip, self._runner = video, clip, runner
        self._first_sample = round(clip.start_seconds * SAMPLE_RATE)
        self._sound = waveform
        count = max(1, round(clip.duration_seconds * RATE))
        self._times = clip.start_seconds + np.arange(count) / RATE
        self.rows = nearest(clip.seconds, self._times)

    def score(self, start: int, count: int, windows: NDArray[np.int64] | None) -> _Scored | None:
        """Figures of `count` frames at 25 a second from `start`; None if there are too few.

        Args:
            windows: What to cut out, (count, 4) px; None is the whole frame.
        """
        import torch

        from models.audio.mfcc import mfcc
        from models.syncnet.lse import n_windows, shifted_distances, synchrony

        sound = self._samples(start, count)
        total = n_windows(count, len(sound))
        if not total:
            return None
        blocks = self._blocks(start, total, windows, mfcc(sound))
        pieces = np.concatenate(
            [made.reshape(-1, made.shape[-1]) for made in self._runner.map(blocks)]
        )
        lips, heard = torch.from_numpy(pieces[:total]).chunk(2, dim=1)
        distances = shifted_distances(lips, heard)
        found = synchrony(distances)
        best = distances.shape[1] // 2 - found.offset
        return _Scored(
            start,
            found.offset,
            found.min_distance,
            found.confidence,
            distances[:, best].numpy(),
            found.frame_confidence.numpy(),
        )

    def draw(self, curve: NDArray[np.float32], start: int, values: NDArray[np.float32]) -> None:
        """Write values of windows that begin at frame `start` to the frames at their middle."""
        from models.syncnet.network import FRAMES

        first = start + FRAMES // 2
        covered = self._times[first : first + len(values)]
        step = self._times[1] - self._times[0]
        near = nearest(covered, self._clip.seconds)
        rows = np.abs(covered[near] - self._clip.seconds) <= step
        curve[rows] = values[near[rows]]

    def _samples(self, start: int, count: int) -> NDArray[np.int16]:
        from models.syncnet.lse import SAMPLES_PER_FRAME

        first = self._first_sample + start * SAMPLES_PER_FRAME
        stop = min(first + count * SAMPLES_PER_FRAME, self._sound.sizes["sample"])
        if stop <= max(first, 0):
            return np.zeros(0, np.int16)
        heard = self._sound.read("sample", max(first, 0), stop)
        heard = np.pad(heard, (max(0, -first), 0))
        levels = np.clip(np.round(heard * 32768), -32768, 32767)
        return np.asarray(levels, np.int16)

    def _blocks(
        self,
        start: int,
        total: int,
        windows: NDArray[np.int64] | None,
        cepstra: NDArray[np.float32],
    ) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.float32]]]:
        """Pieces of pictures and sound; the last is filled up with what nobody looks at."""
        from models.syncnet.embedder import PIECE, PIECE_FRAMES, PIECE_STEPS
        from models.syncnet.lse import STEPS_PER_FRAME

        overlap = PIECE_FRAMES - PIECE
        pictures = self._pictures(start, total + overlap, windows)
        kept: list[NDArray[np.uint8]] = []
        for first in range(0, total, PIECE * _PIECES):
            pieces = -(-min(total - first, PIECE * _PIECES) // PIECE)
            while len(kept) < pieces * PIECE + overlap:
                kept.append(next(pictures, kept[-1] if kept else _NO_PICTURE))
            begins = range(0, pieces * PIECE, PIECE)
            steps = [STEPS_PER_FRAME * (first + begin) for begin in begins]
            sound = [cepstra[step : step + PIECE_STEPS] for step in steps]
            yield (
                np.stack([np.stack(kept[begin : begin + PIECE_FRAMES]) for begin in begins]),
                np.stack([np.pad(s, ((0, PIECE_STEPS - len(s)), (0, 0))) for s in sound]),
            )
            kept = kept[pieces * PIECE :]

    def _pictures(
        self, start: int, count: int, windows: NDArray[np.int64] | None
    ) -> Iterator[NDArray[np.uint8]]:
        """(224, 224, 3) uint8 BGR, 25 a second."""
        import cv2

        from models.syncnet.crops import crop_face, inside
        from models.syncnet.network import SIZE

        rows = self.rows[start : start + count].tolist()
        for number, frame in enumerate(some_frames(self._video, self._clip, rows)):
            if windows is None:
                picture = cv2.resize(frame.rgb(), (SIZE, SIZE), interpolation=cv2.INTER_LINEAR)
            else:
                size, window = (frame.height, frame.width), windows[number]
                picture = crop_face(_seen(frame, inside(window, size)), window, size)
            yield np.asarray(picture[..., ::-1], np.uint8)


def _seen(frame: Frame, part: NDArray[np.int64]) -> NDArray[np.uint8]:
    x0, y0, x1, y1 = part.tolist()
    if x0 >= x1 or y0 >= y1:
        return np.zeros((0, 0, 3), np.uint8)
    return frame.crop_rgb(x0, y0, x1, y1)


def _scored_tracks(
    clip: Timeline, landmarks: Artifact, rows: NDArray[np.int64]
) -> tuple[Sequence["Track"], str]:
    """Tracks that count, at 25 frames a second, and why there is none where there is none."""
    from models.syncnet.crops import SHORTEST_TRACK, SMALLEST_FACE, find_tracks

    face = Regions.of(landmarks)
    scene = np.cumsum(clip.scene_start)[rows]
    scene_start = np.concatenate([[True], np.diff(scene) > 0])
    tracks = find_tracks(face.face[rows].astype(np.float64), face.valid[rows], scene_start)
    if not tracks:
        return [], "no face"
    long = [track for track in tracks if len(track) > SHORTEST_TRACK]
    if not long:
        return [], f"skipped: shorter than {(SHORTEST_TRACK + 1) / 25:g} s of a face without a cut"
    large = [track for track in long if track.side > SMALLEST_FACE]
    largest = max(track.side for track in long)
    why = f"the face is {largest:.0f} px large, and only more than {SMALLEST_FACE:.0f} count"
    return large, TOO_SHORT if large else why


def _track_windows(track: "Track") -> NDArray[np.int64]:
    from models.syncnet.crops import crop_windows

    return crop_windows(track.boxes)


def _runner(weights: Artifact) -> "Runner":
    from models.syncnet.embedder import PieceEmbedder
    from models.syncnet.network import SyncNet
    from tasks.inference.shared import network_runner

    return network_runner("lse", weights, lambda net: PieceEmbedder(cast(SyncNet, net)))


def _measure(comparison: Comparison) -> Artifact:
    result = comparison.result
    heard = result.waveform if result.waveform is not None else comparison.speech
    return lse(
        result.video,
        result.timeline,
        landmarks=result.landmarks,
        waveform=heard,
        weights=find_weights(WEIGHTS),
    )


FAMILY = Family("lse", "speech", METRICS, _measure, weights=(WEIGHTS,))
