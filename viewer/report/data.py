"""What a report is made of. All is plain data; nothing here knows a stage, a flow or a store.

Build a `Report`, hand it to `viewer.report.html.to_html` and `viewer.report.markdown.to_markdown`.
`viewer.report.choose` says which curves and which moments are worth showing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.metrics.metric import Metric
from viewer.intervals import Interval

Rgb = NDArray[np.uint8]


@dataclass(frozen=True)
class System:
    """Who made results: a method of ours, or a folder of videos.

    Attributes:
        name: As in tables.
        about: Settings, version or folder, in one line.
    """

    name: str
    about: str = ""


@dataclass(frozen=True)
class Score:
    """One figure of one result.

    Attributes:
        system: Name of the system.
        item: Name of the clip (or pair); the same for all systems.
        metric: Name of the metric.
        value: None where it could not be measured.
        reason: Why not, in words; "" where there is a value.
    """

    system: str
    item: str
    metric: str
    value: float | None
    reason: str = ""


@dataclass(frozen=True)
class PooledScore:
    """One figure of all results of a system together, as a Fréchet distance is.

    Attributes:
        system: Name of the system.
        metric: Name of the metric.
        value: None where it could not be measured.
        items: Clips that it was computed from.
        reason: Why there is no value, in words.
    """

    system: str
    metric: str
    value: float | None
    items: int
    reason: str = ""


SKIPPED = "skipped: "
"""How the reason begins where a clip is none for what was asked, and nothing failed."""


@dataclass(frozen=True)
class Failure:
    """A clip that a system gave no result for, or none that can be read."""

    system: str
    item: str
    reason: str

    @property
    def skipped(self) -> bool:
        """It was not tried: the clip is too short."""
        return self.reason.startswith(SKIPPED)


@dataclass(frozen=True)
class Unavailable:
    """Metrics that this machine can't compute.

    Attributes:
        metrics: Their names; all are among the report's metrics.
        how: How to get what is missing, in one line.
    """

    metrics: tuple[str, ...]
    how: str


@dataclass(frozen=True)
class Curve:
    """A metric over the time of one result.

    Attributes:
        system: Name of the system.
        item: Name of the clip.
        metric: Name of the metric.
        seconds: (frame,) of the result.
        values: (frame,), NaN where not defined.
    """

    system: str
    item: str
    metric: str
    seconds: NDArray[np.floating[Any]]
    values: NDArray[np.floating[Any]]


OPENINGS = ("asked", "rendered", "true")
"""By the speech model; as the result shows it; as the reference shows it."""


@dataclass(frozen=True)
class Pick:
    """A frame of a result that is worth a picture.

    Attributes:
        system: Name of the system.
        item: Name of the clip.
        metric: Metric by which it was chosen.
        frame: Of the result.
        second: When that is.
        value: Of the metric there.
    """

    system: str
    item: str
    metric: str
    frame: int
    second: float
    value: float


@dataclass(frozen=True)
class Moment(Pick):
    """The same with its picture.

    Attributes:
        result: uint8 (height, width, 3) RGB: the frame, or the face in it.
        reference: The same place in the reference; None where it has ended.
    """

    result: Rgb
    reference: Rgb | None


@dataclass(frozen=True)
class Part:
    """One set of clips under one condition: reconstruction, or dubbing with other speech.

    Attributes:
        title: For people: `Reconstruction (paired)`.
        about: Which clips and pairs, and what stands beside what; one paragraph.
        scores: One for each system, item and metric that was tried.
        pooled: Figures of whole sets.
        failures: Clips without a result; they are in no mean, and counted.
        curves: Drawn as they are, one picture for each item and metric.
        moments: Shown as they are.
        openings: How far lips open, of the worst results: `system` is what is shown (OPENINGS).
    """

    title: str
    about: str
    scores: Sequence[Score]
    pooled: Sequence[PooledScore] = ()
    failures: Sequence[Failure] = ()
    curves: Sequence[Curve] = ()
    moments: Sequence[Moment] = ()
    openings: Sequence[Curve] = ()


@dataclass(frozen=True)
class Opinion:
    """Mean opinion score of a system, from human raters, 1 (bad) to 5 (excellent)."""

    system: str
    question: str
    score: Interval
    raters: int


@dataclass(frozen=True)
class Preference:
    """How often raters preferred `first` to `second`.

    Attributes:
        first: Name of a system.
        second: Name of the other.
        question: As it was asked.
        share: Of `first`; "no difference" counts one half.
        wins: Answers for `first`, for neither, for `second`.
        raters: How many people.
    """

    first: str
    second: str
    question: str
    share: Interval
    wins: tuple[int, int, int]
    raters: int


@dataclass(frozen=True)
class Opinions:
    """Results of human ratings; `viewer.ratings.results.summarise` makes them."""

    scores: Sequence[Opinion] = ()
    preferences: Sequence[Preference] = ()


@dataclass(frozen=True)
class Report:
    """All that is shown.

    Attributes:
        title: Name of the protocol or the comparison.
        about: What was evaluated, in a paragraph.
        created: ISO date and time.
        systems: In the order of the tables; the first is the one that others are compared with.
        metrics: In the order of the tables; those that are not available too.
        parts: Sets of clips, in order.
        unavailable: Which metrics this machine can't compute, and how it could.
        facts: Settings, seeds, wall time: name → value.
        versions: Software: name → version.
        licences: What may be done with weights and data: name → note.
        opinions: Of human raters, where there are any.
        command: The command line that made it; "" if unknown.
        look: The command that shows a video of ours with its artifacts; "" if there is none.
        look_address: Where a browser sees them; "" if nobody said.
    """

    title: str
    about: str
    created: str
    systems: Sequence[System]
    metrics: Sequence[Metric]
    parts: Sequence[Part]
    unavailable: Sequence[Unavailable] = ()
    facts: Mapping[str, str] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    licences: Mapping[str, str] = field(default_factory=dict)
    opinions: Opinions | None = None
    command: str = ""
    look: str = ""
    look_address: str = ""
