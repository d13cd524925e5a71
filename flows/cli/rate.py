"""`dubflow rate`: let people judge results without knowing who made them."""

import json
import sys
from itertools import groupby
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter
from cyclopts.types import Port
from rich.markup import escape
from rich.table import Table

from flows.cli.console import new_console
from flows.cli.errors import when_stopped
from flows.cli.options import listening, named
from stores.errors import SettingsError
from stores.places import check_new_folder

Ask = Literal["pair", "single", "both"]


def rate(
    results: Annotated[
        list[str] | None,
        Parameter(
            help="NAME=FOLDER of each system: where its videos are. Files of the same name show "
            "the same clip. The source videos can be one of the systems.",
        ),
    ] = None,
    /,
    *,
    answers: Annotated[
        Path, Parameter(help="Folder of the answers: one Parquet file for each rater.")
    ] = Path("ratings"),
    ask: Annotated[Ask, Parameter(help="Two videos at once, or one.")] = "pair",
    questions: Annotated[
        Path | None, Parameter(help="YAML file with the questions, like configs/ratings.yaml.")
    ] = None,
    seed: Annotated[int, Parameter(help="Another one gives everyone another order.")] = 0,
    host: Annotated[
        str, Parameter(help="Address to serve at. Another one lets others on the network in.")
    ] = "127.0.0.1",
    port: Annotated[Port, Parameter(help="0 takes any that is free.")] = 8765,
    show_results: Annotated[
        bool,
        Parameter(name="--results", help="Don't serve: say what raters answered so far."),
    ] = False,
    as_json: Annotated[
        bool, Parameter(name="--json", help="With --results: print JSON on stdout.")
    ] = False,
) -> None:
    """Serve a page on which people rate results blindly, or say what came of it.

    Raters see videos in an order of their own, without names, sides drawn by chance. Each answer is
    kept at once; who comes back under the same name goes on where they left.
    """
    if show_results:
        _show_results(answers, as_json=as_json)
        return
    import uvicorn

    from stores.shipped import shipped_file
    from viewer.ratings.server import create_app
    from viewer.ratings.study import make_study, read_questions

    given = named(results or [], what="FOLDER", example="ours=results/ours")
    folders = {name: Path(folder) for name, folder in given.items()}
    if not folders:
        raise SettingsError("name what is to be rated: dubflow rate NAME=FOLDER NAME=FOLDER")
    known = read_questions(questions or shipped_file("configs/ratings.yaml"))
    asked = {kind: texts for kind, texts in known.items() if ask in (kind, "both")}
    if not any(asked.values()):
        raise SettingsError(f"{questions}: no questions for --ask {ask}")
    check_new_folder(answers)
    study = make_study(folders, asked, seed=seed)
    trials = len(study.trials("someone"))
    with when_stopped("answers are kept"), listening(host, port) as sock:
        shown = "localhost" if host == "127.0.0.1" else host
        new_console().print(
            f"[bold]http://{shown}:{sock.getsockname()[1]}[/]  {trials} to rate for each "
            f"person, answers go to {answers}; stop with Ctrl+C"
        )
        config = uvicorn.Config(create_app(study, answers, host=host), log_level="warning")
        uvicorn.Server(config).run(sockets=[sock])


def _show_results(answers: Path, *, as_json: bool) -> None:
    from viewer.ratings.results import opinion_rows, preference_rows, summarise, write_results

    opinions = summarise(answers)
    check_new_folder(answers / "results")
    written = write_results(opinions, answers / "results")
    if as_json:
        found = {
            "opinions": list(opinion_rows(opinions)),
            "preferences": list(preference_rows(opinions)),
        }
        sys.stdout.write(json.dumps(found) + "\n")
        return
    console = new_console(stderr=False)
    for unit, rows in (
        ("1 bad to 5 excellent", opinion_rows(opinions)),
        ("share that preferred the first", preference_rows(opinions)),
    ):
        for question, asked in groupby(rows, lambda row: str(row["question"])):
            console.print(_table(f"{escape(question)}\n[dim]{unit}", list(asked)), "")
    new_console().print(f"written: {', '.join(map(str, written))}")


def _table(title: str, rows: list[dict[str, Any]]) -> Table:
    table = Table(title=title, title_justify="left", box=None, header_style="bold")
    headers = {"low": "95 %", "first_wins": "for first", "second_wins": "for second"}
    names = [name for name in rows[0] if name not in ("question", "high")]
    for name in names:
        side: Literal["left", "right"] = "left" if isinstance(rows[0][name], str) else "right"
        table.add_column(headers.get(name, name), justify=side, no_wrap=True)
    for row in rows:
        low, high = row["low"], row["high"]
        shown = row | {
            "mean": f"{row['mean']:.2f}",
            "low": "" if low is None else f"{low:.2f}..{high:.2f}",
        }
        table.add_row(*(str(shown[name]) for name in names))
    return table
