"""`dubflow doctor`: what is installed, and whether a dub could run."""

import json
import sys

from flows.cli.console import new_console
from flows.cli.options import JsonOption, StoreOption
from stores.artifacts.settings import default_store


def doctor(*, store: StoreOption = None, as_json: JsonOption = False) -> None:
    """Say what is installed, which device and weights there are, and if the store is healthy."""
    from flows.runtime.doctor import examine, show

    findings = examine(store or default_store())
    if as_json:
        sys.stdout.write(json.dumps(findings.model_dump()) + "\n")
    else:
        show(findings, new_console(stderr=False))
    if not findings.healthy:
        sys.exit(1)
