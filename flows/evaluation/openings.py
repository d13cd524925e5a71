"""How far lips open over time in the worst results: asked, rendered, true."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from flows.evaluation.item import Scored
from flows.evaluation.settings import SOURCE
from models.metrics.metric import Metric
from models.speech_to_lips.neutral import opening
from stores.artifacts.artifact import Artifact
from stores.artifacts.store import Store
from tasks.source.timeline import load_timeline
from viewer.report.data import OPENINGS, Curve

WORST = 5
"""Results that are shown."""

_JUDGED_BY = ("lip_distance", "lse_d", "lip_leak")
"""The first of these that was measured says which are the worst; lower is better in all."""


def lip_openings(
    scored: Sequence[Scored], metrics: Sequence[Metric], store: Store
) -> Iterator[Curve]:
    """Curves [% of face height] of the worst results, each as its OPENINGS.

    Those are left out that there are not: what was asked where the method predicts no mouth shapes,
    the truth where speech and video were not made together.
    """
    for one in _worst(scored, {metric.name for metric in metrics}):
        seconds = load_timeline(store.get(*one.parts["result"])).seconds
        for what, values in zip(OPENINGS, _openings(one, store), strict=True):
            if values is not None and len(values) == len(seconds):
                yield Curve(what, f"{one.system}, {one.item}", "opening", seconds, 100 * values)


def _worst(scored: Sequence[Scored], known: set[str]) -> list[Scored]:
    """Worst first; results of the same clip by several systems count each."""
    made = [one for one in scored if one.system != SOURCE and not one.failure]
    for name in _JUDGED_BY:
        judged = [(value, one) for one in made if (value := one.values.get(name)) is not None]
        if name in known and judged:
            judged.sort(key=lambda each: (-each[0], each[1].system, each[1].item))
            return [one for _, one in judged[:WORST]]
    return []


def _openings(one: Scored, store: Store) -> tuple[NDArray[np.float32] | None, ...]:
    rendered = _seen(store.get(*one.parts["face"]))
    keys = [key for kind, key in one.touched if kind == "motion"]
    motion = store.find("motion", keys[-1]) if keys else None
    asked = None if motion is None else opening(motion.read("mouth"))
    match = store.get(*one.parts["match"]).read("reference")
    true = np.full(len(match), np.nan, np.float32)
    true[match >= 0] = _seen(store.get(*one.parts["truth"]))[match[match >= 0]]
    paired = "lip_distance" in one.values
    return asked, rendered, true if paired else None


def _seen(face: Artifact) -> NDArray[np.float32]:
    """Of a video, NaN where no face is seen."""
    found = opening(face.read("mouth"))
    found[~face.read("valid")] = np.nan
    return found
