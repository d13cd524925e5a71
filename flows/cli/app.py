"""The `dubflow` command. Heavy libraries are imported only by the subcommands that need them."""

import json
import os
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml
from rich.console import Console

from flows.runtime.environment import give_memory_back, quiet_and_private

quiet_and_private()
give_memory_back()

from flows.cli.artifacts import artifacts  # noqa: E402  (the environment comes first)
from flows.cli.batch import batch, demo_batch  # noqa: E402
from flows.cli.errors import one_line_errors  # noqa: E402
from flows.cli.evaluate import evaluate  # noqa: E402
from flows.cli.options import (  # noqa: E402
    ClusterOption,
    DeviceOption,
    JsonOption,
    PrefectOption,
    StoreOption,
)
from flows.cli.prepare import prepare  # noqa: E402
from flows.cli.rate import rate  # noqa: E402
from flows.cli.train import train  # noqa: E402
from flows.cli.up import up  # noqa: E402
from flows.cli.weights import weights  # noqa: E402

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Make the lips of a talking-head video match new speech.",
)


@app.command(
    epilog="[bold]Examples[/]\n\n"
    "dubflow dub talk.mp4 german.wav -o talk.de.mp4\n\n"
    "dubflow dub talk.mp4 german.wav -o talk.de.mp4 --start 10 --end 40 --face 640,300@12\n\n"
    "dubflow dub interview.mov line.wav -o out.mov --sync-mode cut_off --keep-background -20"
)
def dub(
    video: Annotated[Path, typer.Argument(help="Source video, or a still picture.")],
    audio: Annotated[Path, typer.Argument(help="The new speech: sound, or a video with sound.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="File to write: .mp4, .mov or .mkv.")
    ],
    method: Annotated[
        str | None,
        typer.Option(
            metavar="exemplar|wav2lip|ip_lap",
            help="How the mouth is made. [dim]Default: exemplar.[/]",
        ),
    ] = None,
    face: Annotated[
        str | None,
        typer.Option(
            metavar="largest|track:N|X,Y@SECONDS",
            help="Which face to dub. [dim]Default: largest.[/]",
            rich_help_panel="What is dubbed",
        ),
    ] = None,
    sync_mode: Annotated[
        str | None,
        typer.Option(
            metavar="silence|cut_off|loop|bounce",
            help="If lengths differ: keep the video's length (silence after the speech), cut to "
            "the shorter, or repeat the video. [dim]Default: silence.[/]",
            rich_help_panel="What is dubbed",
        ),
    ] = None,
    start: Annotated[
        float | None,
        typer.Option(help="From here on, in seconds.", rich_help_panel="What is dubbed"),
    ] = None,
    end: Annotated[
        float | None, typer.Option(help="Up to here, in seconds.", rich_help_panel="What is dubbed")
    ] = None,
    keep_background: Annotated[
        float | None,
        typer.Option(
            metavar="DB",
            help="Mix the source's own sound in at this gain in dB, for example -20.",
            rich_help_panel="What is dubbed",
        ),
    ] = None,
    quality: Annotated[
        float | None,
        typer.Option(
            help="Constant rate factor, 0 best to 40. [dim]Default: 17, like the source.[/]",
            rich_help_panel="Encoding",
        ),
    ] = None,
    codec: Annotated[
        str | None,
        typer.Option(
            metavar="h264|hevc",
            help="Video codec. [dim]Default: h264.[/]",
            rich_help_panel="Encoding",
        ),
    ] = None,
    audio_codec: Annotated[
        str | None,
        typer.Option(
            metavar="aac|flac|alac|pcm",
            help="Sound codec; all but aac are lossless. [dim]Default: aac.[/]",
            rich_help_panel="Encoding",
        ),
    ] = None,
    restore: Annotated[
        str | None,
        typer.Option(
            metavar="none|gfpgan",
            help="Sharpen the rendered mouth with a face restoration network. "
            "[dim]Default: none.[/]",
            rich_help_panel="What is dubbed",
        ),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(help="YAML file with any of the settings.", rich_help_panel="Settings"),
    ] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="Change any setting, for example blend.mode=multiband. Repeatable.",
            rich_help_panel="Settings",
        ),
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Print the settings and stop.", rich_help_panel="Settings"),
    ] = False,
    store: StoreOption = None,
    workers: Annotated[
        int | None,
        typer.Option(help="Ranges computed at once.", rich_help_panel="Running"),
    ] = None,
    device: DeviceOption = None,
    precision: Annotated[
        str | None,
        typer.Option(
            metavar="float32|bfloat16|float16",
            help="What networks compute in; the short ones are faster on a GPU. "
            "[dim]Default: float32.[/]",
            rich_help_panel="Running",
        ),
    ] = None,
    cluster: ClusterOption = None,
    prefect: PrefectOption = None,
    as_json: JsonOption = False,
) -> None:
    """Dub VIDEO with the speech in AUDIO.

    The picture keeps its size, frame rate and, unless told otherwise, its length. Frames without
    a usable face pass through. What was computed before is taken from the store.
    """
    options: dict[str, Any] = {
        "video": video,
        "audio": audio,
        "output": output,
        "store": store,
        "method": method,
        "face": face,
        "sync": {"mode": sync_mode, "start_seconds": start, "end_seconds": end},
        "encode": {"codec": codec, "crf": quality},
        "sound": {"audio_codec": audio_codec},
        "keep_background_db": keep_background,
        "restore": {"model": restore},
        "devices": {"device": device},
        "precision": precision,
        "workers": workers,
    }
    with one_line_errors():
        from flows.settings import read_settings

        settings = read_settings(config, changes or [], options)
        if dry_run:
            typer.echo(yaml.safe_dump(settings.model_dump(mode="json"), sort_keys=False), nl=False)
            return
        _dub(settings, prefect=prefect, as_json=as_json, cluster=cluster)


@app.command()
def demo(
    output: Annotated[Path, typer.Option("--output", "-o")] = Path("dubflow-demo.mp4"),
    store: StoreOption = None,
    prefect: PrefectOption = True,
    as_json: JsonOption = False,
) -> None:
    """Dub the built-in example: a silent webcam clip, and eleven seconds of a 1961 address."""
    with one_line_errors():
        from flows.settings import read_settings
        from stores.shipped import shipped_file

        options: dict[str, Any] = {
            "video": shipped_file("examples/cap13.mp4"),
            "audio": shipped_file("examples/jfk.wav"),
            "output": output,
            "store": store,
            "sync": {"mode": "cut_off"},
        }
        _dub(read_settings(None, [], options), prefect=prefect, as_json=as_json)


@app.command()
def doctor(store: StoreOption = None, as_json: JsonOption = False) -> None:
    """Say what is installed, which device and weights there are, and if the store is healthy."""
    with one_line_errors():
        from flows.runtime.doctor import examine, show
        from stores.artifacts.store import default_store

        findings = examine(store or default_store())
        if as_json:
            typer.echo(json.dumps(findings))
        else:
            show(findings, Console())
        if not findings["healthy"]:
            raise typer.Exit(1)


app.command()(batch)
app.command()(prepare)
app.command()(train)
app.command()(evaluate)
app.command()(rate)
app.add_typer(artifacts, name="artifacts")
app.add_typer(weights, name="weights")
app.command()(up)
app.command("demo-batch")(demo_batch)


def _dub(settings: Any, *, prefect: bool | None, as_json: bool, cluster: str | None = None) -> None:
    from flows.dub import check_inputs
    from flows.runtime.clusters import open_cluster, read_cluster
    from flows.runtime.progress import watched

    console = Console(stderr=True)
    under_prefect = bool(os.environ.get("PREFECT_API_URL")) if prefect is None else prefect
    if under_prefect:  # before a server is started for nothing
        check_inputs(settings)
        if cluster is not None:
            read_cluster(cluster)
    if under_prefect and not os.environ.get("PREFECT_API_URL"):
        console.print("[dim]starting Prefect's server (10 to 20 s; --direct does without) …")
    if under_prefect:
        from flows.prefect_flows import dub_flow

        with watched(console):
            report = dub_flow(settings, cluster)
    else:
        from flows.dub import dub as dub_directly

        with open_cluster(cluster) as workers, watched(console) as bars:
            done = dub_directly(settings, progress=bars, cluster=workers)
        report = done.model_dump(mode="json")
    if as_json:
        typer.echo(json.dumps(report))
    _summarise(report, settings.store, console)


def _summarise(report: dict[str, Any], store: str, console: Console) -> None:
    computed = [stage["name"] for stage in report["stages"] if stage["computed"]]
    console.print(f"[bold green]{report['output']}", soft_wrap=True, highlight=False)
    console.print(
        f"  {report['frames']} frames, {report['seconds']:.2f} s (speech: "
        f"{report['speech_seconds']:.2f} s); mouth made anew in {report['valid_frames']}",
        highlight=False,
    )
    if report["no_face_ranges"]:
        ranges = ", ".join(f"{start}-{stop - 1}" for start, stop in report["no_face_ranges"][:8])
        console.print(f"  left as they were: frames {ranges}", highlight=False)
    for note in report["notes"]:
        console.print(f"  note: {note}", highlight=False)
    console.print(
        f"  computed: {', '.join(computed) or 'nothing, all came from the store'}", highlight=False
    )
    last = report["stages"][-1]
    console.print(
        f"  look at the artifacts: dubflow artifacts list --store {store}\n"
        f"                         dubflow artifacts show {last['key'][:12]} --store {store}",
        soft_wrap=True,
        highlight=False,
    )
