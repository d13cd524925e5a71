"""Dub one video: the whole pipeline, top to bottom.

video ─ timeline ─ faces ─ track ─ landmarks ──┐
  └──── waveform (its own speech, if any) ─────┼─ method ─ render [─ restore] ─ composite ─ mux
speech ─ waveform ─────────────────────────────┘

A cue sheet has a way from speech to render for each of its rows, which meet in the composite; one
speech for one face is a sheet of one row.
"""

import sys
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from types import FunctionType
from typing import Any, NamedTuple

from flows.cues.lines import (
    Output,
    Spoken,
    cues_of,
    laid_along,
    spoken_file,
    with_gaps,
)
from flows.cues.people import Person, find_people, own_waveform
from flows.cues.picture import Part, Voiced, anew, composed_picture
from flows.cues.report import changed_ranges, cue_reports
from flows.cues.sound import Heard, hear, speech_files
from flows.dub_inputs import check_inputs, options_of_method
from flows.dub_notes import dub_notes
from flows.dub_report import DubReport, false_ranges, stage_reports
from flows.methods import find_method
from flows.origin import (
    deliver,
    mark_text,
)
from flows.settings import DubSettings
from flows.together import beside, in_step
from stores.artifacts.artifact import Artifact
from stores.artifacts.keys import content_key
from stores.artifacts.source import Source
from stores.artifacts.store import Store
from stores.artifacts.versions import software_versions
from stores.media.source import probe
from stores.media.tracks import find_track
from stores.provenance.manifest import Ingredient
from stores.runs import RunRecord, record_run, recorded_runs
from tasks.engine.cluster import Cluster
from tasks.engine.open_run import open_run
from tasks.engine.processes import WorkerPool
from tasks.engine.run import Progress, Run, current_run, told_as, usable_processors
from tasks.engine.stage import Stage
from tasks.result.composite import COMPOSITE
from tasks.result.dubbed import dubbed
from tasks.result.output_frames import Length, lay_out, output_frames
from tasks.result.restored import restored
from tasks.result.source_part import part_to_read
from tasks.source.faces import faces
from tasks.source.seen import Seen
from tasks.source.timeline import load_timeline, timeline
from tasks.weights.networks import find_weights, licence_notes, licences

_WITH_STAGES = ("flows.cues.", "flows.methods.", "tasks.methods.", "tasks.source.")
"""Rooms whose functions call stages."""
_LEAST_SECONDS = 5.0
"""Of a video of which a worker process makes a part: its start takes a second."""

MAX_WORKERS = 8
"""Ranges computed at once unless asked otherwise; each holds some 100 MB."""


class Tracks(NamedTuple):
    """Numbers of the sound tracks to read, from 1; None is the default one."""

    speech: int | None
    own: int | None


class Dubbing(NamedTuple):
    """What a dub comes to, before its file leaves the store."""

    video: Source
    heard: list[Heard]
    clip: Artifact
    length: Length
    faces: Artifact
    lines: list[Voiced]
    parts: list[Part]
    result: Artifact


def dub(
    settings: DubSettings,
    *,
    progress: Progress | None = None,
    cluster: Cluster | None = None,
    pool: WorkerPool | None = None,
    catalog: bool = True,
    redo_of: dict[str, Any] | None = None,
) -> DubReport:
    """Dub `settings.video` with its new speech, or by its cue sheet; write `settings.output`.

    Args:
        settings: What goes in and what comes out.
        progress: Who shows it.
        cluster: Whose workers compute; None is this process.
        pool: Worker processes that several dubs share; None starts some for a dub that is long.
        catalog: Write the store's catalog anew if anything was computed. That takes as long as the
            store has artifacts, so whoever dubs many writes it once, when all are done.
        redo_of: As of `RunRecord`.

    Raises:
        ClusterError: the cluster lacks what is needed, or was lost.
        InputError: the video, the speech or a setting can't be used; found before long work.
        StoreError: the store is damaged or full.
    """
    weights = check_inputs(settings)
    workers = settings.workers or (cluster.slots() if cluster else default_workers())
    is_short = (probe(settings.video).seconds or 0.0) < _LEAST_SECONDS
    own_pool = WorkerPool(
        0 if cluster or pool or is_short else workers,
        modules=sorted({address.split(":")[0] for address in stage_versions(settings)}),
        early=settings.audio is not None,  # of a sheet often one row alone is new
    )
    with (
        own_pool,
        open_run(
            Store(settings.store),
            workers=workers,
            devices=settings.devices,
            progress=progress,
            cluster=cluster,
            pool=pool or own_pool,
        ) as run,
    ):
        run.kept |= weights
        made = dubbing(settings)
        report = finish(run, settings, made, redo_of)
        report.notes += dub_notes(
            settings,
            clip=made.clip,
            heard=made.heard,
            lines=[each.line for each in made.lines],
            length=made.length,
            faces=made.faces,
            result=made.result,
            dubbed_frames=report.valid_frames,
        )
    if catalog and any(record.computed for record in run.records):
        # Both load PyArrow, which a run from the store need not.
        from flows.store_limit import size_notes
        from stores.artifacts.catalog import write_catalog

        report.notes += size_notes(run.store, write_catalog(run.store))
    return report


def dubbing(settings: DubSettings) -> Dubbing:
    """All stages of a dub, in the run that is active here; writes nothing but artifacts."""
    video, cues = Source.of(settings.video), cues_of(settings)
    with told_as("speech"):
        heard = {path: hear(settings, path) for path in speech_files(cues)}
    reads_all = settings.audio is None  # its faces may be named by where they are at any time
    part = None if reads_all else part_to_read(settings.video, settings.sync, settings.face)
    clip = timeline(video, part=part)
    spoken_until = max(float(cue.end or heard[cue.speech].seconds) for cue in cues)
    showing, length = lay_out(clip, spoken_until, settings.sync)
    frames = output_frames(clip, showing=showing)
    output = Output(load_timeline(clip), showing, length, frames)
    own_track = find_track(settings.video, settings.source_track)
    found, _ = beside(
        lambda: faces(video, clip, sfd_weights=_detector_weights(settings.detector)),
        lambda: _listen(settings, video, clip, own_track, [*heard.values()]),
    )
    people = find_people(settings, video, clip, found, cues, own_track)
    laid = laid_along(settings, cues, [heard[cue.speech] for cue in cues], output)
    lines = in_step(
        with_gaps(settings, laid, output),
        lambda line: _voiced(settings, people[line.cue.face], line, output),
    )
    mark = mark_number(video, lines) if settings.origin.mark else None
    picture, parts = composed_picture(settings, lines, output, mark)
    spoken, track = spoken_file(settings, [each.line for each in lines], list(heard.values()))
    seen, tracks = lines[0].person.seen, Tracks(track, own_track)
    result = with_sound(settings, seen, picture, spoken, frames, length, tracks, mark)
    return Dubbing(video, list(heard.values()), clip, length, found, lines, parts, result)


def _listen(
    settings: DubSettings, video: Source, clip: Artifact, own_track: int | None, heard: list[Heard]
) -> None:
    """What a method needs to know of sounds alone; the rows of a sheet are heard one by one."""
    if settings.audio is None or current_run().plan is not None:
        return
    with told_as("source"):
        own = own_waveform(video, clip, own_track)
    find_method(settings.method).listen(heard[0].waveform, own, options_of_method(settings))


def _voiced(settings: DubSettings, person: Person, line: Spoken, output: Output) -> Voiced:
    with told_as(line.name) if line.cue.row or line.heard is None else nullcontext():
        frames = output.frames
        if line.showing != output.showing:
            frames = output_frames(person.seen.timeline, showing=line.showing)
        render = new_mouths(settings, person.seen, line.speech(), frames)
    return Voiced(line, person, render)


def new_mouths(
    settings: DubSettings, seen: Seen, speech: Artifact, frames: Artifact
) -> Artifact | None:
    """The method's pictures of a mouth that says the speech, restored if asked; None: no face."""
    if not seen.landmarks.read("valid").any():
        return None
    method = find_method(settings.method)
    render = method.run(seen, speech, frames, options_of_method(settings))
    if settings.restore.model == "none":
        return render
    return restored(
        seen,
        output_frames=frames,
        render=render,
        blend=settings.blend,
        weights=find_weights(settings.restore.weights),
        settings=settings.restore,
        precision=settings.precision,
    )


def with_sound(
    settings: DubSettings,
    seen: Seen,
    picture: Artifact,
    speech: Source,
    frames: Artifact,
    length: Length,
    tracks: Tracks,
    mark: int | None = None,
) -> Artifact:
    """The dubbed file: the picture with the new speech, over the video's own sound if asked."""
    background, track, gain = None, None, settings.keep_background_db
    if settings.bed is not None:
        background, gain = Source.of(settings.bed), gain or 0.0
    elif gain is not None:
        background, track = seen.video, tracks.own
    return dubbed(
        picture,
        seen.timeline,
        output_frames=frames,
        end_pts=length.end_pts,
        speech=speech,
        speech_track=tracks.speech,
        background=background,
        background_track=track,
        background_db=gain,
        background_from=0.0 if background is None else length.from_seconds,
        encode=settings.encode,
        sound=settings.sound,
        suffix=settings.output.suffix.lower(),
        mark=mark,
    )


def mark_number(video: Source, lines: Sequence[Voiced]) -> int:
    """The number that marks a dub, of 32 bits: it looks like chance, and the same dub has the same.

    So a run that is done again, or goes on after it was killed, makes the same bytes. All dubs of
    a video by cue sheets have one: another take must change no frame that it does not touch.
    """
    if lines[0].line.heard is None or lines[0].line.cue.row:
        return int(content_key([video.key, "cues"])[:8], 16)
    speech, render = lines[0].line.heard.source, lines[0].render
    made_of = [video.key, speech.key, None if render is None else render.key]
    return int(content_key(made_of)[:8], 16)


def default_workers() -> int:
    """One per processor that this process may use; no more than MAX_WORKERS, for memory's sake."""
    return min(usable_processors(), MAX_WORKERS)


def _detector_weights(detector: str) -> Artifact | None:
    return find_weights("s3fd") if detector == "s3fd" else None


def finish(
    run: Run, settings: DubSettings, made: Dubbing, redo_of: dict[str, Any] | None
) -> DubReport:
    """Copy the result to where the user wants it, and record the run."""
    result, length = made.result, made.length
    before = _pictures_before(run.store, settings)
    cues = cue_reports([each.line for each in made.lines])
    record = RunRecord(
        "dub",
        recorded(settings),
        run.touched,
        str(settings.output.absolute()),
        redo_of=redo_of,
        mark=mark_text(result.attributes["mark"]) if settings.origin.mark else None,
        cues=[{"row": c.row, "face": c.face, "rows": c.frames, "text": c.text} for c in cues],
        roles=run.roles,
    )
    record_run(run.store, record)  # first: who finds the file finds what made it
    spoken = [Ingredient(each.path, each.source.key) for each in made.heard]
    origin = deliver(
        result,
        settings,
        record=record,
        ingredients=[Ingredient(settings.video, made.video.key, parent=True), *spoken],
        weights=run.kept.values(),
    )
    record_run(run.store, replace(record, bytes=settings.output.stat().st_size))
    count = int(result.attributes["frames"])
    untouched = false_ranges(anew(made.lines, count))
    notes = [note for each in made.lines for note in each.person.track.attributes["notes"]]
    renders = [each.render for each in made.lines if each.render is not None]
    notes += _notes_of_renders(made.lines)
    notes += licence_notes(licences(run.kept.values())) if renders else []
    return DubReport(
        run=record.id,
        output=settings.output,
        frames=count,
        valid_frames=count - sum(stop - start for start, stop in untouched),
        no_face_ranges=untouched,
        changed_ranges=None if before is None else changed_ranges(made.parts, before),
        cues=cues,
        in_reach=_in_reach(renders),
        seconds=round(length.seconds, 6),
        speech_seconds=round(length.speech_seconds, 6),
        stages=stage_reports(run),
        origin=origin,
        notes=[*dict.fromkeys(notes), *_unmarked(settings), *run.notes],
        versions=software_versions(),
    )


def _notes_of_renders(lines: Sequence[Voiced]) -> list[str]:
    """Each note once; with the rows of the sheet that it is about, unless it is about all."""
    about: dict[str, list[str]] = {}
    drawn = [(each.line.name, each.render) for each in lines if each.render is not None]
    for name, render in drawn:
        for note in render.attributes.get("notes", []):
            about.setdefault(note, []).append(name)
    return [
        note if len(names) == len(drawn) else f"{', '.join(names)}: {note}"
        for note, names in about.items()
    ]


def _pictures_before(store: Store, settings: DubSettings) -> set[str] | None:
    """Keys of the pictures of the last run that wrote this output; None: there was none."""
    output = str(settings.output.absolute())
    runs = [run for run in recorded_runs(store) if (run.command, run.output) == ("dub", output)]
    return {key for kind, key in runs[-1].artifacts if kind == COMPOSITE.kind} if runs else None


def _in_reach(renders: Sequence[Artifact]) -> float | None:
    """`DubReport.in_reach` over all frames of several renders."""
    known = [each for each in renders if each.attributes.get("in_reach") is not None]
    frames = sum(each.sizes["frame"] for each in known)
    total = sum(each.attributes["in_reach"] * each.sizes["frame"] for each in known)
    return round(total / frames, 4) if frames else None


def recorded(settings: DubSettings) -> dict[str, Any]:
    """The settings as a record holds them."""
    return settings.absolute().model_dump(mode="json")


def is_result_of(settings: DubSettings) -> bool:
    """Whether the output is there, and a run with just these settings wrote it."""
    store, output = Store(settings.store), settings.output

    def decisive(given: dict[str, Any]) -> dict[str, Any]:
        return {n: value for n, value in given.items() if n not in ("workers", "devices")}

    for run in recorded_runs(store) if output.is_file() else ():
        same = run.command == "dub" and decisive(run.settings) == decisive(recorded(settings))
        # A run that was killed as it handed its file out had leave to replace it.
        if same and run.bytes in (None, output.stat().st_size):
            return True
    return False


def stage_versions(settings: DubSettings) -> dict[str, int]:
    """Versions of the stages that this dub may call.

    Those that this file and the method name, and the files whose functions they call.
    """
    found: dict[str, int] = {}
    waiting, known = [__name__, find_method(settings.method).run.__module__], set[str]()
    while waiting:
        if (name := waiting.pop()) in known:
            continue
        known.add(name)
        for each in vars(sys.modules[name]).values():
            if isinstance(each, Stage):
                found[each.address] = each.version
            elif isinstance(each, FunctionType) and each.__module__.startswith(_WITH_STAGES):
                waiting.append(each.__module__)
    return found


def _unmarked(settings: DubSettings) -> list[str]:
    return [] if settings.origin.mark else ["the result bears no mark of origin (--no-mark)"]
