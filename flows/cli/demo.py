"""`dubflow demo`: the built-in example, dubbed."""

from pathlib import Path
from typing import Any

from flows.cli.dub import dub_and_tell
from flows.cli.options import (
    STORE,
    JsonOption,
    OutputOption,
    OverwriteOption,
    PrefectOption,
    may_replace,
    offers,
)
from flows.settings import DubSettings, read_settings
from stores.shipped import shipped_file

_OUTPUT = Path("dubflow-demo.mp4")


@offers(DubSettings, {"store": STORE})
def demo(
    given: dict[str, Any],
    *,
    output: OutputOption = _OUTPUT,
    overwrite: OverwriteOption = False,
    prefect: PrefectOption = True,
    as_json: JsonOption = False,
) -> None:
    """Dub the built-in example: a silent webcam clip, and eleven seconds of a 1961 address."""
    may_replace(output, overwrite or output == _OUTPUT)
    example = {
        "video": shipped_file("examples/cap13.mp4"),
        "audio": shipped_file("examples/jfk.wav"),
        "output": output,
        "sync": {"mode": "cut_off"},
    }
    dub_and_tell(read_settings(None, [], example | given), prefect=prefect, as_json=as_json)
