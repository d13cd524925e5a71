"""`dubflow inspect`: a page on which every artifact of a run is seen and heard."""

import re
import secrets
import sys
import webbrowser
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from cyclopts.types import Port

from flows.cli.console import new_console
from flows.cli.errors import when_stopped
from flows.cli.options import RUNNING, StoreOption, listening
from stores.errors import SettingsError

JOB_COMMAND = [sys.executable, "-m", "flows.inspection.job"]
"""What the page asks for that takes networks or a dub runs in a process of its own."""


def inspect(
    subject: Annotated[
        str | None,
        Parameter(
            metavar="OUTPUT|RUN|KEY|INDEX.parquet",
            help="A dubbed file, a run, an artifact or a prepared index; all runs if left out.",
        ),
    ] = None,
    /,
    *,
    store: StoreOption = None,
    browser: Annotated[
        bool,
        Parameter(name="--browser", negative="--no-browser", group=RUNNING, help="Open the page."),
    ] = True,
    host: Annotated[
        str,
        Parameter(
            group=RUNNING,
            help="Address to serve at. Another one needs --token, and lets in others.",
        ),
    ] = "127.0.0.1",
    port: Annotated[Port, Parameter(group=RUNNING, help="0 takes any that is free.")] = 0,
    token: Annotated[
        str | None,
        Parameter(
            group=RUNNING,
            help="Secret that the address carries: at least 16 letters, digits, - or _.",
            show_default="a new one",
        ),
    ] = None,
) -> None:
    """Look at what a run made: picture, sound, landmarks, motion and scores on one time line.

    Examples

        dubflow inspect talk.de.mp4
        dubflow inspect index.parquet
        dubflow inspect --store s3://bucket/store --no-browser --port 8766

    The page changes nothing in the store, unless you redo a span. Stop it with Ctrl+C.
    """
    import uvicorn

    from stores.artifacts.settings import default_store
    from stores.artifacts.store import Store
    from viewer.own_pages import LOOPBACK
    from viewer.web.app import create_app
    from viewer.web.subject import find_subject

    if host not in LOOPBACK and token is None:
        raise SettingsError(f"--host {host} lets others in: choose a secret with --token")
    if token is not None and not re.fullmatch(r"[\w-]{16,}", token, re.ASCII):
        raise SettingsError("--token: give at least 16 letters, digits, - or _")
    opened = Store(store or _store_of(subject) or default_store())
    first = find_subject(opened, subject)
    secret = token or secrets.token_urlsafe(24)
    with when_stopped("nothing was changed"), listening(host, port) as sock:
        taken = sock.getsockname()[1]
        address = f"http://{host}:{taken}/?token={secret}"
        new_console().print(f"[bold]{address}[/]  stop with Ctrl+C")
        app = create_app(
            opened, first, token=secret, host=host, port=taken, job_command=JOB_COMMAND
        )
        config = uvicorn.Config(
            app, log_level="warning", access_log=False, limit_concurrency=400, ws="none"
        )
        if browser:
            webbrowser.open(address)
        uvicorn.Server(config).run(sockets=[sock])


def _store_of(subject: str | None) -> str | None:
    """The store that an index was prepared in."""
    if subject is None or not subject.endswith(".parquet"):
        return None
    from stores.dataset_index import index_facts

    return str(index_facts(Path(subject))["store"])
