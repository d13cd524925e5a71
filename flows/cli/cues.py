"""`dubflow cues`: a cue sheet proposed for a video."""

import json
import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from flows.cli.console import new_console
from flows.cli.options import (
    JsonOption,
    OutputOption,
    OverwriteOption,
    StoreOption,
    may_replace,
)
from flows.cli.outcome import show_notes
from flows.quantities import counted
from stores.artifacts.settings import default_store


def cues(
    video: Annotated[Path, Parameter(help="Video of one or more persons.")],
    /,
    *,
    output: OutputOption,
    speech: Annotated[
        Path | None,
        Parameter(help="Sound to be split instead of VIDEO's own; channels may be voices."),
    ] = None,
    overwrite: OverwriteOption = False,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Propose a cue sheet for VIDEO: who is seen, and who of them speaks when.

    Examples

        dubflow cues scene.mov -o scene.csv
        dubflow dub scene.mov --cues scene.csv -o scene.de.mov

    A picture of the faces with their names is drawn beside the sheet. Put the new takes into the
    sheet's column `speech`. Pauses are heard by silero-vad: pip install 'dubflow[metrics]'.
    """
    from flows.cues.propose import propose
    from flows.runtime.progress import Bars, watched

    for file in (output, output.with_suffix(".png")):
        may_replace(file, overwrite)
    console = new_console()
    with watched(Bars(console)) as bars:
        made = propose(video, output, speech=speech, store=store or default_store(), progress=bars)
    if as_json:
        sys.stdout.write(json.dumps(made.model_dump(mode="json")) + "\n")
    faces = ", ".join(f"{name} is {face}" for name, face in made.faces.items())
    console.print(f"[bold green]{made.sheet}")
    console.print(f"  {counted(made.rows, 'row')}; {faces}; drawn into {made.gallery}")
    show_notes(made.notes, console)
