"""Pairs of speech and expression: of foreign speech, and of the person's own."""

from dataclasses import dataclass, field

from flows.methods.meta_talk import speech_of
from flows.personalisation.plan import Plan
from flows.personalisation.pseudo import pseudo_pairs
from flows.personalisation.speech import Part
from flows.runtime.side_by_side import apart, side_by_side
from stores.artifacts.artifact import Artifact
from stores.artifacts.source import Source
from stores.errors import InputError, MediaError
from tasks.engine.cluster import Cluster
from tasks.engine.open_run import open_run
from tasks.engine.run import Run
from tasks.methods.expression_pairs import fitted_pairs
from tasks.source.fitted import Fitted
from tasks.source.seen import Seen
from tasks.source.timeline import load_timeline
from tasks.speech.excerpt import excerpt
from tasks.speech.waveform import waveform
from tasks.training.held_out import SHARE, held_out_from

OWN = "the person"
"""As speaker of the video's own speech."""


@dataclass
class Pairs:
    """What the network from speech to expression is trained on.

    Attributes:
        made: `expression_pairs`, in order of the speech.
        notes: Of parts that were left out.
        computed: Ranges that were computed now.
    """

    made: list[Artifact] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    computed: int = 0


def foreign_pairs(
    plan: Plan, seen: Seen, face: Fitted, *, run: Run, cluster: Cluster | None
) -> Pairs:
    """Pairs of each part of the foreign speech; one that can't be decoded is left out.

    Raises:
        InputError: none can be decoded.
    """
    parts, found, pairs = plan.speech.parts, dict[Part, Artifact](), Pairs()
    until = held_out_from(load_timeline(seen.timeline).seconds)

    def make(part: Part) -> tuple[Artifact | str, int]:
        with open_run(run.store, devices=run.devices, cluster=cluster) as own:
            own.kept |= run.kept
            try:
                heard = waveform(Source.known(part.path))
            except MediaError as error:
                return str(error), 0
            if not part.whole:
                heard = excerpt(heard, start_seconds=0.0, stop_seconds=part.seconds)
            made = pseudo_pairs(
                seen,
                face,
                heard,
                speaker=part.speaker,
                features=speech_of(heard, plan.expression.size.features),
                settings=plan.settings.pseudo.teacher_settings,
                until_seconds=until,
            )
            return made, sum(record.computed for record in own.records)

    run.progress.begin("speech", len(parts), 0)
    count = run.workers if cluster is None else 2 * max(cluster.workers, 1)
    for part, (made, computed) in side_by_side(parts, apart(make), count=count):
        run.progress.advance("speech", 1)
        pairs.computed += computed
        if isinstance(made, str):
            pairs.notes.append(f"left out: {made}")
        else:
            found[part] = made
    run.progress.end("speech", cached=not pairs.computed)
    if not found:
        raise InputError(f"no speech can be learned from; {pairs.notes[0]}")
    pairs.notes.sort()
    pairs.made = [found[part] for part in parts if part in found]
    return pairs


def own_pairs(plan: Plan, seen: Seen, face: Fitted) -> Artifact:
    """Pairs of the person's own speech, of which nothing of the last fifth is trained on."""
    assert seen.waveform is not None
    until = held_out_from(load_timeline(seen.timeline).seconds)
    if plan.expression.held_out == "time":  # the recipe itself holds back that share of a speech
        until /= 1 - SHARE
    return fitted_pairs(
        speech_of(
            excerpt(seen.waveform, start_seconds=0.0, stop_seconds=until),
            plan.expression.size.features,
        ),
        face.fit,
        timeline=seen.timeline,
        speaker=OWN,
    )
