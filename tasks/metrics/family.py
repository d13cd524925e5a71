"""What the evaluation knows of a family of metrics that are computed together.

A family is a constant of a module in tasks/metrics/, beside its stages. These take only the parts
of a `Comparison` that they need, so that a result is recomputed only when those change.
"""

import importlib.util
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from models.metrics.metric import Metric
from stores.artifacts.artifact import Artifact
from stores.errors import MissingWeights
from tasks.source.seen import Seen
from tasks.weights.networks import find_weights

SUBJECTS = ("picture", "person", "speech")
"""What families look at, in the order of the report."""


@dataclass(frozen=True)
class Comparison:
    """A result beside what it was made from.

    Attributes:
        result: What a system made.
        reference: The video that it was made from; the truth, where `paired`.
        match: Of tasks.metrics.match: the reference's frame beside each of the result's.
        speech: Waveform of the speech that the result shall say.
        paired: The speech is the reference's own: the result should equal it.
    """

    result: Seen
    reference: Seen
    match: Artifact
    speech: Artifact
    paired: bool


@dataclass(frozen=True)
class Family:
    """Metrics that are computed together.

    Attributes:
        name: As in `--metrics`.
        subject: What it looks at.
        metrics: What it gives.
        measure: (comparison) → its artifact. Its attribute `values` maps metric names to numbers,
            or None where this clip does not allow it (no face, too short), with the reason in the
            attribute `reasons`. Arrays over frames are named like their metric.
        weights: Entries of configs/weights/published.yaml that it needs.
        package: Import name of a Python package that it needs, and the extra that installs it.
        paired_only: It compares with the truth, frame by frame.
        pooled: Metrics of a whole set (a Fréchet distance): (artifacts of all clips) → values.
            They are among `metrics` and not among an artifact's `values`.
    """

    name: str
    subject: Literal["picture", "person", "speech"]
    metrics: Sequence[Metric]
    measure: Callable[[Comparison], Artifact]
    weights: tuple[str, ...] = ()
    package: tuple[str, str] | None = None
    paired_only: bool = False
    pooled: Callable[[Sequence[Artifact]], Mapping[str, float]] | None = None

    def missing(self) -> str | None:
        """What this machine lacks for it and how to get it, in one line; None if nothing.

        Raises:
            DamagedArtifact: weights are there, but not as they were added.
        """
        if self.package and importlib.util.find_spec(self.package[0]) is None:
            return f"pip install 'dubflow[{self.package[1]}]'"
        for name in self.weights:
            try:
                find_weights(name)
            except MissingWeights as error:
                return str(error)
        return None
