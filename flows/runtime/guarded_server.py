"""Prefect's server, closed to pages of other sites that are open in the user's browser.

It asks for no password, so that whoever reaches it may start runs: programs may, its own pages may.
"""

import argparse
import os
import socket
from collections.abc import Iterable

from viewer.own_pages import LOOPBACK, OwnPagesOnly


def own_hosts(host: str) -> tuple[str, ...]:
    """Names of a server that listens at `host`: those of the machine, if others can reach it."""
    if is_loopback(host):
        return LOOPBACK
    return tuple(dict.fromkeys([*LOOPBACK, host, socket.gethostname(), socket.getfqdn()]))


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches a server that listens there."""
    return host in ("127.0.0.1", "localhost", "::1")


def own_origins(hosts: Iterable[str], port: int) -> list[str]:
    """What a browser calls the pages of a server: each of its names may ask by another."""
    return [f"http://{host}:{port}" for host in hosts]


def serve(host: str, port: int) -> None:
    """Serve until SIGTERM or SIGINT."""
    hosts = own_hosts(host)
    origins = own_origins(hosts, port)
    # Unless told otherwise, Prefect lets the pages of all sites read its answers.
    os.environ["PREFECT_SERVER_CORS_ALLOWED_ORIGINS"] = ",".join(origins)
    import uvicorn
    from prefect.server.api.server import create_app

    app = OwnPagesOnly(
        create_app(final=True), hosts=hosts, origins=origins, any_address=not is_loopback(host)
    )
    uvicorn.run(app, host=host, port=port, log_level="warning")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", required=True)
    parser.add_argument("--port", required=True, type=int)
    given = parser.parse_args()
    serve(given.host, given.port)
