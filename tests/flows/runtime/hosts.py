"""Three hosts of a cluster and an S3 server, as network namespaces of this machine.

    scheduler (10.77.0.1) ── bridge ── cpu (10.77.0.2), gpu (10.77.0.3), store (10.77.0.4)

Nothing outside them is changed: bridge and cables lie in the namespaces, and go with them.
"""

import os
import shutil
import subprocess
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

HOSTS = {"scheduler": "10.77.0.1", "cpu": "10.77.0.2", "gpu": "10.77.0.3", "store": "10.77.0.4"}
_BRIDGE = "bridge0"


class Network:
    """The namespaces while they exist."""

    def __init__(self, tag: str) -> None:
        self._tag = tag

    def namespace(self, host: str) -> str:
        return f"dubflow-{self._tag}-{host}"

    def command(self, host: str, *command: str) -> list[str]:
        """The same command on a host."""
        return ["ip", "netns", "exec", self.namespace(host), *command]

    def run(self, host: str, *command: str, **options: Any) -> str:
        """What a command prints on a host; it must succeed."""
        return subprocess.run(
            self.command(host, *command), check=True, stdout=subprocess.PIPE, text=True, **options
        ).stdout

    def cut(self, host: str, seconds: float) -> None:
        """Pull a host's cable out of the switch for so long; nobody is told."""
        self._link(host, "down")
        time.sleep(seconds)
        self._link(host, "up")

    def _link(self, host: str, state: str) -> None:
        _ip("-n", self.namespace("scheduler"), "link", "set", f"to-{host}", state)

    def build(self) -> None:
        switch = self.namespace("scheduler")
        for host in HOSTS:
            _ip("netns", "add", self.namespace(host))
            _ip("-n", self.namespace(host), "link", "set", "lo", "up")
        _ip("-n", switch, "link", "add", _BRIDGE, "type", "bridge")
        _ip("-n", switch, "address", "add", f"{HOSTS['scheduler']}/24", "dev", _BRIDGE)
        _ip("-n", switch, "link", "set", _BRIDGE, "up")
        for host, address in HOSTS.items():
            if host == "scheduler":
                continue
            there = self.namespace(host)
            cable = ("link", "add", f"to-{host}", "type", "veth", "peer", "name", "eth0")
            _ip("-n", switch, *cable, "netns", there)
            _ip("-n", switch, "link", "set", f"to-{host}", "master", _BRIDGE, "up")
            _ip("-n", there, "address", "add", f"{address}/24", "dev", "eth0")
            _ip("-n", there, "link", "set", "eth0", "up")

    def remove(self) -> None:
        """With all that runs in them."""
        for host in HOSTS:
            name = self.namespace(host)
            found = subprocess.run(["ip", "netns", "pids", name], capture_output=True, text=True)
            for process in found.stdout.split():
                subprocess.run(["kill", "-9", process], capture_output=True)
            subprocess.run(["ip", "netns", "delete", name], capture_output=True)


@contextmanager
def network() -> Iterator[Network]:
    """Hosts that see each other and nothing else."""
    made = Network(uuid.uuid4().hex[:6])
    with ExitStack() as stack:
        stack.callback(made.remove)
        made.build()
        yield made


def why_not() -> str:
    """Why there can be no namespaces here; "" if there can."""
    if shutil.which("ip") is None:
        return "no `ip` command (Debian: iproute2)"
    if os.geteuid() != 0:
        return "network namespaces can only be made by root"
    name = f"dubflow-try-{uuid.uuid4().hex[:6]}"
    tried = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True)
    subprocess.run(["ip", "netns", "delete", name], capture_output=True)
    return "" if tried.returncode == 0 else f"no network namespaces: {tried.stderr.strip()}"


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True)
