"""Every person in a video, with the number by which a dub chooses one.

video ─ timeline ─ faces ─ face descriptors ─ track
"""

from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from stores.artifacts.artifact import Artifact
from stores.artifacts.source import Source
from stores.artifacts.store import Store
from stores.errors import InputError, SettingsError
from stores.media.read import read_frames
from stores.media.source import probe
from stores.media.timeline import Timeline
from stores.places import check_new_file
from stores.runs import RunRecord, record_run
from tasks.engine.open_run import open_run
from tasks.engine.run import Progress
from tasks.source.faces import faces
from tasks.source.timeline import load_timeline, timeline
from tasks.source.track import follow_person
from viewer.gallery import gallery

_AROUND = 0.3
"""Of the face's box, what is shown on each side of it."""
MISSED = (
    "faces that are small (below some 60 px), turned or hidden are missed; crop the picture around "
    "the face and enlarge it, turn it upright"
)
"""Why no face may have been found, and what helps."""


class Person(BaseModel):
    """A track of one person."""

    face: str = Field(description="what --face takes")
    frames: int = Field(description="frames in which the face is seen")
    share: float = Field(description="of all frames")
    first_seconds: float = Field(description="when it is first seen [s]")
    last_seconds: float = Field(description="when it is last seen [s]")
    width_px: float = Field(description="median width of the face [px]")
    view_frame: int = Field(description="the frame with its largest view")
    view_box: list[float] = Field(description="the face in that frame: x0, y0, x1, y1 [px]")


def find_persons(
    video: Path, *, store: str, picture: Path | None = None, progress: Progress | None = None
) -> list[Person]:
    """Find everyone in a video, the largest (by area summed over time) first.

    Args:
        video: File.
        store: Where artifacts are kept; a dub of the same video uses them.
        picture: A .png or .jpg to draw the persons into; None for no picture.
        progress: Who shows it.

    Raises:
        InputError: the video or the picture's name can't be used.
    """
    if picture is not None and picture.suffix.lower() not in (".png", ".jpg"):
        raise SettingsError(f"--output {picture}: name it .png or .jpg")
    if picture is not None:
        check_new_file(picture)
    if probe(video).kind == "audio":
        raise InputError(f"{video} holds no picture; give a video or a still picture")
    with open_run(Store(store), progress=progress) as run:
        clip, _, persons = find_all(Source.of(video))
        if picture is not None and persons:
            draw_persons(video, load_timeline(clip), {p.face: p for p in persons}, picture)
        given = {"video": str(video.absolute()), "store": store}
        output = None if picture is None else str(picture)
        record_run(run.store, RunRecord("faces", given, run.touched, output))
    return persons


def find_all(source: Source) -> tuple[Artifact, Artifact, list[Person]]:
    """Timeline and faces of a video, and everyone in it, the largest first."""
    clip = timeline(source)
    found = faces(source, clip)
    track = follow_person(source, clip, found)
    frames = clip.sizes["frame"]
    persons = [
        Person(face=f"track:{number}", share=round(facts["frames"] / frames, 4), **facts)
        for number, facts in enumerate(track.attributes["tracks"])
    ]
    return clip, found, persons


def draw_persons(video: Path, clip: Timeline, persons: Mapping[str, Person], picture: Path) -> None:
    """Draw each person above a caption.

    Raises:
        SettingsError: the picture can't be written.
    """
    views = [(_view(video, clip, each), caption) for caption, each in persons.items()]
    if not cv2.imwrite(str(picture), gallery(views)[..., ::-1]):
        raise SettingsError(f"{picture} can't be written")


def _view(video: Path, clip: Timeline, person: Person) -> NDArray[np.uint8]:
    """The face and something around it (h, w, 3) uint8 RGB."""
    (frame,) = read_frames(video, clip, person.view_frame, person.view_frame + 1)
    x0, y0, x1, y1 = person.view_box
    right, down = _AROUND * (x1 - x0), _AROUND * (y1 - y0)
    return frame.crop_rgb(
        max(0, int(x0 - right)),
        max(0, int(y0 - down)),
        min(frame.width, int(x1 + right) + 1),
        min(frame.height, int(y1 + down) + 1),
    )
