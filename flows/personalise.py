"""Learn one person's face, and how it says what others say: Meta Talk's two networks.

video ─ seen ─ fitted ─┬─ training faces ──────────────── meta_talk.renderer ───┐
                       └─ pairs of speech and expression ─ meta_talk.expression ┴─ method.yaml
speech of others ──────┘
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from flows.dub import default_workers
from flows.methods.meta_talk import training_faces
from flows.personalisation.folder import METHOD, SECONDS, claim, finished
from flows.personalisation.pairs import Pairs, foreign_pairs, own_pairs
from flows.personalisation.plan import TRAININGS, Plan
from flows.personalisation.report import PersonaliseReport, write_report
from flows.personalisation.settings import PersonaliseSettings
from flows.personalisation.steps import Step, Steps
from flows.seen import see
from flows.train import train
from flows.training.card import Card
from stores.artifacts.artifact import Artifact
from stores.artifacts.catalog import write_catalog
from stores.artifacts.source import Source
from stores.artifacts.store import Store
from stores.artifacts.versions import software_versions
from stores.errors import InputError
from stores.runs import RunRecord, record_run
from tasks.engine.cluster import Cluster
from tasks.engine.open_run import open_run
from tasks.engine.run import Progress, Run
from tasks.inference.threads import all_processors
from tasks.source.fitted import Fitted, fit_face
from tasks.source.seen import Seen
from tasks.source.timeline import load_timeline
from tasks.training.held_out import held_out_from
from tasks.training.pairs import write_pairs
from tasks.training.recipe import NoTrainingObserver, TrainingObserver
from tasks.training.run_folder import RunFolder, write_text
from tasks.weights.networks import licence_notes, licences

PAIRS = "pairs.json"

Watch = Callable[[float], Callable[[], TrainingObserver]]
"""Seconds that the run takes after a training → who makes that training's observer."""


def personalise(
    settings: PersonaliseSettings,
    *,
    watch: Watch = lambda after: NoTrainingObserver,
    progress: Progress | None = None,
    cluster: Cluster | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> PersonaliseReport:
    """Learn the person of a video, or go on with it; gives what card.json holds.

    Args:
        settings: Who, with which speech, and where to.
        watch: Who looks on at the trainings.
        progress: Who shows stages; of the speech, a row is a file.
        cluster: Whose workers compute stages; trainings run in this process.
        say: Is told a line at the beginning and the end of each step.

    Raises:
        ClusterError: the cluster lacks what is needed, or was lost.
        InputError: video, speech or settings can't be used; found before long work.
        KeyboardInterrupt: the end was asked for; the same call goes on.
        MissingWeights: the teacher's are not there.
        TrainingError: the folder holds something else, or was begun with other settings.
    """
    plan = Plan.of(settings)
    weights = plan.check()
    store, output = Store(settings.store), settings.output
    with RunFolder(output).alone(), store.in_use():
        given = plan.given
        claim(output, given, restart=settings.restart)
        if (done := finished(output, given)) is not None:
            say("all of it was done before")
            return done
        steps = Steps(plan.expected(_steps_done(output)), output / SECONDS, say)
        workers = settings.workers or (cluster.slots() if cluster else default_workers())
        with open_run(
            store, workers=workers, devices=settings.devices, progress=progress, cluster=cluster
        ) as run:
            run.kept |= weights
            seen = _seen(settings, run, steps)
            face, faces = _faces(plan, seen, run, steps)
            pairs = _pairs(plan, seen, face, run=run, steps=steps, cluster=cluster)
        data = {"expression": output / PAIRS, "renderer": Path(f"{faces.kind}/{faces.key}")}
        cards = {
            n: _trained(plan, n, d, steps=steps, watch=watch, say=say) for n, d in data.items()
        }
        write_text(output / METHOD, _method(plan, cards))
        report = _report(plan, given, seen, face, pairs, cards, run, steps)
        write_report(report)
        kept = [*run.touched, *((pair.kind, pair.key) for pair in pairs.made)]
        record_run(
            store, RunRecord("personalise", settings.model_dump(mode="json"), kept, str(output))
        )
        write_catalog(store)
    return report


def _steps_done(output: Path) -> dict[str, int]:
    """Steps of each training that a checkpoint holds."""
    return {n: max(RunFolder(output / n).checkpoints.steps(), default=0) for n in TRAININGS}


@contextmanager
def _stages(steps: Steps, run: Run, name: str, what: str) -> Iterator[Step]:
    """A step that is made of stages."""
    before = len(run.records)
    with steps.step(name, what) as step:
        yield step
        step.computed |= any(record.computed for record in run.records[before:])


def _seen(settings: PersonaliseSettings, run: Run, steps: Steps) -> Seen:
    """What the video shows; refuses one without the face."""
    with _stages(steps, run, "video", "frames, faces, landmarks") as step:
        seen = see(Source.known(settings.video), face=settings.face)
        step.count, step.unit = seen.timeline.sizes["frame"], "frames"
    if not seen.landmarks.read("valid").any():
        raise InputError(
            f"{settings.video} shows no face that could be learned; see who is in it with "
            "`dubflow faces`"
        )
    return seen


def _faces(plan: Plan, seen: Seen, run: Run, steps: Steps) -> tuple[Fitted, Artifact]:
    """The face model fitted, and what the renderer learns from."""
    count = seen.timeline.sizes["frame"]
    with _stages(steps, run, "face", f"{count:,} frames fitted and drawn") as step:
        face = fit_face(seen, plan.method.fit)
        faces = training_faces(seen, face, plan.method.faces)
        step.count, step.unit = count, "frames"
    return face, faces


def _pairs(
    plan: Plan, seen: Seen, face: Fitted, *, run: Run, steps: Steps, cluster: Cluster | None
) -> Pairs:
    """What the network from speech to expression learns from."""
    speech, which = plan.speech, plan.expression.pairs
    told, pairs = "the person's own", Pairs()
    if speech.parts:
        told = f"{speech.seconds / 60:.1f} min of {len(speech.speakers)} speakers"
    with _stages(steps, run, "speech", told) as step:
        if which != "real":
            pairs = foreign_pairs(plan, seen, face, run=run, cluster=cluster)
        if which != "pseudo":
            pairs.made.append(own_pairs(plan, seen, face))
        step.count, step.unit, step.computed = len(pairs.made), "files", bool(pairs.computed)
        write_pairs(plan.settings.output / PAIRS, pairs.made)
    return pairs


def _trained(
    plan: Plan, name: str, data: Path, *, steps: Steps, watch: Watch, say: Callable[[str], None]
) -> dict[str, Any]:
    """The card of a training that has come to its end."""
    total = plan.trainings[name].trainer.steps
    before = _steps_done(plan.settings.output)[name]
    with steps.step(name, f"{TRAININGS[name]}, {total:,} steps") as step:
        all_processors()  # stages may have left the process with one thread
        after = steps.left(name, done=True) or 0.0
        card = train(plan.train_settings(name, data), watch=watch(after), say=say)
        step.count, step.unit = card["steps"] - before, "steps"
        step.computed = step.count > 0
    return card


def _method(plan: Plan, cards: dict[str, dict[str, Any]]) -> str:
    """method.yaml: settings of the method, and where its weights are."""
    files = {name: f"{name}/{next(iter(card['weights']))}" for name, card in cards.items()}
    return yaml.safe_dump({**files, **plan.of_method}, sort_keys=False)


def _report(
    plan: Plan,
    given: dict[str, Any],
    seen: Seen,
    face: Fitted,
    pairs: Pairs,
    cards: dict[str, dict[str, Any]],
    run: Run,
    steps: Steps,
) -> PersonaliseReport:
    told = {name: Card.model_validate(card) for name, card in cards.items()}
    basis = face.person.attributes
    foreign, used = plan.expression.pairs != "real", licences(run.kept.values())
    return PersonaliseReport(
        output=plan.settings.output,
        video=plan.settings.video.name,
        person=face.person.key,
        basis={"name": basis["basis"], "key": basis["basis_key"]},
        teacher=plan.settings.pseudo.method if foreign else "none",
        minutes=round(plan.speech.seconds / 60, 2),
        speakers=len(plan.speech.speakers),
        held_out_from=round(held_out_from(load_timeline(seen.timeline).seconds), 3),
        figures={name: card.figures for name, card in told.items()},
        weights={f"{n}/{file}": what for n, c in told.items() for file, what in c.weights.items()},
        seconds=steps.seconds | {name: card["wall_seconds"] for name, card in cards.items()},
        notes=[
            *plan.speech.notes,
            *pairs.notes,
            *licence_notes(used),
            *run.notes,
        ],
        settings=given,
        versions=software_versions(),
    )
