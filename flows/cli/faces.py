"""`dubflow faces`: who is seen in a video, to choose whom to dub."""

import json
import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from rich.table import Table

from flows.cli.console import new_console
from flows.cli.options import JsonOption, OverwriteOption, StoreOption, may_replace
from stores.artifacts.settings import default_store


def faces(
    video: Annotated[Path, Parameter(help="Video, or still picture.")],
    /,
    *,
    output: Annotated[
        Path | None,
        Parameter(name=("--output", "-o"), help="Draw everyone into this .png or .jpg."),
    ] = None,
    overwrite: OverwriteOption = False,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show who is seen in VIDEO: what `--face` takes, when, and how large.

    Examples

        dubflow faces interview.mov -o who.png
        dubflow dub interview.mov line.wav -o out.mov --face track:1

    Persons are known again after cuts where `dubflow[metrics]` is installed; otherwise everyone
    is a new person after each cut. A dub of the same video computes none of it again.
    """
    from flows.gallery import MISSED, find_persons
    from flows.runtime.progress import Bars, watched

    if output is not None:
        may_replace(output, overwrite)
    console = new_console()
    with watched(Bars(console)) as bars:
        persons = find_persons(video, store=store or default_store(), picture=output, progress=bars)
    if as_json:
        sys.stdout.write(json.dumps([each.model_dump(mode="json") for each in persons]) + "\n")
        return
    table = Table(box=None, header_style="bold")
    for name in ("--face", "from", "to", "frames", "share", "width"):
        table.add_column(name, justify="left" if name == "--face" else "right")
    for each in persons:
        table.add_row(
            each.face,
            f"{each.first_seconds:.2f} s",
            f"{each.last_seconds:.2f} s",
            str(each.frames),
            f"{each.share:.0%}",
            f"{each.width_px:.0f} px",
        )
    if not persons:
        sys.stdout.write(f"no face was found: {MISSED}\n")
        return
    new_console(stderr=False).print(table)
    if output is not None:
        console.print(f"drawn into {output}")
