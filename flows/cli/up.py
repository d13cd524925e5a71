"""`dubflow up`: Prefect's server, the work pools and a worker on this machine, for trying."""

import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, NoReturn

from cyclopts import Parameter
from cyclopts.validators import Number

from flows.cli.console import new_console


def up(
    *,
    host: Annotated[str, Parameter(help="Where the server listens.")] = "127.0.0.1",
    port: Annotated[int, Parameter(help="Its port.", validator=Number(gte=1, lte=65535))] = 4200,
    home: Annotated[
        Path | None,
        Parameter(
            help="Folder of Prefect's database.", show_default="PREFECT_HOME, else Prefect's own"
        ),
    ] = None,
    data: Annotated[
        Path | None,
        Parameter(help="Folder that the nightly preparation reads.", show_default="DUBFLOW_DATA"),
    ] = None,
    gpu: Annotated[
        bool, Parameter(help="Also a worker of the GPU pool, one run at a time.")
    ] = False,
) -> None:
    """Start server, work pools, deployments and a worker; Ctrl-C or SIGTERM stops them all.

    Programs of this machine may use the server, and its own pages; pages of other sites may not.
    For one machine, to try things. docs/deploy.md says how to run it for good.
    """
    from flows.runtime.local_server import CPU_POOL, GPU_POOL, local_server

    console = new_console()
    pools = (CPU_POOL, GPU_POOL) if gpu else (CPU_POOL,)

    def say(line: str) -> None:
        console.print(f"[dim]{line}")

    with (
        ended_by_signals(),
        local_server(host=host, port=port, pools=pools, home=home, data=data, say=say) as server,
    ):
        console.print(f"[bold green]{server.url}")
        console.print(
            "  deployments: dub, batch, evaluate, train, and prepare (nightly, off until you "
            "switch it on)\n"
            f"  in another terminal: export PREFECT_API_URL={server.url}/api\n"
            "  prefect deployment run batch/batch --param 'settings={\"manifest\": …}'\n"
            "  Ctrl-C stops server and workers"
        )
        while all(worker.poll() is None for worker in server.workers):
            time.sleep(1)


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """Leave on SIGTERM and SIGHUP as on Ctrl-C, so that what was started is stopped."""

    def end(number: int, frame: object) -> NoReturn:
        sys.exit(0)

    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
