"""Places of a dub that deserve a look: what other stages measured, judged by models/suspects."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.faces.mesh.align import Pose
from models.faces.mesh.indices import JAW, RIGID
from models.faces.occlusion import covered_share
from models.metrics.articulation import levels as levels_of
from models.metrics.articulation import width
from models.metrics.lips import neighbours, silent_and_sounding
from models.metrics.lips import speed as lip_speed
from models.speech_to_lips.neutral import opening
from models.suspects import lips, picture, place, sound
from models.suspects.suspect import CLASSES, Suspect, heaviest
from stores.artifacts.artifact import Artifact
from stores.artifacts.schema import Schema, series
from stores.errors import StoreError
from tasks.engine.stage import Made, stage
from tasks.metrics.agreement import motions
from tasks.metrics.match import MATCH
from tasks.metrics.phones import load_phones, why_not_sure
from tasks.result.output_frames import scene_starts
from tasks.source.landmarks import load_pose, mean_face
from tasks.source.timeline import load_timeline

_READ_ROWS = 256
_NO_EXTRA = "pip install 'dubflow[metrics]'"

SUSPECTS = Schema(
    "suspects",
    {
        "class": series("place in the attribute `classes`", dtype="int32", dim="suspect"),
        "start": series("first output row", dtype="int64", dim="suspect"),
        "stop": series("output row after the last", dtype="int64", dim="suspect"),
        "weight": series("0.2 at the limit .. 1", dim="suspect"),
        "opening": series("of the dub's mouth; NaN without a face", "face heights"),
    },
    {},
    "Places that deserve a look, heaviest first; attributes hold `reasons` and `not_judged`.",
)


@stage(MATCH, version=1)
def shown(output_frames: Artifact, timeline: Artifact) -> Made:
    """The source's frame beside each of a dub's: the one that it shows.

    Args:
        timeline: Of the dub.

    Raises:
        StoreError: the dub has other frames than were laid out.
    """
    rows = output_frames.read("source_frame")
    if len(rows) != timeline.sizes["frame"]:
        raise StoreError(
            f"the dubbed file has {timeline.sizes['frame']} frames, {len(rows)} were laid out: "
            "dub it again"
        )
    return Made({"reference": rows})


@dataclass(frozen=True)
class _Dub:
    """What the rules look at, one row per output frame."""

    seconds: NDArray[np.float64]
    cuts: NDArray[np.bool_]
    pose: Pose
    in_source: NDArray[np.bool_]
    made: NDArray[np.bool_]
    seen: NDArray[np.bool_]
    mouth: NDArray[np.float32]
    joined: NDArray[np.bool_]


@stage(SUSPECTS, version=1)
def suspects(
    landmarks: Artifact,
    timeline: Artifact,
    *,
    match: Artifact,
    source_landmarks: Artifact,
    source_timeline: Artifact,
    faces: Artifact,
    track: Artifact,
    render: Artifact | None,
    motion: Artifact | None,
    pictures: Artifact,
    source_pictures: Artifact,
    drift: Artifact | None,
    levels: Artifact,
    mel: Artifact | None,
    phones: Artifact | None,
    descriptors: Artifact | None,
    source_descriptors: Artifact | None,
    sampled: list[int],
    model: str,
) -> Made:
    """Judge a dub by every rule whose inputs are there.

    Args:
        landmarks: Of the dub, as it is seen in the file.
        timeline: Of the dub.
        match: Of `shown`.
        faces: Of the source.
        track: Of the source: the face that was dubbed.
        render: The mouths; None if no face was found.
        motion: That the speech asks for; None for a method that does not predict it.
        pictures: `mouth_pictures` of the dub.
        source_pictures: The same of the source.
        drift: Of `tasks.metrics.drift`; None where the source is repeated.
        levels: `sound_levels` of the new speech.
        mel: Of the dub's own sound; None where it holds more than the speech.
        phones: Of the new speech; None without pocketsphinx.
        descriptors: dlib's of the dub at the rows `sampled`; None without dlib.
        source_descriptors: The same of the source's frames that are shown there, each once.
        sampled: Rows, rising.
        model: `listener_key()`, so that the rules follow the weights.
    """
    dub = _dub(landmarks, timeline, match, source_landmarks, source_timeline, render)
    gap = opening(dub.mouth)
    gap[~dub.seen] = np.nan
    found = [
        *place.no_face(dub.in_source, dub.seconds),
        *place.covered(dub.in_source, dub.made, dub.seconds),
        *_places(dub, match, faces, track, render),
        *_pictures(dub, match, motion, pictures, source_pictures, drift),
    ]
    not_judged: dict[str, str] = {}
    own = opening(source_landmarks.read("mouth"))[source_landmarks.read("valid")]
    both = np.concatenate([own, gap[dub.seen]])
    if len(both):
        found += _rest(dub, gap, levels_of(both), levels)
        found += _spoken(dub, gap, source_landmarks, phones, not_judged)
    if drift is None:
        not_judged["seam"] = "the source is shown repeated or backwards"
    if mel is None:
        not_judged["sound"] = "the dub's sound holds more than the new speech"
    elif dub.seen.any():
        found += sound.out_of_step(
            *motions(dub.mouth[dub.seen], dub.seconds[dub.seen], mel), dub.seconds
        )
    if descriptors is None or source_descriptors is None:
        not_judged["identity"] = f"by dlib: {_NO_EXTRA}; by the look of the lower face it is judged"
    else:
        rows = np.array(sampled, np.int64)
        apart = _apart(descriptors, source_descriptors, match.read("reference")[rows])
        found += picture.distant(apart, rows, dub.seconds[rows])
    return _listed(heaviest(found), gap, not_judged)


def _listed(found: list[Suspect], gap: NDArray[np.float32], not_judged: dict[str, str]) -> Made:
    names = list(CLASSES)
    return Made(
        {
            "class": np.array([names.index(each.kind) for each in found], np.int32),
            "start": np.array([each.start for each in found], np.int64),
            "stop": np.array([each.stop for each in found], np.int64),
            "weight": np.array([each.weight for each in found], np.float32),
            "opening": gap,
        },
        {
            "classes": [{"name": name, "title": title} for name, title in CLASSES.items()],
            "reasons": [each.reason for each in found],
            "not_judged": not_judged,
        },
    )


def _dub(
    landmarks: Artifact,
    timeline: Artifact,
    match: Artifact,
    source_landmarks: Artifact,
    source_timeline: Artifact,
    render: Artifact | None,
) -> _Dub:
    rows = match.read("reference")
    clip = load_timeline(timeline)
    cuts = scene_starts(load_timeline(source_timeline).scene_start, rows)
    in_source = source_landmarks.read("valid")[rows]
    made = np.zeros(len(rows), bool) if render is None else render.read("valid")
    seen = landmarks.read("valid")
    return _Dub(
        seconds=clip.seconds,
        cuts=cuts,
        pose=load_pose(source_landmarks).at(rows),
        in_source=in_source,
        made=made,
        seen=seen,
        mouth=landmarks.read("mouth"),
        joined=neighbours(clip.seconds, valid=seen, scene_start=cuts),
    )


def _places(
    dub: _Dub, match: Artifact, faces: Artifact, track: Artifact, render: Artifact | None
) -> list[Suspect]:
    rows = match.read("reference")
    middle = _middles(faces, track)[rows]
    there = np.isfinite(middle[:, 0]) & dub.in_source
    joined = neighbours(dub.seconds, valid=there, scene_start=dub.cuts)
    joined &= np.append(False, np.diff(rows) != 0)
    usable = joined & np.append(joined[1:], False)
    found = place.box_jumps(middle, dub.pose.scale, usable, dub.seconds)
    if render is not None:
        size, transform = render.sizes["x"], render.read("transform")
        found += place.pasted_off(transform, size, dub.pose, dub.made & dub.in_source, dub.seconds)
    return found


def _middles(faces: Artifact, track: Artifact) -> NDArray[np.float32]:
    """Middle (frame, 2) of the chosen face's rigid points as detected [px]; NaN without it."""
    slot = track.read("slot")
    middle = np.full((len(slot), 2), np.nan, np.float32)
    for start in range(0, len(slot), _READ_ROWS):
        part = slot[start : start + _READ_ROWS]
        meshes = faces.read("landmarks", start, start + len(part))
        rigid = meshes[np.arange(len(part)), np.maximum(part, 0)][:, list(RIGID), :2]
        middle[start : start + len(part)] = np.where(part[:, None] >= 0, rigid.mean(1), np.nan)
    return middle


def _pictures(
    dub: _Dub,
    match: Artifact,
    motion: Artifact | None,
    pictures: Artifact,
    source_pictures: Artifact,
    drift: Artifact | None,
) -> list[Suspect]:
    both = dub.joined & dub.made & np.append(False, dub.made[:-1])
    shown_made = dub.made & dub.seen & dub.in_source
    unusual = covered_share(
        pictures.read("look"),
        shown_made,
        mean_face=mean_face(),
        scene_start=dub.cuts,
        usual=source_pictures.read("look")[match.read("reference")],
    )
    asked = None
    if motion is not None and len(wanted := motion.read("mouth")[:, len(JAW) :, :2]) > 1:
        moved = np.linalg.norm(np.diff(wanted, axis=0), axis=-1).mean(-1)
        asked = np.append(0, moved).astype(np.float32)
    found = picture.jumps(
        pictures.read("step"), source_pictures.read("step"), asked, both, dub.seconds
    )
    found += picture.strangers(unusual, shown_made, dub.seconds)
    if drift is not None:
        found += picture.seams(drift.read("seam"), dub.made, dub.seconds)
    return found


def _rest(
    dub: _Dub, gap: NDArray[np.float32], between: tuple[float, float], levels: Artifact
) -> list[Suspect]:
    silent, sounding = silent_and_sounding(levels.read("level").astype(np.float64), dub.seconds)
    low, high = between
    relative = np.asarray((gap - low) / max(high - low, 1e-6), np.float32)
    moving = lip_speed(dub.mouth[:, len(JAW) :, :2], dub.seconds, dub.joined)
    relative[~dub.made] = np.nan
    moving[~dub.made] = np.nan
    return lips.restless(relative, moving, silent, sounding, dub.seconds)


def _spoken(
    dub: _Dub,
    gap: NDArray[np.float32],
    source: Artifact,
    phones: Artifact | None,
    not_judged: dict[str, str],
) -> list[Suspect]:
    reason = _NO_EXTRA if phones is None else why_not_sure(phones)
    if phones is None or reason is not None:
        not_judged |= {need.kind: str(reason) for need in lips.NEEDS}
        return []
    wide = width(dub.mouth)
    wide[~dub.seen] = np.nan
    own, valid = source.read("mouth"), source.read("valid")
    measures: dict[str, tuple[NDArray[np.float32], Callable[[Any], NDArray[np.float32]]]]
    measures = {"opening": (gap, opening), "width": (wide, width)}
    spans, labels = load_phones(phones)
    found = []
    for need in lips.NEEDS:
        values, measure = measures[need.measure]
        values = np.where(dub.made, values, np.nan).astype(np.float32)
        both = np.concatenate([measure(own)[valid], values[np.isfinite(values)]])
        found += lips.needed(need, values, levels_of(both), dub.seconds, spans, labels)
    return found


def _apart(
    result: Artifact, source: Artifact, shown_rows: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Distance (sample,) of descriptors; NaN where either has none.

    Args:
        source: Of the source's frames, each once, rising.
        shown_rows: The source's frame at each sample.
    """
    at = np.searchsorted(np.unique(shown_rows), shown_rows)
    apart = np.linalg.norm(result.read("descriptor") - source.read("descriptor")[at], axis=1)
    both = result.read("valid") & source.read("valid")[at]
    return np.where(both, apart, np.nan).astype(np.float32)
