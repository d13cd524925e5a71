"""How well lips follow speech: IP-LAP's landmark generator beside the shipped speech model.

    python -m benchmarks.lips --data clips.parquet --store FOLDER [--split validation] FILE...

Each FILE is a landmark generator of `dubflow train ip_lap.landmarks`. Everything is predicted for
the frames of prepared clips from their own sound, and judged on the same ticks of 25 Hz, head pose
taken out, in the figures of `models.speech_to_lips.figures`; intervals are bootstraps over persons.

The two do not see the same: IP-LAP sees the upper face of every frame and the whole landmarks of 15
frames of the very clip; the shipped model knows the person's closed mouth and usual opening, and
nothing else of the picture. And the box around IP-LAP's landmarks ends at the chin, so that their
places in it tell how far the real jaw was open. Hence two more rows: what it makes of the picture
in silence, and what it makes of the sound where the picture is of another moment, as in a dub.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.command import table
from benchmarks.trained import arguments, networks
from models.audio.mel import MAX_ABS
from models.faces.mesh.align import Pose
from models.ip_lap.boxes import face_boxes, from_box, to_box, whole_boxes
from models.ip_lap.landmark_generator import LandmarkGenerator
from models.ip_lap.landmarks import CONTENT, FULL, POSE
from models.ip_lap.references import choose_references, lip_distance
from models.ip_lap.speaker import Talker
from models.ip_lap.windows import MIDDLE, REFERENCES, face_runs, mel_windows, pose_windows
from models.speech_to_lips.adapter import Adapter
from models.speech_to_lips.figures import Figures, clip_figures, summarise
from models.speech_to_lips.lag import shifted
from models.speech_to_lips.layout import TICKS_PER_SECOND
from models.speech_to_lips.predict import predict_motion
from models.speech_to_lips.recordings import Example, Recording, at_ticks, examples
from stores.artifacts.store import Store
from stores.dataset_index import ClipPart, read_parts
from tasks.engine.open_run import open_run
from tasks.source.landmarks import load_pose
from tasks.source.timeline import load_timeline
from tasks.speech.lips_model import lips_model
from tasks.speech.speech_features import speech_features
from tasks.training.dataset import WindowSettings

Floats = NDArray[np.float32]

SHIPPED = "shipped speech → lips"
BATCH = 64
SHOWN = {
    "correlation": "opening, correlation",
    "spread": "opening, spread",
    "error_centred": "lip error, centred [%]",
    "error": "lip error [%]",
    "closure": "opening while closed",
}
"""Figures of the table, as its head names them."""


@dataclass(frozen=True)
class Clip:
    """What is prepared of a part of a clip.

    Attributes:
        name: Of the part.
        person: Who speaks.
        pts: (frame,) times [time_base].
        time_base: Seconds per tick of `pts`.
        scene_start: (frame,) cuts.
        valid: (frame,) a face is seen.
        points: (frame, 131, 3) landmarks [px].
        size: Height and width of the frames.
        pose: Of the head.
        mouth: (frame, 57, 3) canonical.
        mel: (column, 80) of the whole clip's sound.
        speech: (step, 512) features of it.
        lag_seconds: How much later the picture is than the sound; 0 where that is not sure.
    """

    name: str
    person: str
    pts: NDArray[np.int64]
    time_base: Fraction
    scene_start: NDArray[np.bool_]
    valid: NDArray[np.bool_]
    points: Floats
    size: tuple[int, int]
    pose: Pose
    mouth: Floats
    mel: Floats
    speech: NDArray[np.float16]
    lag_seconds: float

    @property
    def seconds(self) -> NDArray[np.float64]:
        """(frame,) times."""
        return self.pts * float(self.time_base)

    def on_ticks(self, mouth: Floats) -> tuple[Floats, Floats]:
        """Mouths (frame, 57, 3) at 25 Hz, and which ticks show a face."""
        return at_ticks(self.seconds[self.valid], mouth[self.valid])

    def recording(self) -> Recording | None:
        """As the shipped speech model is trained on it; None without a face."""
        if not self.valid.any():
            return None
        return Recording(self.name, self.person, self.mel, *self.on_ticks(self.mouth), self.speech)


def read_clip(segment: ClipPart, store: Store) -> Clip:
    """A part of a clip, from the store; in a run, which keeps the features of its speech."""
    face = store.get("landmarks", segment.keys["landmarks"])
    clip = load_timeline(store.get("timeline", segment.keys["timeline"]))
    waveform = store.get("waveform", segment.keys["waveform"])
    part, rows = slice(segment.start, segment.stop), np.arange(segment.start, segment.stop)
    sure = segment.lag_confidence >= (WindowSettings.model_validate({}).sure_lag or 0.0)
    return Clip(
        name=f"row {segment.row}",
        person=segment.person,
        pts=clip.pts[part],
        time_base=clip.time_base,
        scene_start=clip.scene_start[part],
        valid=face.read("valid", segment.start, segment.stop),
        points=face.read("landmarks", segment.start, segment.stop)[:, list(FULL)],
        size=(clip.video.height, clip.video.width),
        pose=load_pose(face).at(rows),
        mouth=face.read("mouth", segment.start, segment.stop),
        mel=store.get("mel", segment.keys["mel"]).read("mel"),
        speech=speech_features(waveform).read("feature"),
        lag_seconds=segment.lag_seconds if sure else 0.0,
    )


class LandmarkMouths:
    """A landmark generator that is asked for mouths as the method `ip_lap` asks it.

    Args:
        generator: With its weights.
        silent: It hears silence.
        elsewhere: It sees the face half a clip away.
    """

    def __init__(
        self, generator: LandmarkGenerator, *, silent: bool = False, elsewhere: bool = False
    ) -> None:
        self._generator, self._silent, self._elsewhere = generator, silent, elsewhere

    @torch.no_grad()
    def __call__(self, clip: Clip, lag_seconds: float) -> Floats:
        """Canonical mouths (tick, 57, 3), sound and picture put in step by the lag."""
        boxes = whole_boxes(face_boxes(clip.points), clip.size)
        shares = to_box(clip.points, boxes)
        run = face_runs(clip.valid, clip.scene_start)
        sizes = (boxes[:, 2:] - boxes[:, :2])[:, ::-1]
        windows, _ = pose_windows(shares, sizes, clip.seconds, run=run)
        mel = np.full_like(clip.mel, -MAX_ABS) if self._silent else clip.mel
        times = clip.pts - round(lag_seconds / clip.time_base)
        sound = mel_windows(mel, times, clip.time_base)
        chosen = choose_references(lip_distance(clip.mouth), clip.valid, REFERENCES)
        talker = Talker(self._generator, _xy_first(shares[chosen]))
        seen = np.arange(len(boxes))
        if self._elsewhere:
            shown = np.flatnonzero(clip.valid)
            seen[shown] = np.roll(shown, len(shown) // 2)
        pose = _xy_first(windows[seen, :, : len(POSE)])
        content = torch.cat(
            [
                talker(torch.from_numpy(sound[start : start + BATCH]), pose[start : start + BATCH])
                for start in range(0, len(pose), BATCH)
            ]
        )
        flat = from_box(content[:, MIDDLE].mT.numpy(), boxes[seen])
        # It predicts no depth: the picture's own is kept, as in the method.
        points = np.concatenate([flat, clip.points[seen, -len(CONTENT) :, 2:]], axis=2)
        return clip.on_ticks(clip.pose.at(seen).to_canonical(points))[0]


class ShippedMouths:
    """The shipped model, as it is for a person whose own speech it has not heard."""

    def __init__(self) -> None:
        self._model = lips_model()

    def __call__(self, clip: Clip, lag_seconds: float, example: Example) -> Floats:
        """Canonical mouths (tick, 57, 3), sound and picture put in step by the lag."""
        plain = Adapter.plain(self._model.size, scale=example.scale)
        motion = predict_motion(self._model, clip.mel, speech=clip.speech, adapter=plain)
        return example.neutral + shifted(motion, -lag_seconds * TICKS_PER_SECOND)


def judged(
    clips: Sequence[Clip], generators: Mapping[str, LandmarkMouths], *, in_step: bool
) -> dict[str, list[tuple[str, Figures]]]:
    """Person and figures of each clip that all of them can be judged on, by who made the mouths."""
    shipped = ShippedMouths()
    found: dict[str, list[tuple[str, Figures]]] = {name: [] for name in (SHIPPED, *generators)}
    for clip, example in _examples(clips):
        lag = clip.lag_seconds if in_step else 0.0
        mouths = {SHIPPED: shipped(clip, lag, example)}
        mouths |= {name: generator(clip, lag) for name, generator in generators.items()}
        truth = example.recording.mouth
        ticks = min(len(truth), *(len(mouth) for mouth in mouths.values()))
        heard_at = np.arange(ticks) - lag * TICKS_PER_SECOND
        there = (heard_at >= 0) & (heard_at <= len(mouths[SHIPPED]) - 1)
        seen = example.recording.seen[:ticks] * there
        for name, mouth in mouths.items():
            figures = clip_figures(
                mouth[:ticks] - example.neutral,
                truth[:ticks] - example.neutral,
                neutral=example.neutral,
                seen=seen.astype(np.float32),
            )
            if figures is not None:
                found[name].append((clip.person, figures))
    return found


def _examples(clips: Sequence[Clip]) -> Iterator[tuple[Clip, Example]]:
    """Clips with the neutral mouth and the usual opening of their persons."""
    recordings = [recording for clip in clips if (recording := clip.recording())]
    made = examples(recordings, lips_model().level, lags={})
    by_name = {clip.name: clip for clip in clips}
    return ((by_name[example.recording.name], example) for example in made)


def _xy_first(points: Floats) -> torch.Tensor:
    """(..., point, 2) → (..., 2, point)."""
    return torch.from_numpy(np.ascontiguousarray(points.swapaxes(-1, -2)))


def report(
    found: Mapping[str, Sequence[tuple[str, Figures]]],
    title: str,
    shown: Mapping[str, str] = SHOWN,
) -> None:
    """Print a table of what was found on the same clips, if on any.

    Args:
        found: Who made the mouths → person and figures of each clip.
        title: Of the table.
        shown: Figure → its column's head.
    """
    clips = next(iter(found.values()))
    persons = len({person for person, _ in clips})
    print(f"\n{title}: {len(clips)} clips, {persons} persons")
    if not clips:
        return
    rows = []
    for name, figures in found.items():
        summary = summarise([figure for _, figure in figures], [person for person, _ in figures])
        rows.append([name, *(summary[figure] for figure in shown)])
    still = (summary["held"] if figure.startswith("error") else "" for figure in shown)
    table(["", *shown.values()], [*rows, ["the clip's median mouth, held still", *still]])


def main() -> None:
    """Print the tables."""
    chosen = arguments(__doc__, "landmark generators").parse_args()
    store = Store(chosen.store)
    generators: dict[str, LandmarkMouths] = {}
    for path, network in networks(chosen.files, LandmarkGenerator, store).items():
        generators[path] = LandmarkMouths(network)
        generators[f"{path}, in silence"] = LandmarkMouths(network, silent=True)
        generators[f"{path}, picture of another moment"] = LandmarkMouths(network, elsewhere=True)
    with open_run(store):
        clips = [read_clip(s, store) for s in read_parts(chosen.data, splits=[chosen.split])]
    clips = [clip for clip in clips if clip.valid.sum() >= REFERENCES]
    report(judged(clips, generators, in_step=False), "As recorded")
    report(judged(clips, generators, in_step=True), "In step, where preparation is sure of the lag")


if __name__ == "__main__":
    main()
