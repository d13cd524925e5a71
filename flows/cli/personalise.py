"""`dubflow personalise`: a person's face and voice, learned from one video."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import yaml
from cyclopts import Parameter
from rich.markup import escape

from flows.cli import options
from flows.cli.console import new_console
from flows.cli.errors import when_stopped
from flows.cli.options import Option
from flows.cli.outcome import show_notes
from flows.personalisation.settings import PersonaliseSettings
from flows.presets import checked, merge, nested

if TYPE_CHECKING:
    from flows.personalisation.report import PersonaliseReport


@options.offers(
    PersonaliseSettings,
    {
        "video": options.ARGUMENT,
        "speech": Option("--speech", metavar="FOLDER|INDEX.parquet"),
        "output": options.OUTPUT,
        "face": Option("--face", metavar="largest|track:N|X,Y@S"),
        "person": Option("--person", metavar="REGEX"),
        "preset": Option("--preset", options.SETTINGS, default="paper with a CUDA GPU, else small"),
        "licence": Option("--licence", options.SETTINGS),
        "restart": Option("--restart", options.RUNNING),
        "store": options.STORE,
        "workers": options.WORKERS,
        "devices.device": options.DEVICE,
    },
)
def personalise(
    given: dict[str, Any],
    *,
    changes: Annotated[
        options.ChangesOption,
        Parameter(
            help="Change any setting, for example pseudo.minutes=30, pseudo.method=exemplar, "
            "expression.settings.pairs=both, renderer.trainer.steps=6000, "
            "method_settings.fit.mode=mesh. Repeatable."
        ),
    ] = None,
    dry_run: Annotated[
        options.DryRunOption,
        Parameter(help="Print settings and steps, and what is missing for them, and stop."),
    ] = False,
    cluster: options.ClusterOption = None,
    prefect: options.PrefectOption = None,
    as_json: options.JsonOption = False,
) -> None:
    """Learn the person of VIDEO, for the method meta_talk: face, and how it says what others say.

    Examples

        dubflow personalise talk.mp4 --speech voices/ -o RUN

    Then `dubflow dub … --method meta_talk --set method_settings.run=RUN` dubs that person.

    Each subfolder of the speech folder is a speaker; a file that lies in none is one by itself.
    Some speakers are held out, to judge by. Interrupted or killed, the same command goes on.
    """
    settings = checked(
        PersonaliseSettings, merge(nested(changes or [], example="pseudo.minutes=30"), given)
    )
    if dry_run:
        _show(settings)
        return
    with when_stopped(f"{settings.output} holds what was done, the same command goes on from it"):
        report = _personalise(settings, cluster=cluster, prefect=prefect)
    if as_json:
        sys.stdout.write(report.model_dump_json() + "\n")
    _summarise(report, settings)


def _show(settings: PersonaliseSettings) -> None:
    from flows.personalisation.plan import Plan

    plan = Plan.of(settings)
    shown = {
        "preset": settings.preset,
        **plan.told,
        "steps": plan.steps(),
        "missing": plan.faults(),
    }
    yaml.safe_dump(shown, sys.stdout, sort_keys=False)


def _personalise(
    settings: PersonaliseSettings, *, cluster: str | None, prefect: bool | None
) -> "PersonaliseReport":
    from flows.personalisation.report import PersonaliseReport
    from flows.runtime.clusters import open_cluster
    from flows.runtime.progress import Bars, watched

    console = new_console()
    if options.under_prefect(prefect):
        from flows.personalisation.plan import Plan

        Plan.of(settings).check()  # before a server is started for nothing
        options.announce_server(console)
        from flows.prefect_flows import personalise_flow

        with watched(Bars(console)):
            return PersonaliseReport.model_validate(personalise_flow(settings, cluster))
    from flows.personalise import personalise as run
    from flows.runtime.training_progress import OnTerminal

    def say(line: str) -> None:
        console.print(f"[bold]{escape(line)}")

    with open_cluster(cluster) as workers, watched(Bars(console)) as bars:
        return run(settings, watch=OnTerminal, progress=bars, cluster=workers, say=say)


def _summarise(report: "PersonaliseReport", settings: PersonaliseSettings) -> None:
    console = new_console()
    for name, file in report.weights.items():
        console.print(f"[bold green]{report.output / name}")
        told = "  ".join(f"{n} {v:.4g}" for n, v in report.figures[Path(name).parts[0]].items())
        console.print(f"  {file.bytes / 1e6:.1f} MB; {told}")
    show_notes(report.notes, console)
    minutes = sum(report.seconds.values()) / 60
    face = "" if settings.face == "largest" else f" --face {settings.face}"
    console.print(
        f"  {minutes:.1f} min in all; {report.output / 'card.md'}\n"
        f"  dub with it: dubflow dub {settings.video} SPEECH -o OUT.mp4{face} --method meta_talk "
        f"--set method_settings.run={report.output}"
    )
