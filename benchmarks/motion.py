"""Where mouths lose their edge: from what the speech asks for to what is seen in the dub.

    python -m benchmarks.motion --clips DIR [--split validation] [--store FOLDER] [--limit N]

Clips are dubbed with their own sound as in `benchmarks.quality`. At each stage the mouth is
compared with the source's, as recorded: mean acceleration of the lips over the source's,
correlation of the opening, distance of the lips. The source's landmarks and those detected in the
dub are smoothed (`models.faces.smooth`), the stages between are not; so one row smooths what is
drawn. Rows with a setting in their name have that one other than the default; those of the source's
own mouths show what renderer and detector make of motion that is lively.
"""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.clips import clip_arguments, clip_rows, largest_face
from benchmarks.command import table
from benchmarks.quality import MIN_SECONDS, Clip, borrowed, interval, prepare, resynthesise, spoken
from flows.methods.exemplar import ExemplarSettings
from models.arrays import FrameMask, Mouths
from models.exemplar.render import mixed_mouths, mouth_displacement
from models.faces.mesh.indices import JAW
from models.faces.smooth import smooth_landmarks
from models.metrics.lips import acceleration, neighbours
from models.speech_to_lips.neutral import opening
from stores.artifacts.artifact import Artifact
from stores.artifacts.source import Source
from stores.artifacts.store import Store
from stores.errors import DubflowError
from tasks.engine.open_run import open_run
from tasks.methods.polish_pairs import true_motion
from tasks.source.timeline import load_timeline
from tasks.speech.lips_model import model_key
from tasks.speech.speaker import speaker

VARIANTS: dict[str, dict[str, dict[str, float]]] = {
    "correction 0.5": {"render": {"correction": 0.5}},
    "correction 0.2": {"render": {"correction": 0.2}},
}
"""Settings whose share in the loss is shown."""


def path_and_drawn(
    clip: Clip, wanted: Artifact, settings: ExemplarSettings
) -> tuple[Mouths, Mouths]:
    """The mouths of the frames that are borrowed, and those that the renderer shall make."""
    chosen = borrowed(clip, wanted, settings)
    mouths = clip.seen.landmarks.read("mouth")
    own = mouths[clip.output_frames.read("source_frame")]
    parts = (chosen.read(name) for name in ("first", "second", "weight"))
    path = mixed_mouths(mouths, *parts)
    moved = mouth_displacement(
        wanted.read("mouth"), path, own, neutral=wanted.read("neutral"), settings=settings.render
    )
    return path, own + chosen.read("opacity")[:, None, None] * moved


def detected(clip: Clip, wanted: Artifact, settings: ExemplarSettings) -> tuple[Mouths, FrameMask]:
    """The mouths that are seen in the dub, and where they are."""
    _, face = largest_face(Source.of(resynthesise(clip, wanted, settings)))
    return face.read("mouth"), face.read("valid")


def stages(clip: Clip) -> Iterator[tuple[str, Mouths, FrameMask]]:
    """Name, mouths, one for each frame, and which of them are known."""
    person = speaker(clip.seen, mel=None, features=None, model=model_key())
    wanted = spoken(clip, clip.speech, person)
    seen = clip.seen.landmarks.read("valid")[clip.output_frames.read("source_frame")]
    yield "asked for by the speech", wanted.read("mouth"), seen
    path, drawn = path_and_drawn(clip, wanted, ExemplarSettings())
    yield "path: lent by the frames chosen", path, seen
    yield "drawn: what the renderer is asked for", drawn, seen
    clock = load_timeline(clip.seen.timeline)
    rate = float(clock.video.rate)
    smooth = smooth_landmarks(drawn, seen, scene_start=clock.scene_start, frame_rate_hz=rate)
    yield "drawn, smoothed as landmarks are", smooth, seen
    yield "detected in the dub", *detected(clip, wanted, ExemplarSettings())
    real = true_motion(clip.seen, speaker=person, output_frames=clip.output_frames)
    yield (
        "drawn, asked for the source's own",
        path_and_drawn(clip, real, ExemplarSettings())[1],
        seen,
    )
    yield "detected, asked for the source's own", *detected(clip, real, ExemplarSettings())
    for name, changed in VARIANTS.items():
        settings = ExemplarSettings.model_validate(changed)
        yield f"drawn, {name}", path_and_drawn(clip, wanted, settings)[1], seen
        yield f"detected, {name}", *detected(clip, wanted, settings)


def compare(clip: Clip, mouth: Mouths, known: FrameMask) -> tuple[float, float, float]:
    """Acceleration of the lips over the source's, correlation of the opening, distance of the lips.

    The distance is in % of face height, as in `benchmarks.quality`.
    """
    clock, face = load_timeline(clip.seen.timeline), clip.seen.landmarks
    both = known & face.read("valid")
    joined = neighbours(clock.seconds, valid=both, scene_start=clock.scene_start)
    own = face.read("mouth")

    def lively(of: Mouths) -> NDArray[np.float32]:
        return acceleration(of[:, len(JAW) :, :2], clock.seconds, joined)

    ratio = np.nanmean(lively(mouth)) / np.nanmean(lively(own))
    correlation = np.corrcoef(opening(mouth[both]), opening(own[both]))[0, 1]
    off = np.linalg.norm((mouth - own)[both][:, len(JAW) :, :2], axis=-1).mean()
    return float(ratio), float(correlation), 100 * float(off)


def main() -> None:
    """Print the table."""
    parser = clip_arguments(__doc__)
    parser.add_argument("--limit", type=int, default=1000)
    parser.add_argument("--only", nargs="*", help="names of clips, without folder and suffix")
    chosen = parser.parse_args()
    rows = clip_rows(chosen.clips, chosen.split, seconds=MIN_SECONDS)
    files = [Path(row["file"]) for row in rows]
    if chosen.only:
        files = [file for file in files if file.stem in chosen.only]
    found: dict[str, list[tuple[float, float, float]]] = {}
    folder = chosen.store or Path(tempfile.mkdtemp(prefix="dubflow-motion-"))
    with open_run(Store(folder)):
        for file in files[: chosen.limit]:
            try:
                clip = prepare(chosen.clips / file)
                figures = {name: compare(clip, *rest) for name, *rest in stages(clip)}
            except (DubflowError, ValueError) as error:
                print(f"{file}: left out: {error}")
                continue
            for name, figure in figures.items():
                found.setdefault(name, []).append(figure)
    table(
        ["", "acceleration", "correlation of opening", "lip distance [%]", "clips"],
        (
            [name, *map(interval, zip(*figures, strict=True)), len(figures)]
            for name, figures in found.items()
        ),
    )


if __name__ == "__main__":
    main()
