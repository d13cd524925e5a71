"""How a process that `viewer.web.jobs` starts is spoken with."""

import json
import os
import signal
import sys
from collections.abc import Callable
from typing import Any, NoReturn

from stores.errors import DubflowError


def run(work: Callable[[dict[str, Any], Callable[[int, int], None]], dict[str, Any]]) -> NoReturn:
    """Do what standard input asks for, and end the process.

    Args:
        work: (request, tells how much is done of how much) → result.
    """
    out = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # whatever libraries print is no answer
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))

    def tell(done: int, total: int) -> None:
        out.write(json.dumps({"progress": {"name": "made", "done": done, "total": total}}) + "\n")

    try:
        result = work(json.load(sys.stdin), tell)
    except (DubflowError, OSError) as error:
        out.write(json.dumps({"error": str(error)}) + "\n")
        sys.exit(1)
    out.write(json.dumps({"result": result}) + "\n")
    sys.exit(0)
