"""The face that is dubbed: faces linked through time, and one person of them chosen."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.faces.persons import join_tracks
from models.faces.tracks import Track, choose_track
from stores.artifacts.artifact import Artifact
from stores.artifacts.schema import ArraySpec, Schema
from stores.artifacts.source import Source
from stores.errors import SettingsError
from stores.media.timeline import Timeline
from tasks.engine.stage import Made, stage
from tasks.source.face_descriptors import (
    NONE,
    face_descriptors,
    installed_recogniser,
    link_tracks,
)
from tasks.source.timeline import load_timeline

MAX_LISTED = 100
"""Tracks that the artifact describes, largest first."""

TRACK = Schema(
    "track",
    {
        "slot": ArraySpec(
            ("frame",), "int32", "", "face of `faces`, -1 where not seen", chunk=4096, shard=65536
        ),
    },
    {},
    "The chosen face through time.",
)


def follow_person(
    video: Source, timeline: Artifact, faces: Artifact, *, face: str = "largest"
) -> Artifact:
    """The `track` of one person, who is known again after cuts if a recogniser is installed."""
    looks = face_descriptors(video, timeline, faces=faces, recogniser=installed_recogniser())
    return track(faces, timeline, face=face, descriptors=looks)


@stage(TRACK, version=2)
def track(faces: Artifact, timeline: Artifact, *, face: str, descriptors: Artifact) -> Made:
    """Link faces through time, join those of one person, and choose one.

    Args:
        face: As `DubSettings.face`.
        descriptors: Of `face_descriptors`: how a person is known again.

    Raises:
        SettingsError: there is no such face; the message lists those that exist.
    """
    clip = load_timeline(timeline)
    tracks = join_tracks(
        link_tracks(faces, clip),
        descriptors.read("descriptor"),
        scene_start=clip.scene_start,
        time_s=clip.seconds,
    )
    if len(tracks) == 0 and face == "largest":
        slot = np.full(len(clip), -1, np.int32)
        return Made({"slot": slot}, {"tracks": [], "notes": []})
    try:
        index = choose_track(tracks, face, time_s=clip.file_seconds)
    except ValueError as error:
        raise SettingsError(f"--face {face}: {error}") from error
    known_again = descriptors.attributes["recogniser"] != NONE
    return Made(
        {"slot": tracks[index].slot(len(clip))},
        {
            "chosen": index,
            "tracks": [_facts(each, clip) for each in tracks[:MAX_LISTED]],
            "notes": _notes(tracks, index, clip, known_again=known_again),
        },
    )


def _facts(track: Track, clip: Timeline) -> dict[str, Any]:
    """What a person needs to know a track: when it is seen, and its clearest view."""
    sides = track.boxes[:, 2:] - track.boxes[:, :2]
    best = int(sides.prod(axis=1).argmax())
    return {
        "frames": len(track.frames),
        "first_seconds": round(float(clip.seconds[track.frames[0]]), 3),
        "last_seconds": round(float(clip.seconds[track.frames[-1]]), 3),
        "width_px": round(float(np.median(sides[:, 0])), 1),
        "view_frame": int(track.frames[best]),
        "view_box": [round(float(edge), 1) for edge in track.boxes[best]],
    }


def _notes(tracks: Sequence[Track], chosen: int, clip: Timeline, *, known_again: bool) -> list[str]:
    """What a user should know where other faces are seen while the chosen one is not."""
    mine = np.zeros(len(clip), bool)
    mine[tracks[chosen].frames] = True
    others = np.zeros(len(clip), bool)
    for other in tracks:
        others[other.frames] = True
    left = others & ~mine
    if not left.any():
        return []
    row = int(np.argmax(left))
    x0, y0, x1, y1 = next(
        each.boxes[each.frames == row][0] for each in tracks if row in each.frames
    )
    place = f"{(x0 + x1) / 2:.0f},{(y0 + y1) / 2:.0f}@{clip.file_seconds[row]:.2f}"
    when = " after cuts" if clip.scene_start[1:].any() else ""
    of = "the part that was read" if clip.part else "the source"
    how = "" if known_again else "; to know a person again after a cut, install dubflow[metrics]"
    return [
        f"several persons{when}: frames {_ranges(left)} of {of} show another face than the "
        f"chosen one and stay as they are; `dubflow faces` shows all, --face {place} chooses the "
        f"first of them{how}"
    ]


def _ranges(mask: NDArray[np.bool_]) -> str:
    """As in "3-7, 9-9"; the first eight."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8)))
    found = [f"{start}-{stop - 1}" for start, stop in zip(edges[::2], edges[1::2], strict=True)]
    return ", ".join(found[:8]) + (", …" if len(found) > 8 else "")
