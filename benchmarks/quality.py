"""Paired re-synthesis on real clips: does the dub show the mouth that the person really made?

    python -m benchmarks.quality --clips DIR [--split validation] [--store FOLDER] [--limit N]

Each clip is dubbed with its own sound. No frame may borrow from within 1 s of itself, and the
speech model is not adapted to the clip, whose mouth it would have seen. Landmarks are detected
anew in the result and compared with the original's, head pose removed: as recorded, and in step,
which takes out how much later than its sound the original's picture is. Baselines use the same
renderer. Clips are those of at least MIN_SECONDS; intervals are bootstraps over clips.
"""

import json
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, astuple, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.io import wavfile
from skimage.metrics import structural_similarity

from benchmarks.baselines import closed, other_moment
from benchmarks.clips import clip_arguments, clip_rows, largest_face
from benchmarks.command import table
from flows.methods.exemplar import ExemplarSettings, borrowed_mouths, expression_of, heard
from models.arrays import Mouths
from models.faces.mesh.indices import LIPS, MOUTH
from models.faces.settings import BlendSettings
from models.speech_to_lips.lag import shifted
from models.speech_to_lips.neutral import opening
from stores.artifacts.artifact import Artifact
from stores.artifacts.source import Source
from stores.artifacts.store import Store
from stores.errors import DubflowError
from stores.media.read import read_frames
from stores.media.scanning import scan
from stores.media.settings import EncodeSettings, MuxSettings
from tasks.engine.open_run import open_run
from tasks.methods.exemplar import lenders
from tasks.methods.polish_pairs import true_motion
from tasks.metrics.agreement import agreement
from tasks.result.composite import composite
from tasks.result.dubbed import dubbed
from tasks.result.output_frames import lay_out, output_frames
from tasks.result.settings import SyncSettings
from tasks.source.crops import crops
from tasks.source.seen import Seen
from tasks.source.timeline import load_timeline
from tasks.source.visibility import visibility
from tasks.speech.lips_model import listener_key, model_key
from tasks.speech.mel import mel
from tasks.speech.motion import motion
from tasks.speech.speaker import speaker
from tasks.speech.waveform import waveform
from viewer.intervals import mean_interval
from viewer.report.render import interval as show_interval

MIN_SECONDS = 4.0
APART_S = 1.0
SEED = 0
LUMA = np.array([0.299, 0.587, 0.114])
_LIP_ROWS = [MOUTH.index(point) for point in LIPS]


@dataclass(frozen=True)
class Score:
    """One result against the original, means over frames.

    Attributes:
        lip_distance: mean distance of 40 lip points [% of face height].
        psnr: in the mouth region [dB].
        ssim: in the mouth region, on luma, 0..1.
        opening_correlation: of the mouth opening over time.
        lip_distance_in_step: as `lip_distance`, from the original's mouth as much later as its
            picture is later than its sound.
        correlation_in_step: of the opening, likewise.
    """

    lip_distance: float
    psnr: float
    ssim: float
    opening_correlation: float
    lip_distance_in_step: float
    correlation_in_step: float


@dataclass(frozen=True)
class Clip:
    """A clip that is made again with its own speech."""

    seen: Seen
    output_frames: Artifact
    end_pts: int

    @property
    def speech(self) -> Artifact:
        """Its own."""
        assert self.seen.waveform is not None
        return self.seen.waveform


def prepare(clip: Path) -> Clip:
    """The shared stages."""
    video = Source.of(clip)
    frames, face = largest_face(video)
    sound = waveform(video)
    showing, length = lay_out(frames, float(sound.attributes["seconds"]), SyncSettings())
    out = output_frames(frames, showing=showing)
    return Clip(Seen(video, frames, face, sound), out, length.end_pts)


def variants(clip: Clip, person: Artifact) -> dict[str, Callable[[], Artifact]]:
    """Name → what gives the wanted mouth."""
    seen, frames = clip.seen, clip.output_frames
    return {
        "exemplar": lambda: spoken(clip, clip.speech, person),
        "by speech alone": lambda: spoken(clip, clip.speech, person, expression=False),
        "closed mouth": lambda: closed(person, frames),
        "random other moment": lambda: other_moment(
            seen, speaker=person, output_frames=frames, apart_s=APART_S, seed=SEED
        ),
        "true mouth shapes": lambda: true_motion(seen, speaker=person, output_frames=frames),
    }


def spoken(clip: Clip, sound: Artifact, person: Artifact, *, expression: bool = True) -> Artifact:
    """The mouth that a sound asks for, with the expression of the frame's own face or without."""
    return motion(
        clip.seen,
        **heard(sound),
        speaker=person,
        expression=expression_of(clip.seen, person) if expression else None,
        output_frames=clip.output_frames,
    )


def borrowed(clip: Clip, wanted: Artifact, settings: ExemplarSettings) -> Artifact:
    """The `lenders` of a wanted mouth, none of them near in time."""
    bank = crops(clip.seen, settings=settings.crops)
    return lenders(
        clip.seen,
        motion=wanted,
        crops=bank,
        visibility=visibility(clip.seen, crops=bank),
        output_frames=clip.output_frames,
        settings=settings.lenders,
        render=settings.render,
        exclude_within_s=APART_S,
    )


def rendered(clip: Clip, wanted: Artifact, settings: ExemplarSettings) -> Artifact:
    """The `render` of a wanted mouth."""
    bank = crops(clip.seen, settings=settings.crops)
    apart = settings.model_copy(update={"exclude_within_s": APART_S})
    free = visibility(clip.seen, crops=bank)
    return borrowed_mouths(clip.seen, wanted, bank, free, clip.output_frames, apart)


def resynthesise(clip: Clip, wanted: Artifact, settings: ExemplarSettings | None = None) -> Path:
    """Render a wanted mouth; the dubbed file."""
    settings, encode = settings or ExemplarSettings(), EncodeSettings()
    seen, frames = clip.seen, clip.output_frames
    made = rendered(clip, wanted, settings)
    picture = composite(
        seen,
        output_frames=frames,
        render=made,
        blend=BlendSettings(),
        encode=encode,
        mark=None,
        label=None,
    )
    result = dubbed(
        picture,
        seen.timeline,
        output_frames=frames,
        end_pts=clip.end_pts,
        speech=seen.video,
        speech_track=None,
        background=None,
        background_track=None,
        background_db=None,
        background_from=0.0,
        encode=encode,
        sound=MuxSettings(),
        suffix=".mp4",
        mark=None,
    )
    return result.file(result.attributes["file"])


def compare(clip: Clip, result: Path) -> Score:
    """Detect the face in the result anew and compare it with the original."""
    _, face = largest_face(Source.of(result))
    there = clip.seen.landmarks.read("valid")
    both = there & face.read("valid")
    before, after = clip.seen.landmarks.read("mouth"), face.read("mouth")
    late = lag_seconds(clip) * float(load_timeline(clip.seen.timeline).video.rate)
    at = np.arange(len(both)) + late
    known = (shifted(there.astype(np.float32), late) > 0.99) & (at >= 0) & (at <= len(both) - 1)
    distance, correlation = _lips(before[both], after[both])
    use = both & known
    in_step = _lips(shifted(before, late)[use], after[use])
    return Score(distance, *_pixels(clip, result, both), correlation, *in_step)


def lag_seconds(clip: Clip) -> float:
    """How much later the clip's picture is than its sound, as the listening model finds it."""
    clock, face = clip.seen.timeline, clip.seen.landmarks
    heard_and_seen = agreement(face, clock, mel=mel(clip.speech), model=listener_key())
    return heard_and_seen.attributes["values"]["agreement_lag"] or 0.0


def _lips(before: Mouths, after: Mouths) -> tuple[float, float]:
    """Distance of the lips [% of face height], and correlation of the opening."""
    distance = np.linalg.norm((after - before)[:, _LIP_ROWS, :2], axis=-1).mean()
    return 100 * float(distance), float(np.corrcoef(opening(before), opening(after))[0, 1])


def _pixels(clip: Clip, result: Path, both: NDArray[np.bool_]) -> tuple[float, float]:
    """PSNR and SSIM in a box around the original's lips, half as large again on every side."""
    psnr, ssim = [], []
    for mouth in mouths(clip, result, both):
        one, two = (picture.astype(float) for picture in (mouth.original, mouth.dub))
        psnr.append(10 * np.log10(255**2 / max(np.square(one - two).mean(), 1e-3)))
        ssim.append(structural_similarity(one @ LUMA, two @ LUMA, data_range=255, win_size=7))
    return float(np.mean(psnr)), float(np.mean(ssim))


@dataclass(frozen=True)
class MouthBox:
    """The box around the original's lips, half as large again on every side, in both videos.

    Attributes:
        row: Number of the frame.
        original: RGB.
        dub: RGB.
        before: The same box of both videos in the frame before; None for the first.
    """

    row: int
    original: NDArray[np.uint8]
    dub: NDArray[np.uint8]
    before: tuple[NDArray[np.uint8], NDArray[np.uint8]] | None


def mouths(clip: Clip, result: Path, both: NDArray[np.bool_]) -> Iterator[MouthBox]:
    """The mouths of all frames that show one in both videos."""
    original, dub = scan(clip.seen.video.path), scan(result)
    points = clip.seen.landmarks.read("landmarks")[:, list(LIPS), :2]
    pairs = zip(
        read_frames(clip.seen.video.path, original, 0, len(original)),
        read_frames(result, dub, 0, len(dub)),
        strict=True,
    )
    before = None
    for row, (a, b) in enumerate(pairs):
        low, high = points[row].min(0), points[row].max(0)
        half = 0.5 * (high - low)
        x0, y0 = np.maximum(low - half, 0).astype(int).tolist()
        x1, y1 = np.minimum(high + half, (a.width, a.height)).astype(int).tolist()
        if both[row] and min(x1 - x0, y1 - y0) >= 8:
            one, two = (frame.crop_rgb(x0, y0, x1, y1) for frame in (a, b))
            past = None if before is None else tuple(f.crop_rgb(x0, y0, x1, y1) for f in before)
            yield MouthBox(row, one, two, past)
        before = (a.copy(), b.copy())


def silence(clip: Clip, person: Artifact, folder: Path) -> tuple[float, float, float]:
    """Opening of the dub under silence, the speaker's closed level, and its open level.

    All in % of face height: mean of the result; mean of the most closed fifth and ninth decile of
    the original.
    """
    quiet = folder / "silence.wav"
    if not quiet.exists():
        wavfile.write(quiet, 16000, np.zeros(16000 * 10, np.int16))
    wanted = spoken(clip, waveform(Source.of(quiet)), person)
    result = resynthesise(clip, wanted)
    _, face = largest_face(Source.of(result))
    original = opening(clip.seen.landmarks.read("mouth")[clip.seen.landmarks.read("valid")])
    closed_level = np.sort(original)[: max(1, len(original) // 5)].mean()
    made = opening(face.read("mouth")[face.read("valid")]).mean()
    return 100 * float(made), 100 * float(closed_level), 100 * float(np.quantile(original, 0.9))


def interval(values: Sequence[float]) -> str:
    """Mean and bootstrap 95 % interval over clips."""
    found = mean_interval(values)
    return f"{found.mean:.3f} {show_interval(found, 3)}"


def main() -> None:
    parser = clip_arguments(__doc__)
    parser.add_argument("--limit", type=int, default=1000)
    parser.add_argument("--out", type=Path, help="JSON lines, one per clip")
    arguments = parser.parse_args()
    rows = clip_rows(arguments.clips, arguments.split, seconds=MIN_SECONDS)[: arguments.limit]
    folder = arguments.store or Path(tempfile.mkdtemp(prefix="dubflow-quality-"))
    scores: dict[str, list[Score]] = {}
    quiet: list[tuple[float, float, float]] = []
    with open_run(Store(folder), workers=2):
        for row in rows:
            try:
                clip = prepare(arguments.clips / row["file"])
                person = speaker(clip.seen, mel=None, features=None, model=model_key())
                line = {
                    name: compare(clip, resynthesise(clip, wanted()))
                    for name, wanted in variants(clip, person).items()
                }
                still = silence(clip, person, folder)
            except (DubflowError, ValueError) as error:
                print(f"{row['file']}: left out: {error}")
                continue
            for name, score in line.items():
                scores.setdefault(name, []).append(score)
            quiet.append(still)
            shown = ", ".join(f"{n} {s.lip_distance:.2f}" for n, s in line.items())
            print(f"{row['file']}: lip distance {shown}; silence {still[0]:.2f}", flush=True)
            if arguments.out:
                record = {n: asdict(s) for n, s in line.items()} | {"silence": still}
                with arguments.out.open("a") as out:
                    out.write(json.dumps({"file": row["file"], **record}) + "\n")
    report(scores, quiet)


def report(scores: dict[str, list[Score]], quiet: list[tuple[float, float, float]]) -> None:
    """Print the tables."""
    table(
        [
            *("", "lip distance [% face height]", "PSNR [dB]", "SSIM", "opening correlation"),
            *("lip distance, in step", "opening correlation, in step", "n"),
        ],
        (
            [name, *map(interval, zip(*map(astuple, found), strict=True)), len(found)]
            for name, found in scores.items()
        ),
    )
    made, level, wide = (np.array(column) for column in zip(*quiet, strict=True))
    limit = level + 0.1 * (wide - level)
    print(f"\nsilence: mean opening {made.mean():.2f} %, closed level {level.mean():.2f} %, ")
    print(f"closed level + 10 % of the range to the open level {limit.mean():.2f} %; ")
    print(f"{(made <= limit).sum()} of {len(made)} clips under it")
    for name in ("closed mouth", "random other moment"):
        better = [
            a.lip_distance < b.lip_distance
            for a, b in zip(scores["exemplar"], scores[name], strict=True)
        ]
        print(f"exemplar nearer than {name} in {sum(better)} of {len(better)} clips")


if __name__ == "__main__":
    main()
