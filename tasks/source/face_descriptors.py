"""What the faces of a video look like, so that a person is known again after a cut."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.faces.tracks import Track, link_faces
from stores.artifacts.artifact import Artifact
from stores.artifacts.schema import ArraySpec, Schema
from stores.artifacts.source import Source
from stores.errors import SettingsError
from stores.media.read import read_frames
from stores.media.timeline import Timeline
from tasks.engine.stage import Made, stage
from tasks.source import dlib_recogniser
from tasks.source.area import area_of_crop
from tasks.source.timeline import load_timeline

SAMPLES = 5
"""Frames of each track that are looked at, evenly over it."""

NONE = "none"
"""In place of a recogniser's name: no face is known again."""


@dataclass(frozen=True)
class Recogniser:
    """A network that tells persons apart.

    Attributes:
        installed: whether it can be used.
        transform: mesh (478, 3) [frame px] → (2, 3) float32, frame px to px of the aligned face.
        size: side of the aligned face [px].
        describe: aligned faces (n, size, size, 3) uint8 RGB → descriptors (n, FEATURES) float32,
            whose distances have dlib's scale.
    """

    installed: Callable[[], bool]
    transform: Callable[[NDArray[np.float32]], NDArray[np.float32]]
    size: int
    describe: Callable[[NDArray[np.uint8]], NDArray[np.float32]]


FEATURES = dlib_recogniser.FEATURES
"""Length of a descriptor."""

RECOGNISERS = {
    "dlib": Recogniser(
        dlib_recogniser.installed,
        dlib_recogniser.transform,
        dlib_recogniser.SIZE,
        dlib_recogniser.describe,
    )
}
"""By name, best first."""

DESCRIPTORS = Schema(
    "face_descriptors",
    {
        "first_frame": ArraySpec(("track",), "int64", "frame", "first of the track", shard=4096),
        "first_slot": ArraySpec(("track",), "int32", "", "face of `faces` in it", shard=4096),
        "descriptor": ArraySpec(
            ("track", "feature"), "float32", "", "mean of its frames; NaN if unknown", shard=4096
        ),
    },
    {"feature": FEATURES},
    "What each uninterrupted track of a face looks like.",
)


def installed_recogniser() -> str:
    """The name of the best recogniser that is installed, or NONE."""
    return next((name for name, each in RECOGNISERS.items() if each.installed()), NONE)


@stage(DESCRIPTORS, version=1)
def face_descriptors(
    video: Source, timeline: Artifact, *, faces: Artifact, recogniser: str
) -> Made:
    """Describe some faces of each uninterrupted track; a single track needs no description.

    Args:
        recogniser: A name of RECOGNISERS, or NONE.

    Raises:
        SettingsError: it is not installed here.
    """
    clip = load_timeline(timeline)
    tracks = link_tracks(faces, clip)
    descriptor = np.full((len(tracks), FEATURES), np.nan, np.float32)
    if recogniser != NONE and len(tracks) > 1:
        network = RECOGNISERS[recogniser]
        if not network.installed():
            raise SettingsError(f"{recogniser} is not installed here; add dubflow[metrics]")
        for index, track in enumerate(tracks):
            pictures = _aligned(video, clip, faces, track, network)
            if pictures:
                descriptor[index] = network.describe(np.stack(pictures)).mean(axis=0)
    first = [(track.frames[0], track.slots[0]) for track in tracks]
    return Made(
        {
            "first_frame": np.array([frame for frame, _ in first], np.int64),
            "first_slot": np.array([slot for _, slot in first], np.int32),
            "descriptor": descriptor,
        },
        {"recogniser": recogniser},
    )


def link_tracks(faces: Artifact, clip: Timeline) -> list[Track]:
    """Uninterrupted tracks of the faces that were found."""
    return link_faces(
        faces.read("box"),
        faces.read("score"),
        scene_start=clip.scene_start,
        time_s=clip.seconds,
    )


def _aligned(
    video: Source, clip: Timeline, faces: Artifact, track: Track, network: Recogniser
) -> list[NDArray[np.uint8]]:
    """Aligned faces of some frames of a track."""
    seen = len(track.frames)
    count = min(SAMPLES, seen)
    found = []
    for at in ((np.arange(count) + 0.5) * seen / count).astype(int):
        row = int(track.frames[at])
        mesh = faces.read("landmarks", row, row + 1)[0, track.slots[at]]
        (frame,) = read_frames(video.path, clip, row, row + 1)
        area = area_of_crop(frame, network.transform(mesh), network.size)
        if area is not None:
            found.append(area.crop(network.size))
    return found
