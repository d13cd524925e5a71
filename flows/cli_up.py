"""`dubflow up`: Prefect's server, the work pools and a worker on this machine, for trying."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

POOLS = ("dubflow-cpu", "dubflow-gpu")
_START_SECONDS = 120.0


def up(
    host: Annotated[str, typer.Option(help="Where the server listens.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Its port.")] = 4200,
    home: Annotated[
        Path | None,
        typer.Option(
            help="Folder of Prefect's database. [dim]Default: PREFECT_HOME, else Prefect's own.[/]"
        ),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            help="Folder that the nightly preparation reads. [dim]Default: DUBFLOW_DATA.[/]"
        ),
    ] = None,
    gpu: Annotated[
        bool, typer.Option("--gpu", help="Also a worker of the GPU pool, one run at a time.")
    ] = False,
) -> None:
    """Start server, work pools, deployments and a worker; Ctrl-C stops them all.

    For one machine, to try things. docs/deploy.md says how to run it for good.
    """
    from flows.cli import one_line_errors

    console = Console(stderr=True)
    with one_line_errors():
        environment = _environment(host, port, home, data)
        with _running(["server", "start", "--host", host, "--port", str(port)], environment):
            _wait_for(f"http://{host}:{port}/api/health")
            _deploy(environment)
            pools = POOLS if gpu else POOLS[:1]
            with _workers(pools, environment) as workers:
                console.print(f"[bold green]http://{host}:{port}", highlight=False)
                console.print(
                    "  deployments: dub, batch, evaluate, prepare (nightly, off until you switch "
                    "it on), train\n"
                    f"  in another terminal: export PREFECT_API_URL=http://{host}:{port}/api\n"
                    "  prefect deployment run batch/batch --param 'settings={\"manifest\": …}'\n"
                    "  Ctrl-C stops server and workers",
                    highlight=False,
                    soft_wrap=True,
                )
                while all(worker.poll() is None for worker in workers):
                    time.sleep(1)


def _environment(host: str, port: int, home: Path | None, data: Path | None) -> dict[str, str]:
    environment = {
        **os.environ,
        "PREFECT_API_URL": f"http://{host}:{port}/api",
        "PREFECT_SERVER_UI_ENABLED": "true",
        "DUBFLOW_HOME": str(Path(__file__).parent.parent),
        "DUBFLOW_DATA": str(data or os.environ.get("DUBFLOW_DATA", "data")),
    }
    if home is not None:
        environment["PREFECT_HOME"] = str(home)
    return environment


@contextmanager
def _running(arguments: list[str], environment: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "prefect", *arguments],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()


@contextmanager
def _workers(
    pools: tuple[str, ...], environment: dict[str, str]
) -> Iterator[list[subprocess.Popen[str]]]:
    if not pools:
        yield []
        return
    limit = ["--limit", "1"] if pools[0].endswith("gpu") else []
    with (
        _running(["worker", "start", "--pool", pools[0], *limit], environment) as first,
        _workers(pools[1:], environment) as rest,
    ):
        yield [first, *rest]


def _wait_for(url: str) -> None:
    """Until the server answers.

    Raises:
        ClusterError: it does not.
    """
    import httpx

    from stores.errors import ClusterError

    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        try:
            if httpx.get(url, timeout=2, trust_env=False).is_success:
                return
        except httpx.HTTPError:
            time.sleep(0.5)
    raise ClusterError(
        f"Prefect's server did not answer at {url} within {_START_SECONDS:.0f} s; is the port "
        "taken? `--port` names another"
    )


def _deploy(environment: dict[str, str]) -> None:
    """Create pools and deployments.

    Raises:
        ClusterError: Prefect refuses.
    """
    from stores.errors import ClusterError

    commands = [
        *(["work-pool", "create", pool, "--type", "process", "--overwrite"] for pool in POOLS),
        ["deploy", "--all"],
    ]
    for command in commands:
        done = subprocess.run(
            [sys.executable, "-m", "prefect", "--no-prompt", *command],
            env=environment,
            cwd=environment["DUBFLOW_HOME"],
            capture_output=True,
            text=True,
        )
        if done.returncode:
            last = " ".join((done.stderr + done.stdout).split())[-300:]
            raise ClusterError(f"`prefect {' '.join(command)}` failed: {last}")
