"""The face that is dubbed: faces linked through time, and one of them chosen."""

import numpy as np

from models.faces.tracks import choose_track, link_faces
from stores.artifacts.artifact import Artifact
from stores.artifacts.schema import ArraySpec, Schema
from stores.errors import SettingsError
from tasks.engine.stage import Made, stage
from tasks.source.timeline import load_timeline

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


@stage(TRACK, version=1)
def track(faces: Artifact, timeline: Artifact, *, face: str) -> Made:
    """Link faces through time and choose one.

    Raises:
        SettingsError: there is no such face; the message lists those that exist.
    """
    clip = load_timeline(timeline)
    tracks = link_faces(
        faces.read("box"),
        faces.read("score"),
        scene_start=clip.scene_start,
        time_s=clip.seconds,
    )
    if len(tracks) == 0 and face == "largest":
        slot = np.full(len(clip), -1, np.int32)
        return Made({"slot": slot}, {"tracks": []})
    try:
        index = choose_track(tracks, face, time_s=clip.seconds)
    except ValueError as error:
        raise SettingsError(f"--face {face}: {error}") from error
    return Made({"slot": tracks.slot[index]}, {"tracks": tracks.describe(clip.seconds)})
