"""`dubflow dub`: one video, dubbed."""

import json
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import yaml
from cyclopts import Parameter
from rich.console import Console
from rich.filesize import decimal
from rich.markup import escape

from flows.cli import options
from flows.cli.console import new_console
from flows.cli.options import Option
from flows.cli.outcome import show_computed, show_notes
from flows.faults import faults_of
from flows.quantities import counted
from flows.settings import DubSettings, read_settings
from stores.artifacts.settings import inspect_command
from stores.errors import DubflowError, ManyFaults

if TYPE_CHECKING:
    from flows.dub_report import DubReport


_FROM_FILE = replace(options.ARGUMENT, default="as --config says")


@options.offers(
    DubSettings,
    {
        "video": _FROM_FILE,
        "audio": replace(options.ARGUMENT, default="as --config or --cues says"),
        "output": replace(options.OUTPUT, default=_FROM_FILE.default),
        "method": Option("--method"),
        "face": Option("--face", options.DUBBED, "largest|track:N|X,Y@S"),
        "audio_track": Option("--audio-track", options.DUBBED, "N|LANG"),
        "source_track": Option("--source-track", options.DUBBED, "N|LANG"),
        "sync.mode": Option("--sync-mode", options.DUBBED),
        "sync.start_seconds": Option("--start", options.DUBBED),
        "sync.end_seconds": Option("--end", options.DUBBED),
        "keep_background_db": Option("--keep-background", options.DUBBED, "DB"),
        "bed": Option("--bed", options.DUBBED, "FILE"),
        "cues.sheet": Option("--cues", options.CUES, "FILE"),
        "cues.takes": Option("--takes", options.CUES, "FOLDER"),
        "cues.gaps": Option("--gaps", options.CUES),
        "cues.fit": Option("--fit", options.CUES, "cut|stretch:N"),
        "restore.model": Option("--restore", options.DUBBED),
        "encode.crf": Option("--quality", options.ENCODING),
        "encode.codec": Option("--codec", options.ENCODING),
        "sound.audio_codec": Option("--audio-codec", options.ENCODING),
        "origin.mark": Option("--mark", options.ORIGIN, negative="--no-mark"),
        "origin.sign": Option("--sign", options.ORIGIN, "CERT KEY"),
        "origin.consent": Option("--consent", options.ORIGIN, "FILE"),
        "origin.label": Option("--label", options.ORIGIN, "TEXT|icon"),
        "origin.label_seconds": Option("--label-seconds", options.ORIGIN),
        "origin.non_commercial": Option("--non-commercial", options.ORIGIN),
        "store": options.STORE,
        "workers": options.WORKERS,
        "devices.device": options.DEVICE,
        "precision": Option("--precision", options.RUNNING),
    },
)
def dub(
    given: dict[str, Any],
    *,
    config: Annotated[
        Path | None,
        Parameter(
            group=options.SETTINGS,
            help="YAML file with any of the settings; with VIDEO, AUDIO and output, a whole job.",
        ),
    ] = None,
    changes: Annotated[
        options.ChangesOption,
        Parameter(help="Change any setting, for example blend.mode=multiband. Repeatable."),
    ] = None,
    dry_run: Annotated[
        options.DryRunOption,
        Parameter(
            help="Print the settings, say what would be refused or what disk it takes, stop."
        ),
    ] = False,
    overwrite: options.OverwriteOption = False,
    cluster: options.ClusterOption = None,
    prefect: options.PrefectOption = None,
    as_json: options.JsonOption = False,
) -> None:
    """Dub VIDEO with the speech in AUDIO, or by a cue sheet.

    Examples

        dubflow dub talk.mp4 german.wav -o talk.de.mp4
        dubflow dub talk.mp4 german.wav -o out.mp4 --start 10 --face 640,300@12
        dubflow dub talk.mov line.wav -o out.mov --keep-background -20
        dubflow dub scene.mov --cues scene.csv -o scene.de.mov --bed music.wav
        dubflow dub --config job.yaml

    The picture keeps its size, frame rate and, unless told otherwise, its length. Frames without
    a usable face pass through. What was computed before is taken from the store.
    """
    settings = read_settings(config, changes or [], given)
    if dry_run:
        yaml.safe_dump(settings.model_dump(mode="json"), sys.stdout, sort_keys=False)
        sys.stdout.flush()
        _check(settings, overwrite)
        _tell_disk(settings)
    else:
        if not overwrite and settings.output.exists():
            from flows.dub import is_result_of
            from flows.dub_inputs import check_overwriting

            check_overwriting(settings)
            options.may_replace(settings.output, is_result_of(settings))
        dub_and_tell(settings, prefect=prefect, as_json=as_json, cluster=cluster)


def _check(settings: DubSettings, overwrite: bool) -> None:
    """Refuse what a dub would refuse, all of it, and say what it would ask."""
    from flows.dub import is_result_of
    from flows.dub_inputs import check_overwriting, input_faults

    faults = input_faults(settings)
    there = not overwrite and settings.output.exists() and not is_result_of(settings)
    if there and not faults_of([partial(check_overwriting, settings)]):
        faults.append(options.in_the_way(settings.output))
    if faults:
        raise ManyFaults(faults)


def _tell_disk(settings: DubSettings) -> None:
    from flows.disk import disk_need

    console = new_console()
    try:
        need = disk_need(settings)
    except DubflowError as error:
        console.print(f"[dim]the disk that it takes can't be told: {escape(str(error))}")
        return
    there = f"up to {decimal(need.stored)} are there already" if need.stored else "nothing is there"
    free = "" if need.free is None else f"; {decimal(need.free)} are free"
    console.print(
        f"takes about {decimal(need.store)} in all in the store {escape(settings.store)}, of which "
        f"{there}, and {decimal(need.output)} for {escape(str(settings.output))}{free}"
    )


def dub_and_tell(
    settings: DubSettings, *, prefect: bool | None, as_json: bool, cluster: str | None = None
) -> None:
    """Dub, under Prefect or directly, and say what was done."""
    from flows.dub_inputs import check_inputs
    from flows.runtime.clusters import open_cluster, read_cluster
    from flows.runtime.progress import Bars, watched

    console = new_console()
    if options.under_prefect(prefect):
        check_inputs(settings)  # before a server is started for nothing
        if cluster is not None:
            read_cluster(cluster)
        options.announce_server(console)
        from flows.dub_report import DubReport
        from flows.prefect_flows import dub_flow

        with watched(Bars(console)):
            report = DubReport.model_validate(dub_flow(settings, cluster))
    else:
        from flows.dub import dub as dub_directly

        with open_cluster(cluster) as workers, watched(Bars(console)) as bars:
            report = dub_directly(settings, progress=bars, cluster=workers)
    if as_json:
        sys.stdout.write(json.dumps(report.model_dump(mode="json")) + "\n")
    _summarise(report, settings.store, console)


def _summarise(report: "DubReport", store: str, console: Console) -> None:
    console.print(f"[bold green]{report.output}")
    console.print(
        f"  {counted(report.frames, 'frame')}, {report.seconds:.2f} s (speech: "
        f"{report.speech_seconds:.2f} s); mouth made anew in {report.valid_frames}"
    )
    if report.in_reach is not None:
        share = f"{100 * report.in_reach:.0f} %"
        console.print(f"  the source shows {share} of the wanted mouths, or nearly alike ones")
    if report.no_face_ranges:
        console.print(f"  left as they were: frames {_told(report.no_face_ranges)}")
    if report.cues and report.changed_ranges is not None:
        console.print(f"  changed since the last run: frames {_told(report.changed_ranges)}")
    console.print(f"  {escape(_origin(report))}")
    show_notes(report.notes, console)
    show_computed([stage.title for stage in report.stages if stage.computed], console)
    look = inspect_command(report.output, store)
    console.print(f"  look at all of it: [bold]{escape(look)}")


def _told(ranges: "list[tuple[int, int]]") -> str:
    return ", ".join(f"{start}-{stop - 1}" for start, stop in ranges[:8]) or "none"


def _origin(report: "DubReport") -> str:
    origin = report.origin
    if origin.mark is None:
        return "not marked as a dub"
    how = ", self-signed" if origin.self_signed else ""
    where = "" if origin.manifest == report.output else f" in {origin.manifest}"
    return f"marked {origin.mark}; manifest{where} signed by {origin.signer}{how}"
