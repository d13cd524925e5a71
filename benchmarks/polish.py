"""What expression and the polishing network gain: the same dubs with them and without.

    python -m benchmarks.polish --clips DIR [--split validation] [--store FOLDER] [--limit N]

Clips are dubbed with their own sound as in `benchmarks.quality`, with the mouths that the speech
asks for, alone and with the face's expression, and with the true ones. PSNR, SSIM and lip distance
are those of that page; acceleration is that of `benchmarks.motion`. Sharpness is the variance of
the mouth's Laplacian over the source's, CPBD the share of sharp edges over the source's, of clips
whose mouths are large enough for it; flicker the mean change from frame to frame over the source's.
Gains are means of differences by clip, with their intervals. `--sheets FOLDER` keeps the frames
that the network changes most.
"""

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from skimage.metrics import structural_similarity

from benchmarks.clips import clip_arguments, clip_rows, largest_face
from benchmarks.command import table
from benchmarks.motion import compare as compare_motion
from benchmarks.quality import LUMA, MIN_SECONDS, Clip, mouths, prepare, resynthesise, spoken
from flows.methods.exemplar import ExemplarSettings
from models.metrics.cpbd import BLOCK_SIDE_PX, cpbd
from stores.artifacts.artifact import Artifact
from stores.artifacts.source import Source
from stores.artifacts.store import Store
from stores.errors import DubflowError
from tasks.engine.open_run import open_run
from tasks.methods.polish_pairs import true_motion
from tasks.speech.lips_model import model_key
from tasks.speech.speaker import speaker
from viewer.intervals import mean_interval
from viewer.report.render import interval as show_interval

FIGURES = {
    "PSNR [dB]": 2,
    "SSIM": 4,
    "sharpness": 3,
    "CPBD": 3,
    "flicker": 3,
    "acceleration": 3,
    "correlation of opening": 3,
    "lip distance [%]": 3,
}
"""Figures of a dub, and the digits that are shown."""
SPEECH_ALONE, PREDICTED = "speech alone", "predicted"
WORST = 5
"""Frames of a clip that a sheet shows."""


def wanted(clip: Clip) -> dict[str, Artifact]:
    """The mouths that are asked for, by name."""
    person = speaker(clip.seen, mel=None, features=None, model=model_key())
    return {
        SPEECH_ALONE: spoken(clip, clip.speech, person, expression=False),
        PREDICTED: spoken(clip, clip.speech, person),
        "true": true_motion(person, clip.seen.landmarks, output_frames=clip.output_frames),
    }


def figures(clip: Clip, result: Path) -> list[float]:
    """The FIGURES of a dub; CPBD is NaN where a mouth's box is smaller than a block of it."""
    _, face = largest_face(Source.of(result))
    both = clip.seen.landmarks.read("valid") & face.read("valid")
    psnr, ssim, sharp, edges, moved = [], [], [], [], []
    for mouth in mouths(clip, result, both):
        one, two = (picture.astype(float) for picture in (mouth.original, mouth.dub))
        light = [picture @ LUMA for picture in (one, two)]
        psnr.append(10 * np.log10(255**2 / max(np.square(one - two).mean(), 1e-3)))
        ssim.append(structural_similarity(*light, data_range=255, win_size=7))
        sharp.append([cv2.Laplacian(each, cv2.CV_64F).var() for each in light])
        large = min(one.shape[:2]) >= BLOCK_SIDE_PX
        edges.append([cpbd(each.astype(np.uint8)) if large else np.nan for each in light])
        if mouth.before is not None:
            pairs = zip((one, two), mouth.before, strict=True)
            moved.append([np.abs(now - past.astype(float)).mean() for now, past in pairs])
    means = [np.mean(values, axis=0) for values in (sharp, edges, moved)]
    motion = compare_motion(clip, face.read("mouth"), face.read("valid"))
    ratios = [dub / original for original, dub in means]
    return [float(value) for value in (np.mean(psnr), np.mean(ssim), *ratios, *motion)]


def most_changed(clip: Clip, without: Path, polished: Path) -> NDArray[np.uint8]:
    """Original, dub without and with the network, where it changes most, one row a frame, RGB."""
    every = clip.seen.landmarks.read("valid")
    pairs = zip(mouths(clip, without, every), mouths(clip, polished, every), strict=True)
    rows: list[tuple[float, int, NDArray[np.uint8]]] = []
    for plain, new in pairs:
        change = float(np.abs(plain.dub.astype(float) - new.dub).mean())
        rows.append((change, plain.row, np.hstack([plain.original, plain.dub, new.dub])))
    chosen: list[tuple[float, int, NDArray[np.uint8]]] = []
    for each in sorted(rows, key=lambda row: -row[0]):
        if all(abs(each[1] - other[1]) > 3 for other in chosen) and len(chosen) < WORST:
            chosen.append(each)
    width = max(row.shape[1] for *_, row in chosen)
    padded = [np.pad(r, ((0, 4), (0, width - r.shape[1]), (0, 0))) for *_, r in chosen]
    return np.concatenate(padded)


def measured(clip: Clip, sheet: Path | None) -> Iterator[tuple[str, list[float], list[float]]]:
    """Name, figures without and with the network, of both kinds of mouths."""
    for name, mouth in wanted(clip).items():
        results = [
            resynthesise(clip, mouth, ExemplarSettings.model_validate({"render": {"polish": on}}))
            for on in (False, True)
        ]
        if sheet is not None and name == PREDICTED:
            cv2.imwrite(str(sheet), most_changed(clip, *results)[..., ::-1])
        yield name, figures(clip, results[0]), figures(clip, results[1])


def shown(values: NDArray[np.float64], digits: int) -> str:
    """A mean and its interval, of those clips that have the figure."""
    there = values[np.isfinite(values)]
    if not len(there):
        return "-"
    found = mean_interval(there)
    return f"{found.mean:.{digits}f} {show_interval(found, digits)}"


def main() -> None:
    """Print the table."""
    chosen = arguments().parse_args()
    folder = chosen.store or Path(tempfile.mkdtemp(prefix="dubflow-polish-"))
    rows = clip_rows(chosen.clips, chosen.split, seconds=MIN_SECONDS)[:: chosen.every]
    found: dict[str, list[tuple[list[float], list[float]]]] = {}
    with open_run(Store(folder)):
        for row in rows[: chosen.limit]:
            name = Path(row["file"]).stem
            sheet = None if chosen.sheets is None else chosen.sheets / f"{name}.png"
            try:
                clip = prepare(chosen.clips / row["file"])
                lines = list(measured(clip, sheet))
            except (DubflowError, ValueError) as error:
                print(f"{name}: left out: {error}")
                continue
            for kind, without, polished in lines:
                found.setdefault(kind, []).append((without, polished))
                told = " ".join(f"{a:.3f}>{b:.3f}" for a, b in zip(without, polished, strict=True))
                print(f"{name} {kind}: {told}", flush=True)
    sides = {
        kind: [np.array(side) for side in zip(*pairs, strict=True)] for kind, pairs in found.items()
    }
    for kind, (plain, polished) in sides.items():
        compared(f"{kind} lips, {len(plain)} clips", ("without", plain), ("polished", polished))
    if sides:
        before = ("by speech alone", sides[SPEECH_ALONE][0])
        compared("expression", before, ("with it", sides[PREDICTED][0]))
        compared("expression and polish", before, ("with both", sides[PREDICTED][1]))


def compared(
    title: str, before: tuple[str, NDArray[np.float64]], after: tuple[str, NDArray[np.float64]]
) -> None:
    """Print a table of the FIGURES (clip, figure) under two names, and what is gained."""
    (one, old), (other, new) = before, after
    table(
        [title, one, other, "gain"],
        (
            [name, *(shown(side[:, n], digits) for side in (old, new, new - old))]
            for n, (name, digits) in enumerate(FIGURES.items())
        ),
    )


def arguments() -> argparse.ArgumentParser:
    """Of the command line."""
    parser = clip_arguments(__doc__)
    parser.add_argument("--limit", type=int, default=1000)
    parser.add_argument("--every", type=int, default=1, help="take each so many-th clip")
    parser.add_argument("--sheets", type=Path, help="folder for the frames that change most")
    return parser


if __name__ == "__main__":
    main()
