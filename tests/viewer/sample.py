"""A small report with everything in it: two systems, failures, a pooled and a missing metric."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from models.metrics.metric import Metric
from viewer.intervals import crossed_interval
from viewer.report.choose import curves_to_show, moments_to_show
from viewer.report.data import (
    Curve,
    Failure,
    Moment,
    Opinion,
    Opinions,
    Part,
    PooledScore,
    Preference,
    Report,
    Score,
    System,
    Unavailable,
)

METRICS = (
    Metric("psnr", "PSNR", "higher", "Of whole frames, 8-bit RGB.", "Wang 2004", unit="dB"),
    Metric("jitter", "Jitter", "lower", "Acceleration of landmarks.", "ours", digits=3),
    Metric(
        "seam", "Seam <energy>", "zero", "Gradient at the border.", "ours", unit="% of |source|"
    ),
    Metric("lag", "Lag", "none", "Best lag.", "ours", unit="s"),
    Metric("fid", "FID", "lower", "Distance of feature clouds.", "Heusel 2017", digits=1),
    Metric("lse_d", "LSE-D", "lower", "Distance of embeddings.", "Prajwal 2020"),
    Metric("truth", "Needs truth", "lower", "Only where there is a truth.", "ours"),
)
SYSTEMS = (System("exemplar", "our default"), System("other & co", "a folder of videos"))
ITEMS = tuple(f"clip_{number}" for number in range(8))


def scores() -> Iterator[Score]:
    """Values of 8 clips; the second system is 2 dB worse, and two of its figures are missing."""
    random = np.random.default_rng(0)
    for item in ITEMS:
        base = float(random.normal(30, 2))
        for number, system in enumerate(SYSTEMS):
            yield Score(system.name, item, "psnr", base - 2 * number + random.normal(0, 0.1))
            yield Score(system.name, item, "seam", random.normal(0, 1e-5))
            yield Score(system.name, item, "lag", random.normal(0, 0.04))
            failed = number and item in ITEMS[:2]
            value = None if failed else float(random.uniform(0.1, 0.2))
            yield Score(
                system.name, item, "jitter", value, "no face in the result" if failed else ""
            )


def curves(frames: int = 200) -> Iterator[Curve]:
    """PSNR and jitter over time, with a gap and one bad frame in clip_3 of the first system."""
    random = np.random.default_rng(1)
    seconds = np.arange(frames) / 25
    for item in ITEMS:
        for number, system in enumerate(SYSTEMS):
            psnr = 30 - 2 * number + np.cumsum(random.normal(0, 0.2, frames))
            psnr[40:50] = np.nan
            if item == "clip_3" and number == 0:
                psnr[120] = 1.0
            yield Curve(system.name, item, "psnr", seconds, psnr.astype(np.float32))
            yield Curve(system.name, item, "jitter", seconds, random.gamma(2, 0.05, frames))


def report(picture: np.ndarray | None = None) -> Report:
    """The report; `picture` is what its moments show, by default a gradient."""
    if picture is None:
        picture = np.tile(np.linspace(0, 255, 90, dtype=np.uint8)[None, :, None], (60, 1, 3))
    every = list(curves())
    moments = [
        Moment(**vars(pick), result=picture, reference=None if number == 1 else 255 - picture)
        for number, pick in enumerate(moments_to_show(every, METRICS))
    ]
    part = Part(
        "Reconstruction (paired)",
        "Each clip with its own speech.",
        tuple(scores()),
        (PooledScore("exemplar", "fid", 12.34, 8), PooledScore("other & co", "fid", None, 0)),
        (Failure("other & co", "clip_9", "no file clip_9.mp4"),),
        curves_to_show(every, METRICS),
        moments,
    )
    opinion = crossed_interval([4, 5, 3, 4], ["a", "a", "b", "b"], ["x", "y", "x", "y"])
    share = crossed_interval([1, 0.5, 0, 1], ["a", "a", "b", "b"], ["x", "y", "x", "y"])
    opinions = Opinions(
        (Opinion("exemplar", "Is it natural?", opinion, 2),),
        (Preference("exemplar", "other & co", "Which is better?", share, (2, 1, 1), 2),),
    )
    return Report(
        title="Eight clips",
        about="Two systems on eight clips.",
        created="2026-11-05 12:00",
        systems=SYSTEMS,
        metrics=METRICS,
        parts=(part, replace(part, title="Dubbing", curves=(), moments=(), failures=())),
        unavailable=(Unavailable(("lse_d",), "dubflow weights fetch syncnet_v2"),),
        facts={"seed": "7"},
        versions={"dubflow": "0.1.0"},
        licences={"syncnet_v2": "research only"},
        opinions=opinions,
        command="dubflow evaluate --protocol clips",
    )
