"""Lines voiced by faces, put together to the output's picture, part by part."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from flows.cues.lines import Output, Spoken
from flows.cues.people import Person
from flows.settings import DubSettings
from flows.together import in_step
from stores.artifacts.artifact import Artifact
from tasks.engine.run import told_as
from tasks.result.composite import composite
from tasks.result.joined import SHARD, joined
from tasks.result.part import part


@dataclass(frozen=True)
class Voiced:
    """A line with its mouths.

    Attributes:
        line: Of the sheet, or of a gap.
        person: Who says it.
        render: One row for each frame of the line's reach; None: no face was found.
    """

    line: Spoken
    person: Person
    render: Artifact | None


@dataclass(frozen=True)
class Part:
    """Frames [start, stop) of the output, and the artifact that holds their packets."""

    start: int
    stop: int
    picture: Artifact


def composed_picture(
    settings: DubSettings, voiced: Sequence[Voiced], output: Output, mark: int | None
) -> tuple[Artifact, list[Part]]:
    """The `composite` of the whole output, and what it was put together of."""
    seen, encode, label = voiced[0].person.seen, settings.encode, settings.origin.shown_label
    first = voiced[0]
    if len(voiced) == 1 and first.line.reach == (0, len(output)):
        whole = composite(
            seen,
            output_frames=output.frames,
            render=first.render,
            blend=settings.blend,
            encode=encode,
            mark=mark,
            label=label,
        )
        return whole, [Part(0, len(output), whole)]

    def made(span: tuple[int, int]) -> Part:
        start, stop = span
        here = [
            (each, each.render)
            for each in sorted(voiced, key=lambda each: (each.line.reach, each.line.cue.face))
            if each.render is not None and _meets(each.line.reach, span)
        ]
        faces = list(dict.fromkeys(each.person.seen.landmarks.key for each, _ in here))
        with told_as(f"frames {start}-{stop - 1}"):
            picture = part(
                seen.video,
                seen.timeline,
                output_frames=output.frames,
                start=start,
                stop=stop,
                render=tuple(render for _, render in here),
                landmarks=tuple(each.person.seen.landmarks for each, _ in here),
                placed=tuple(
                    each.line.placed(faces.index(each.person.seen.landmarks.key), start)
                    for each, _ in here
                ),
                blend=settings.blend,
                encode=encode,
                mark=mark if here else None,
                label=label,
            )
        return Part(start, stop, picture)

    parts = in_step(_spans([each.line.reach for each in voiced], len(output)), made)
    whole = joined(
        seen.video,
        seen.timeline,
        output_frames=output.frames,
        parts=tuple(each.picture for each in parts),
        encode=encode,
    )
    return whole, parts


def _meets(reach: tuple[int, int], span: tuple[int, int]) -> bool:
    return reach[0] < span[1] and span[0] < reach[1]


def _spans(reaches: Sequence[tuple[int, int]], frames: int) -> list[tuple[int, int]]:
    """Cut wherever a mouth begins or ends to be seen, and at the segments of a composite."""
    edges = sorted({0, frames, *range(0, frames, SHARD), *(e for each in reaches for e in each)})
    return list(pairwise(edges))


def anew(voiced: Sequence[Voiced], frames: int) -> NDArray[np.bool_]:
    """Output frames in which a mouth was made anew (frame,)."""
    found = np.zeros(frames, bool)
    for each in voiced:
        if each.render is not None:
            found[slice(*each.line.reach)] |= each.render.read("valid")
    return found
