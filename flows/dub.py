"""Dub one video: the whole pipeline, top to bottom.

video ─ timeline ─ faces ─ track ─ landmarks ──┐
  └──── waveform (its own speech, if any) ─────┼─ method ─ render [─ restore] ─ composite ─ mux
speech ─ waveform ─────────────────────────────┘
"""

import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import FunctionType
from typing import Any, NamedTuple

from flows.dub_notes import dub_notes
from flows.dub_report import DubReport, false_ranges, stage_reports
from flows.faults import faults_of
from flows.methods import MethodSettings, find_method, method_settings
from flows.origin import (
    check_consent,
    check_licences,
    check_signing,
    deliver,
    mark_text,
)
from flows.settings import DubSettings
from stores.artifacts.artifact import Artifact
from stores.artifacts.keys import content_key
from stores.artifacts.source import Source
from stores.artifacts.store import Store
from stores.artifacts.versions import software_versions
from stores.errors import InputError, SettingsError
from stores.media.audio import audio_facts
from stores.media.mux import check_output
from stores.media.source import probe
from stores.media.tracks import find_track
from stores.runs import RunRecord, record_run, recorded_runs
from tasks.engine.cluster import Cluster
from tasks.engine.open_run import open_run
from tasks.engine.processes import WorkerPool
from tasks.engine.run import Progress, Run, told_as, usable_processors
from tasks.engine.stage import Stage
from tasks.result.composite import composite
from tasks.result.dubbed import dubbed
from tasks.result.output_frames import Length, lay_out, output_frames
from tasks.result.restored import restored
from tasks.result.source_part import part_to_read
from tasks.source.faces import faces
from tasks.source.landmarks import landmarks
from tasks.source.seen import Seen
from tasks.source.span import Span
from tasks.source.timeline import load_timeline, timeline
from tasks.source.track import follow_person
from tasks.speech.waveform import waveform
from tasks.weights.networks import find_weights, licence_notes, licences

_WITH_STAGES = ("flows.methods.", "tasks.methods.", "tasks.source.")
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
    audio: Source
    clip: Artifact
    speech: Artifact
    length: Length
    faces: Artifact
    person: Artifact
    render: Artifact | None
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
    """Dub `settings.video` with `settings.audio`; write `settings.output`.

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
            speech=made.speech,
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
    video, speech = Source.of(settings.video), Source.of(settings.audio)
    tracks = Tracks(
        find_track(settings.audio, settings.audio_track),
        find_track(settings.video, settings.source_track),
    )
    with told_as("speech"):
        new_speech = waveform(speech, track=tracks.speech)
    part = part_to_read(settings.video, settings.sync, settings.face)
    clip = timeline(video, part=part)
    showing, length = lay_out(clip, new_speech, settings.sync)
    frames = output_frames(clip, showing=showing)
    found = faces(video, clip, sfd_weights=_detector_weights(settings.detector))
    person = follow_person(video, clip, found, face=settings.face)
    face = landmarks(found, person, timeline=clip)
    with told_as("source"):
        own_speech = own_waveform(video, clip, tracks.own)
    seen = Seen(video, clip, face, own_speech)
    render = new_mouths(settings, seen, new_speech, frames)
    mark = mark_number(video, speech, render) if settings.origin.mark else None
    picture = composite(
        seen,
        output_frames=frames,
        render=render,
        blend=settings.blend,
        encode=settings.encode,
        mark=mark,
        label=settings.origin.shown_label,
    )
    result = with_sound(settings, seen, picture, speech, frames, length, tracks, mark)
    return Dubbing(video, speech, clip, new_speech, length, found, person, render, result)


def own_waveform(video: Source, clip: Artifact, track: int | None) -> Artifact | None:
    """The sound of a video, or of the part of it that `clip` has; None if it has none."""
    if not clip.attributes["audio"]:
        return None
    shown = load_timeline(clip)
    if shown.part is None:
        return waveform(video, track=track)
    begin = shown.begin_seconds
    return waveform(video, track=track, part=Span(start=begin, stop=begin + shown.duration_seconds))


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
    keep = settings.keep_background_db is not None
    return dubbed(
        picture,
        seen.timeline,
        output_frames=frames,
        end_pts=length.end_pts,
        speech=speech,
        speech_track=tracks.speech,
        background=seen.video if keep else None,
        background_track=tracks.own if keep else None,
        background_db=settings.keep_background_db,
        background_from=length.from_seconds if keep else 0.0,
        encode=settings.encode,
        sound=settings.sound,
        suffix=settings.output.suffix.lower(),
        mark=mark,
    )


def mark_number(video: Source, speech: Source, render: Artifact | None) -> int:
    """The number that marks a dub, of 32 bits: it looks like chance, and the same dub has the same.

    So a run that is done again, or goes on after it was killed, makes the same bytes.
    """
    made_of = [video.key, speech.key, None if render is None else render.key]
    return int(content_key(made_of)[:8], 16)


def default_workers() -> int:
    """One per processor that this process may use; no more than MAX_WORKERS, for memory's sake."""
    return min(usable_processors(), MAX_WORKERS)


def options_of_method(settings: DubSettings) -> MethodSettings:
    """The method's own settings."""
    return method_settings(settings.method, settings.method_settings, precision=settings.precision)


def _detector_weights(detector: str) -> Artifact | None:
    return find_weights("s3fd") if detector == "s3fd" else None


def check_inputs(settings: DubSettings) -> dict[str, Artifact]:
    """Refuse at once what could only fail later; gives the weights that are needed, by name.

    Raises:
        InputError: naming the file or setting and what to do.
        MissingWeights: saying where to get them, and how to add them.
    """
    store = Store(settings.store)
    weights = {name: find_weights(name, store=store) for name in weights_needed(settings)}
    check_licences(settings, weights.values())
    for check in _CHECKS:
        check(settings)
    return weights


def input_faults(settings: DubSettings) -> list[str]:
    """All that `check_inputs` would refuse, not only the first of it."""
    needed: list[str] = []
    found: list[Artifact] = []
    find = partial(find_weights, store=Store(settings.store))
    look_up = [lambda: needed.extend(weights_needed(settings))]
    faults = faults_of(look_up)
    faults += faults_of([partial(lambda name: found.append(find(name)), name) for name in needed])
    checks = [partial(check_licences, settings, found), *(partial(c, settings) for c in _CHECKS)]
    return faults + faults_of(checks)


def _check_overwriting(settings: DubSettings) -> None:
    for given in files_of(settings):
        if settings.output.exists() and given.exists() and given.samefile(settings.output):
            raise InputError(f"the output {settings.output} would overwrite an input")


def _check_video(settings: DubSettings) -> None:
    if probe(settings.video).kind == "audio":
        raise InputError(f"{settings.video} holds no picture; give a video or a still picture")


def _check_audio(settings: DubSettings) -> None:
    if not probe(settings.audio).has_audio:
        raise InputError(f"{settings.audio} holds no sound; give another file")


def _check_output(settings: DubSettings) -> None:
    check_output(settings.output, settings.sound, rate=None)
    track = find_track(settings.audio, settings.audio_track)
    facts = audio_facts(settings.audio, track=track)
    check_output(settings.output, settings.sound, rate=facts.rate)


def _check_own_track(settings: DubSettings) -> None:
    find_track(settings.video, settings.source_track)


def _check_background(settings: DubSettings) -> None:
    if settings.keep_background_db is not None:
        if settings.sync.mode in ("loop", "bounce"):
            raise SettingsError("--keep-background can't be used with --sync-mode loop or bounce")
        if not probe(settings.video).has_audio:
            raise SettingsError(f"--keep-background: {settings.video} has no sound to keep")


_CHECKS: tuple[Callable[[DubSettings], None], ...] = (
    *(_check_overwriting, _check_video, _check_audio, _check_output),
    *(_check_own_track, _check_background, check_consent, check_signing),
)


def finish(
    run: Run, settings: DubSettings, made: Dubbing, redo_of: dict[str, Any] | None
) -> DubReport:
    """Copy the result to where the user wants it, and record the run."""
    result, length, render = made.result, made.length, made.render
    record = RunRecord(
        "dub",
        recorded(settings),
        run.touched,
        str(settings.output.absolute()),
        redo_of=redo_of,
        mark=mark_text(result.attributes["mark"]) if settings.origin.mark else None,
    )
    record_run(run.store, record)  # first: who finds the file finds what made it
    origin = deliver(
        result,
        settings,
        record=record,
        ingredients={"video": made.video.key, "audio": made.audio.key},
        weights=run.kept.values(),
    )
    record_run(run.store, replace(record, bytes=settings.output.stat().st_size))
    licence = licence_notes(licences(run.kept.values()))
    count = int(result.attributes["frames"])
    made_with = [] if render is None else [*render.attributes.get("notes", []), *licence]
    untouched = [(0, count)] if render is None else false_ranges(render.read("valid"))
    return DubReport(
        run=record.id,
        output=settings.output,
        frames=count,
        valid_frames=count - sum(stop - start for start, stop in untouched),
        no_face_ranges=untouched,
        in_reach=None if render is None else render.attributes.get("in_reach"),
        seconds=round(length.seconds, 6),
        speech_seconds=round(length.speech_seconds, 6),
        stages=stage_reports(run),
        origin=origin,
        notes=[*made.person.attributes["notes"], *made_with, *_unmarked(settings), *run.notes],
        versions=software_versions(),
    )


def recorded(settings: DubSettings) -> dict[str, Any]:
    """The settings as a record holds them."""
    files = {name: getattr(settings, name).absolute() for name in ("video", "audio", "output")}
    return settings.model_copy(update=files).model_dump(mode="json")


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


def files_of(settings: DubSettings) -> tuple[Path, ...]:
    """Video, speech, the consent, and the files that settings of the method name."""
    more = find_method(settings.method).files(options_of_method(settings))
    consent = [] if settings.origin.consent is None else [settings.origin.consent]
    return (settings.video, settings.audio, *consent, *more)


def weights_needed(settings: DubSettings) -> tuple[str, ...]:
    """Names of the published weights that this dub uses."""
    of_detector = ("s3fd",) if settings.detector == "s3fd" else ()
    of_method = find_method(settings.method).weights(options_of_method(settings))
    of_restore = (settings.restore.weights,) if settings.restore.model != "none" else ()
    return of_detector + of_method + of_restore


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
