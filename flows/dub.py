"""Dub one video: the whole pipeline, top to bottom.

video ─ timeline ─ faces ─ track ─ landmarks ──┐
  └──── waveform (its own speech, if any) ─────┼─ method ─ render [─ restore] ─ composite ─ mux
speech ─ waveform ─────────────────────────────┘
"""

import os
from pathlib import Path

from flows.dub_report import DubReport, false_ranges, stage_reports
from flows.methods import Prepared, find_method, method_settings
from flows.settings import DubSettings
from stores.artifacts.artifact import Artifact
from stores.artifacts.catalog import write_catalog
from stores.artifacts.source import Source
from stores.artifacts.store import Store
from stores.artifacts.versions import software_versions
from stores.backends.backend import explain_full_disk
from stores.errors import InputError, SettingsError
from stores.media.audio import audio_facts
from stores.media.mux import check_output
from stores.media.source import probe
from stores.runs import RunRecord, record_run
from tasks.engine.cluster import Cluster
from tasks.engine.run import NoProgress, Progress, Run, usable_processors
from tasks.result.composite import composite
from tasks.result.dubbed import dubbed
from tasks.result.output_frames import output_frames
from tasks.result.restored import restored
from tasks.source.faces import faces
from tasks.source.landmarks import landmarks
from tasks.source.timeline import timeline
from tasks.source.track import track
from tasks.speech.waveform import waveform
from tasks.weights.networks import find_weights, licence_notes, licences

MAX_WORKERS = 8
"""Ranges computed at once unless asked otherwise; each holds some 100 MB."""


def dub(
    settings: DubSettings,
    *,
    progress: Progress | None = None,
    cluster: Cluster | None = None,
    catalog: bool = True,
) -> DubReport:
    """Dub `settings.video` with `settings.audio`; write `settings.output`.

    Args:
        settings: What goes in and what comes out.
        progress: Who shows it.
        cluster: Whose workers compute; None is this process.
        catalog: Write the store's catalog anew if anything was computed. That takes as long as the
            store has artifacts, so whoever dubs many writes it once, when all are done.

    Raises:
        ClusterError: the cluster lacks what is needed, or was lost.
        InputError: the video, the speech or a setting can't be used; found before long work.
        StoreError: the store is damaged or full.
    """
    method = find_method(settings.method)
    method_options = method_settings(settings.method, settings.method_settings)
    check_inputs(settings)
    run = Run(
        Store(settings.store),
        workers=settings.workers or (cluster.slots() if cluster else default_workers()),
        devices=settings.devices,
        progress=progress or NoProgress(),
        cluster=cluster,
    )
    with run.active():
        video, speech = Source.of(settings.video), Source.of(settings.audio)
        new_speech = waveform(speech)
        clip = timeline(video)
        frames = output_frames(clip, new_speech, settings.sync)
        found = faces(video, clip, find_weights("s3fd") if settings.detector == "s3fd" else None)
        face = landmarks(found, track(found, clip, settings.face), clip)
        own_speech = waveform(video) if clip.attributes["audio"] else None
        render: Artifact | None = None
        if face.read("valid").any():
            prepared = Prepared(video, clip, face, own_speech, frames, settings.precision)
            render = method.run(prepared, new_speech, method_options)
            if settings.restore.model != "none":
                render = restored(
                    video,
                    clip,
                    face,
                    frames,
                    render,
                    settings.blend,
                    find_weights(settings.restore.weights),
                    settings.restore,
                    settings.precision,
                )
        picture = composite(video, clip, frames, render, settings.blend, settings.encode)
        result = dubbed(
            picture,
            clip,
            frames,
            speech,
            video if settings.keep_background_db is not None else None,
            settings.keep_background_db,
            settings.encode,
            settings.sound,
            settings.output.suffix.lower(),
        )
        report = finish(run, settings, result, frames, render)
    if catalog and any(record.computed for record in run.records):
        write_catalog(run.store)
    return report


def default_workers() -> int:
    """One per processor that this process may use; no more than MAX_WORKERS, for memory's sake."""
    return min(usable_processors(), MAX_WORKERS)


def check_inputs(settings: DubSettings) -> None:
    """Refuse at once what could only fail later.

    Raises:
        InputError: naming the file or setting and what to do.
        MissingWeights: saying where to get them, and how to add them.
    """
    for name in weights_needed(settings):
        find_weights(name, store=Store(settings.store))
    for given in (settings.video, settings.audio):
        if settings.output.exists() and given.exists() and given.samefile(settings.output):
            raise InputError(f"the output {settings.output} would overwrite an input")
    if probe(settings.video).kind == "audio":
        raise InputError(f"{settings.video} holds no picture; give a video or a still picture")
    if not probe(settings.audio).has_audio:
        raise InputError(f"{settings.audio} holds no sound; give another file")
    check_output(settings.output, settings.sound, rate=audio_facts(settings.audio).rate)
    if settings.keep_background_db is not None:
        if settings.sync.mode in ("loop", "bounce"):
            raise SettingsError("--keep-background can't be used with --sync-mode loop or bounce")
        if not probe(settings.video).has_audio:
            raise SettingsError(f"--keep-background: {settings.video} has no sound to keep")


def finish(
    run: Run,
    settings: DubSettings,
    result: Artifact,
    frames: Artifact,
    render: Artifact | None,
) -> DubReport:
    """Copy the result to where the user wants it, and record the run."""
    write_output(result, settings.output)
    licence = licence_notes(licences(find_weights(name) for name in weights_needed(settings)))
    count = frames.sizes["frame"]
    untouched = [(0, count)] if render is None else false_ranges(render.read("valid"))
    report = DubReport(
        output=settings.output,
        frames=count,
        valid_frames=count - sum(stop - start for start, stop in untouched),
        no_face_ranges=untouched,
        seconds=round(frames.attributes["seconds"], 6),
        speech_seconds=round(frames.attributes["speech_seconds"], 6),
        stages=stage_reports(run),
        notes=[] if render is None else [*render.attributes.get("notes", []), *licence],
        versions=software_versions(),
    )
    record_run(
        run.store,
        RunRecord("dub", settings.model_dump(mode="json"), run.touched, str(settings.output)),
    )
    return report


def weights_needed(settings: DubSettings) -> tuple[str, ...]:
    """Names of the published weights that this dub uses."""
    options = method_settings(settings.method, settings.method_settings)
    of_detector = ("s3fd",) if settings.detector == "s3fd" else ()
    of_method = find_method(settings.method).weights(options)
    of_restore = (settings.restore.weights,) if settings.restore.model != "none" else ()
    return of_detector + of_method + of_restore


def write_output(result: Artifact, output: Path) -> None:
    """Copy the dubbed file out of the store, whole or not at all."""
    beside = output.with_name(f".{output.name}.{os.getpid()}.part")
    try:
        with explain_full_disk(str(output.parent)):
            result.copy_file(result.attributes["file"], beside)
            beside.replace(output)
    finally:
        beside.unlink(missing_ok=True)
