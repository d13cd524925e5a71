"""`dubflow verify`: is this a dub, and is it as it was made?"""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape

from flows.cli.console import new_console
from flows.cli.options import JsonOption, StoreOption
from stores.artifacts.settings import default_store
from stores.errors import DubflowError

if TYPE_CHECKING:
    from flows.verify import Finding, MarkFound

CANT_SAY = 3
"""Exit code for what can't be looked at."""

_VERDICTS = {
    "whole": "[green]marked, and as it was signed",
    "changed": "[yellow]marked, but not as it was signed",
    "nothing": "no mark of origin was found",
}


def verify(path: Path, /, *, store: StoreOption = None, as_json: JsonOption = False) -> None:
    """Say whether FILE, or each media file in a folder, is marked as a dub, and unchanged.

    Looks for a signed manifest (C2PA), a mark in the sound and one in the picture, which survive
    what a manifest does not: encoding anew, scaling, cropping. Files of others are looked at alike.

    Ends with 0: marked and whole; 1: marked, but changed; 2: nothing was found; 3: can't be looked
    at. For a folder, with the highest of its files. That nothing is found does not say that a file
    is genuine.
    """
    from flows.verify import EXIT_CODES, verify

    try:
        found = verify(path, store or default_store())
    except DubflowError as error:
        sys.stderr.write(f"dubflow: {error}\n")
        sys.exit(CANT_SAY)
    if as_json:
        told = [each.model_dump(mode="json") for each in found]
        sys.stdout.write(json.dumps(told if path.is_dir() else told[0]) + "\n")
    else:
        console = new_console(stderr=False)
        for each in found:
            _tell(each, console)
    sys.exit(max(EXIT_CODES[each.verdict] for each in found))


def _tell(found: "Finding", console: Console) -> None:
    console.print(f"[bold]{escape(str(found.file))}[/]: {_VERDICTS[found.verdict]}")
    lines = []
    if (manifest := found.manifest) is None:
        lines.append("manifest: none")
    else:
        by = f" by {manifest.signer}" if manifest.signer else ""
        lines.append(f"manifest: {manifest.state}, signed{by}, written by {manifest.generator}")
        if manifest.faults:
            lines.append(f"  wrong: {', '.join(manifest.faults)}")
        if manifest.chain:
            lines.append(f"  made of: {', '.join(manifest.chain)}")
        if dub := manifest.dub:
            lines.append(
                f"  method {dub.get('method')}, mark {dub.get('mark')}"
                + (", with consent" if dub.get("consent_sha256") else "")
                + (", not for commercial use" if dub.get("non_commercial") else "")
            )
    lines += [f"sound: {_mark(found.sound)}", f"picture: {_mark(found.picture)}"]
    if found.run:
        lines.append(f"made by run {found.run} on {found.made}, as {found.output}")
    for line in lines:
        console.print(f"  {escape(line)}")


def _mark(mark: "MarkFound | None") -> str:
    if mark is None:
        return "no mark"
    return f"mark {mark.number} (score {mark.score:.1f}; by chance in {mark.chance:.0e} of files)"
