"""`dubflow up`: Prefect's server, the work pools and a worker on this machine, for trying."""

import time
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from rich.console import Console


def up(
    *,
    host: Annotated[str, Parameter(help="Where the server listens.")] = "127.0.0.1",
    port: Annotated[int, Parameter(help="Its port.")] = 4200,
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
    """Start server, work pools, deployments and a worker; Ctrl-C stops them all.

    For one machine, to try things. docs/deploy.md says how to run it for good.
    """
    from flows.runtime.local_server import CPU_POOL, GPU_POOL, local_server

    console = Console(stderr=True, highlight=False)
    pools = (CPU_POOL, GPU_POOL) if gpu else (CPU_POOL,)
    with local_server(host=host, port=port, pools=pools, home=home, data=data) as server:
        console.print(f"[bold green]{server.url}")
        console.print(
            "  deployments: dub, batch, evaluate, train, and prepare (nightly, off until you "
            "switch it on)\n"
            f"  in another terminal: export PREFECT_API_URL={server.url}/api\n"
            "  prefect deployment run batch/batch --param 'settings={\"manifest\": …}'\n"
            "  Ctrl-C stops server and workers",
            soft_wrap=True,
        )
        while all(worker.poll() is None for worker in server.workers):
            time.sleep(1)
