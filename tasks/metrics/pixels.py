"""Family `pixels`: the result's pixels against the truth's, in three regions."""

import numpy as np

from models.metrics.metric import Metric
from stores.artifacts.artifact import Artifact
from stores.media.frame import Frame
from tasks.engine.stage import Made, stage
from tasks.metrics.crops import FacePair, face_pair
from tasks.metrics.family import Comparison, Family
from tasks.metrics.frames import (
    NO_FACE,
    NO_MATCH,
    SAMPLED,
    SAMPLES,
    SCALED,
    Image,
    Regions,
    blank,
    fitted,
    measured,
    metric_schema,
    other_aspect,
    pairs,
    spread,
)
from tasks.source.timeline import load_timeline

EQUAL_DB = 100.0
"""PSNR of equal pictures, which is infinite, and the most that any other counts for."""

_REGIONS = {
    "full": ("full frame", "On whole frames."),
    "face": (
        "face",
        "On the bounding box of the reference's face mesh, a tenth of its sides wider on each "
        "side; frames in which either face is not seen do not count.",
    ),
    "mouth": (
        "mouth",
        "On the bounding box of the reference's lips, 35 % of its width wider on each side; "
        "frames in which either face is not seen do not count.",
    ),
}
_PIXELS = f"RGB, 0..255, at the result's own resolution; {SCALED}. Mean over frames, paired clips."


def _psnr(region: str) -> Metric:
    title, where = _REGIONS[region]
    return Metric(
        f"psnr_{region}",
        f"PSNR, {title}",
        "higher",
        f"Peak signal to noise ratio of each frame. {where} {_PIXELS} Equal pictures count "
        f"{EQUAL_DB:g} dB.",
        "scikit-image, peak_signal_noise_ratio, data range 255",
        unit="dB",
    )


def _ssim(region: str) -> Metric:
    title, where = _REGIONS[region]
    sampled = f" Of {SAMPLED}." if region == "full" else ""
    return Metric(
        f"ssim_{region}",
        f"SSIM, {title}",
        "higher",
        f"Structural similarity, -1..1, mean over pixels and channels, uniform windows of 7 x 7 "
        f"px. {where} {_PIXELS}{sampled}",
        "Wang et al. 2004; scikit-image, structural_similarity, its default window",
        digits=4,
    )


METRICS = tuple(make(region) for region in _REGIONS for make in (_psnr, _ssim))

PIXELS = metric_schema(
    "metric_pixels", [metric.name for metric in METRICS], "Pixels against the truth's."
)


@stage(PIXELS, version=1)
def pixels(pair: FacePair, *, most: int = SAMPLES) -> Made:
    """PSNR and SSIM of each frame.

    Args:
        most: Frames of the full-frame SSIM.
    """
    from models.metrics.similarity import psnr, ssim

    mine, theirs = load_timeline(pair.result_timeline), load_timeline(pair.reference_timeline)
    arrays = {metric.name: blank(len(mine)) for metric in METRICS}
    reasons = dict.fromkeys(arrays, NO_FACE) | {"psnr_full": NO_MATCH, "ssim_full": NO_MATCH}
    if reason := other_aspect(mine, theirs):
        return measured(arrays, dict.fromkeys(arrays, reason))
    size = (mine.video.width, mine.video.height)
    rows = pair.match.read("reference")
    sampled = set(spread(np.flatnonzero(rows >= 0), most).tolist())
    regions = Regions.of(pair.reference_landmarks).scaled(theirs, mine)
    seen = pair.result_landmarks.read("valid")
    videos = (pair.result, mine), (pair.reference, theirs)
    for row, frame, beside in pairs(*videos, rows):
        image, truth = frame.rgb(), fitted(beside.rgb(), size)
        arrays["psnr_full"][row] = min(psnr(image, truth), EQUAL_DB)
        if row in sampled:
            arrays["ssim_full"][row] = ssim(image, truth)
        if not (seen[row] and regions.valid[rows[row]]):
            continue
        for region, box in _boxes(regions, int(rows[row]), frame).items():
            part, true_part = _cut(image, box), _cut(truth, box)
            arrays[f"psnr_{region}"][row] = min(psnr(part, true_part), EQUAL_DB)
            arrays[f"ssim_{region}"][row] = ssim(part, true_part)
    return measured(arrays, reasons)


def _boxes(regions: Regions, row: int, frame: Frame) -> dict[str, tuple[int, int, int, int]]:
    found = {"face": regions.face_pixels(row, frame), "mouth": regions.mouth_pixels(row, frame)}
    return {name: box for name, box in found.items() if box is not None}


def _cut(image: Image, box: tuple[int, int, int, int]) -> Image:
    x0, y0, x1, y1 = box
    return image[y0:y1, x0:x1]


def measure(comparison: Comparison) -> Artifact:
    """PSNR and SSIM of a comparison."""
    return pixels(face_pair(comparison))


FAMILY = Family("pixels", "picture", METRICS, measure, paired_only=True)
