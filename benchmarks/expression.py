"""The model from the upper half of a face to its lips: its training, and what it brings.

    python -m benchmarks.expression --clips DIR [--store FOLDER] [-o expression.safetensors]

Fitted to the clips whose `split` is `train`, of 2.5 s and more; reported on those of `validation`
of 4 s and more, as `benchmarks.quality` takes them: every frame's lips against those that are seen,
as recorded, head pose taken out. Rows: what the clip's own speech asks for; with what the upper
face says of the lips; with what was left over elsewhere in the clip, too; and both with the
training persons themselves, each left out of the fit in turn by fifths. `--report` reads the model
that ships instead of fitting one.
"""

import tempfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.clips import clip_arguments, clip_rows
from benchmarks.lips import report
from benchmarks.quality import MIN_SECONDS, Clip, prepare
from benchmarks.weights import keep_arrays
from flows.methods.exemplar import heard
from models.speech_to_lips.expression import (
    ExpressionModel,
    lip_offsets,
    lips_by_expression,
    upper_points,
)
from models.speech_to_lips.expression_fit import Shown, fit_expression
from models.speech_to_lips.figures import Figures, clip_figures
from stores.artifacts.store import Store
from stores.errors import DubflowError
from tasks.engine.open_run import open_run
from tasks.source.landmarks import mean_face, mirrored_points
from tasks.source.timeline import load_timeline
from tasks.speech.lip_expression import LeftBySpeech, left_by_speech, upper_faces
from tasks.speech.lips_model import expression_model, lips_model, model_key
from tasks.speech.speaker import speaker

Floats = NDArray[np.float32]

LEARNED_SECONDS = 2.5
FOLDS = 5
SPEECH, UPPER_FACE, BOTH = "speech alone", "and the upper face", "and the rest of the clip"


@dataclass(frozen=True)
class Face:
    """A clip with what speech leaves over."""

    person: str
    clip: Clip
    upper: Floats
    left: LeftBySpeech
    neutral: Floats

    @property
    def valid(self) -> NDArray[np.bool_]:
        """Frames whose mouth is seen and heard."""
        found: NDArray[np.bool_] = self.clip.seen.landmarks.read("valid")[: len(self.left.wrong)]
        return found

    def shown(self) -> Shown:
        """As the model is fitted to it."""
        use = self.valid
        upper = self.upper[: len(use)][use]
        return Shown(upper, self.left.motion[use], self.left.wrong[use])


def faces_of(folder: Path, split: str, seconds: float, points: NDArray[np.int32]) -> Iterator[Face]:
    """The clips of a split."""
    for row in clip_rows(folder, split, seconds=seconds):
        try:
            clip = prepare(folder / row["file"])
            person = speaker(clip.seen, mel=None, features=None, model=model_key())
            left = left_by_speech(
                clip.seen.landmarks,
                load_timeline(clip.seen.timeline).seconds,
                speaker=person,
                **heard(clip.speech),
                basis=lips_model().basis,
            )
        except (DubflowError, ValueError) as error:
            print(f"{row['file']}: left out: {error}")
            continue
        upper = np.concatenate(list(upper_faces(clip.seen.landmarks, points)))
        yield Face(row["person"], clip, upper, left, person.read("neutral"))


def fitted(faces: Sequence[Face], points: NDArray[np.int32]) -> ExpressionModel:
    """The model of some clips."""
    shown = [face.shown() for face in faces if face.valid.any()]
    return fit_expression(shown, lips_model().basis, points=points, mirror=mirrored_points())


def judged(face: Face, model: ExpressionModel) -> dict[str, Figures | None]:
    """Lips by speech, by the upper face too, and by all."""
    clock = load_timeline(face.clip.seen.timeline)
    landmarks = face.clip.seen.landmarks
    truth = landmarks.read("mouth")[: len(face.left.wrong)] - face.neutral
    said = truth - (face.left.wrong @ model.basis).reshape(truth.shape)
    made = {SPEECH: said}
    for name, wrong in ((UPPER_FACE, None), (BOTH, face.left.wrong if face.left.fits else None)):
        found = lips_by_expression(
            model,
            model.along(face.upper),
            valid=landmarks.read("valid"),
            scene_start=clock.scene_start,
            seconds=clock.seconds,
            frame_rate_hz=float(clock.video.rate),
            wrong=wrong,
        )
        made[name] = said + lip_offsets(model, found[: len(said)])
    seen = face.valid.astype(np.float32)
    return {
        name: clip_figures(mouth, truth, neutral=face.neutral, seen=seen)
        for name, mouth in made.items()
    }


def tell(title: str, judgements: Sequence[tuple[str, dict[str, Figures | None]]]) -> None:
    """Print a table of clips that have figures."""
    found: dict[str, list[tuple[str, Figures]]] = {SPEECH: [], UPPER_FACE: [], BOTH: []}
    for person, figures in judgements:
        if all(figures.values()):
            for name, each in figures.items():
                assert each is not None
                found[name].append((person, each))
    report(found, title)


def main() -> None:
    """Fit, print the tables, and keep the model."""
    parser = clip_arguments(__doc__)
    parser.add_argument("-o", "--output", type=Path, help="keep the model here")
    parser.add_argument("--report", action="store_true", help="of the model that ships")
    chosen = parser.parse_args()
    points = upper_points(mean_face(), mirrored_points())
    folder = chosen.store or Path(tempfile.mkdtemp(prefix="dubflow-expression-"))
    with open_run(Store(folder), workers=2):
        if chosen.report:
            model = expression_model()
        else:
            training = list(faces_of(chosen.clips, "train", LEARNED_SECONDS, points))
            model = fitted(training, points)
            folds = [zlib.crc32(face.person.encode()) % FOLDS for face in training]
            judgements = []
            for fold in range(FOLDS):
                rest = [f for f, k in zip(training, folds, strict=True) if k != fold]
                of_rest = fitted(rest, points)
                judgements += [
                    (f.person, judged(f, of_rest))
                    for f, k in zip(training, folds, strict=True)
                    if k == fold and f.valid.sum() >= MIN_SECONDS * 25
                ]
            tell("Training persons, each left out", judgements)
            if chosen.output:
                keep(model, training, chosen.output)
        reported = list(faces_of(chosen.clips, "validation", MIN_SECONDS, points))
    tell("Validation persons", [(face.person, judged(face, model)) for face in reported])


def keep(model: ExpressionModel, training: Sequence[Face], path: Path) -> None:
    """Write the weights, in half precision, with what they were made of."""
    arrays = {name: array.astype(np.float16) for name, array in vars(model).items()}
    facts = {
        "clips": len(training),
        "persons": len({face.person for face in training}),
        "frames": int(sum(face.valid.sum() for face in training)),
    }
    keep_arrays(path, arrays | {"points": model.points}, trained_on=facts)


if __name__ == "__main__":
    main()
