"""A Dask cluster as runs see it: its workers, what they offer, and how many calls are under way.

Workers that offer the resource GPU get the calls of stages that run networks, and nothing else as
long as there are others. Without such workers any worker takes any call.
"""

import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stores.artifacts.store import Store
from stores.artifacts.versions import software_versions
from stores.errors import ClusterError, DubflowError
from tasks.engine.call import Call
from tasks.engine.device_settings import DeviceSettings

if TYPE_CHECKING:
    from distributed import Client, Future

GPU = "GPU"
"""Name of the resource that a worker with a GPU offers: `dask worker --resources GPU=1`."""

TOPIC = "dubflow"
"""Under which workers tell of finished rows: {"call": key of the future, "rows": …}."""

_LOOK_SECONDS = 2.0
"""How old the list of workers may be."""

_NAMED = 3
"""Workers that a message names at most."""


@dataclass(frozen=True)
class WorkerGroup:
    """Workers that take one sort of call.

    Attributes:
        name: "GPU" or "CPU".
        slots: Worker address → calls that it performs at once.
        resources: That a call takes up while it runs.
        closed: No worker that joins later may take a call that was meant for these.
    """

    name: str
    slots: Mapping[str, int]
    resources: Mapping[str, float] = field(default_factory=dict)
    closed: bool = False

    @cached_property
    def calls(self) -> int:
        """That all of them perform at once."""
        return sum(self.slots.values())


@dataclass(frozen=True)
class _Workers:
    """The cluster as it was once; what is asked for every call is worked out once for all.

    Attributes:
        seen: Address → what the scheduler tells of the worker.
        sorts: GPU and CPU, whichever of them there ever were.
    """

    seen: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    sorts: frozenset[str] = frozenset()

    @cached_property
    def offer_gpu(self) -> bool:
        return any(_has_gpu(each) for each in self.seen.values())

    @cached_property
    def for_networks(self) -> WorkerGroup:
        """Those that take calls of stages that run networks."""
        if GPU not in self.sorts:
            return self.for_others
        return WorkerGroup(
            GPU,
            {a: int(w["resources"][GPU]) for a, w in self.seen.items() if _has_gpu(w)},
            {GPU: 1},
        )

    @cached_property
    def for_others(self) -> WorkerGroup:
        """Those that take all other calls."""
        both = self.sorts >= {GPU, "CPU"}
        return WorkerGroup(
            "CPU",
            {a: w["nthreads"] for a, w in self.seen.items() if not (both and _has_gpu(w))},
            closed=both,
        )


class Cluster:
    """A handle on a scheduler, shared by all runs of this process; all methods are thread-safe.

    Args:
        client: Connected.
        in_flight: Calls under way per slot of the workers; two keep a worker busy between calls.
        patience_seconds: How long there may be no fitting worker, or no scheduler.
    """

    def __init__(
        self, client: "Client", *, in_flight: int = 2, patience_seconds: float = 60.0
    ) -> None:
        self._client = client
        self._in_flight = in_flight
        self.patience_seconds = patience_seconds
        assert client.scheduler is not None
        self.address = str(client.scheduler.address)
        self._lock = threading.Lock()
        self._workers = _Workers()
        self._looked = float("-inf")
        self._under_way: dict[str, int] = {}
        self._checked: set[tuple[str, str]] = set()
        self._watchers: dict[str, Callable[[int], None]] = {}
        self._stopped = threading.Event()
        self._client.subscribe_topic(TOPIC, self._on_event)

    @property
    def workers(self) -> int:
        """How many there are now."""
        return len(self._look().seen)

    def slots(self, *, network: bool = False) -> int:
        """Calls performed at once: of stages that run networks, or of the others; 1 at least."""
        return max(1, self.group(network=network).calls)

    @property
    def offers_gpu(self) -> bool:
        """Whether a worker offers a GPU."""
        return self._look().offer_gpu

    @property
    def stopped(self) -> bool:
        """Whether it was closed: runs that still wait for it end."""
        return self._stopped.is_set()

    @property
    def connected(self) -> bool:
        """Whether there is a scheduler at the other end."""
        return bool(self._client.status == "running")

    @property
    def lost(self) -> bool:
        """Whether the client has given up."""
        return bool(self._client.status in ("closed", "closing", "failed"))

    def await_workers(self) -> None:
        """Return when there is one.

        Raises:
            ClusterError: there is none for too long.
        """
        deadline = time.monotonic() + self.patience_seconds
        while not self._look().seen:
            if self.lost or time.monotonic() > deadline:
                raise ClusterError(
                    f"the scheduler {self.address} has had no worker for "
                    f"{self.patience_seconds:.0f} s: start some with `dask worker {self.address}`"
                )
            time.sleep(0.2)

    def check(self, store: Store, devices: DeviceSettings) -> None:
        """Refuse now what would hang or fail later.

        Raises:
            ClusterError: no worker; no GPU though one is demanded; other software on a worker; or
                a worker that does not reach the store.
        """
        self.await_workers()
        if devices.device in ("cuda", "mps") and not self.offers_gpu:
            raise ClusterError(
                f"--device {devices.device}, but no worker of {self.address} offers a GPU: start "
                "one with `dask worker … --resources GPU=1`, or use --device auto"
            )
        if any((store.url, a) not in self._checked for a in self._look().seen):
            now = self._look(newest=True).seen  # a worker that is gone would not answer for long
            new = [a for a in now if (store.url, a) not in self._checked]
            self._check_workers(store, new)
            self._checked.update((store.url, address) for address in new)

    def group(self, *, network: bool) -> WorkerGroup:
        """The workers that take such a call now; none while all of that sort are away."""
        now = self._look()
        return now.for_networks if network else now.for_others

    def take(self, group: WorkerGroup) -> bool:
        """Whether one more call may be under way; it counts until `give_back`."""
        limit = self._in_flight * group.calls
        with self._lock:
            taken = self._under_way.get(group.name, 0)
            if taken >= limit:
                return False
            self._under_way[group.name] = taken + 1
            return True

    def give_back(self, group: WorkerGroup) -> None:
        """A call has ended."""
        with self._lock:
            self._under_way[group.name] -= 1

    def submit(
        self,
        function: Callable[..., Any],
        call: Call,
        group: WorkerGroup,
        *,
        label: str,
        on_rows: Callable[[int], None],
    ) -> "Future[Any]":
        """Start a call on a worker of the group.

        Args:
            function: Of a module that workers have; gets the call as JSON and the future's key.
            call: What to do.
            group: As `take` allowed.
            label: First part of the key, for people who look at the scheduler.
            on_rows: Told of rows as they are finished, from another thread.
        """
        key = f"{label}-{uuid.uuid4().hex}"
        with self._lock:
            self._watchers[key] = on_rows
        return self._client.submit(
            function,
            call.model_dump_json(),
            key,
            key=key,
            pure=False,
            workers=sorted(group.slots) if group.closed else None,
            resources=dict(group.resources) or None,
        )

    def forget(self, future: "Future[Any]") -> None:
        """Its end was seen."""
        with self._lock:
            self._watchers.pop(str(future.key), None)
        with suppress(Exception):  # of a client that lost its scheduler
            future.release()

    def cancel(self, futures: Iterable["Future[Any]"]) -> None:
        """Drop what is queued; what runs ends after the shard that it is computing."""
        futures = list(futures)
        with suppress(Exception):  # as above: then there is nothing left to cancel
            if futures and self.connected:
                self._client.cancel(futures, asynchronous=False)
        for future in futures:
            self.forget(future)

    def resubscribe(self) -> None:
        """The scheduler is back: it has to be told again what to tell us."""
        self._looked = float("-inf")
        with suppress(Exception):
            self._client.subscribe_topic(TOPIC, self._on_event)

    def close(self) -> None:
        """Disconnect."""
        self._stopped.set()
        with suppress(Exception):
            self._client.close(timeout=5)

    def _look(self, *, newest: bool = False) -> _Workers:
        """The cluster now, not older than `_LOOK_SECONDS` unless the scheduler is away."""
        with self._lock:
            recent = time.monotonic() - self._looked < _LOOK_SECONDS
            if (recent and not newest) or not self.connected:
                return self._workers
            self._looked = time.monotonic()
        with suppress(OSError, TimeoutError):
            found = self._client.scheduler_info()["workers"]
            seen = {a: each for a, each in found.items() if each["status"] == "running"}
            sorts = {GPU if _has_gpu(each) else "CPU" for each in seen.values()}
            self._workers = _Workers(seen, self._workers.sorts | sorts)
        return self._workers

    def _check_workers(self, store: Store, addresses: list[str]) -> None:
        beacon = f"staging/seen-by-all-{uuid.uuid4().hex}"
        store.backend.write(beacon, b"")
        try:
            answers = self._client.run(
                look_around, store.url, beacon, workers=addresses, on_error="return"
            )
        except Exception as error:
            raise ClusterError(
                f"the scheduler {self.address} went away, or its workers do not answer: {error}"
            ) from error
        finally:
            store.backend.delete(beacon)
        mine = look_around(store.url, beacon)["versions"]
        for address, answer in answers.items():
            if trouble := _trouble(answer, mine, store):
                raise ClusterError(f"worker {address}: {trouble}")

    def _on_event(self, event: tuple[float, Mapping[str, Any]]) -> None:
        _, message = event
        with self._lock:
            watcher = self._watchers.get(message["call"])
        if watcher is not None:
            watcher(message["rows"])


def _has_gpu(worker: Mapping[str, Any]) -> bool:
    return int(worker["resources"].get(GPU, 0)) > 0


def look_around(store: str, beacon: str) -> dict[str, Any]:
    """On a worker: which software it has, and whether it sees a file in the store."""
    sees, trouble = "://" in store or Path(store).is_dir(), ""  # opening it would create it
    try:
        sees = sees and Store(store).backend.size(beacon) is not None
    except (DubflowError, OSError) as error:
        trouble = str(error)
    return {
        "host": socket.gethostname(),
        "versions": {**software_versions(), "distributed": version("distributed")},
        "sees": sees,
        "trouble": trouble,
    }


def _trouble(answer: Any, mine: Mapping[str, str], store: Store) -> str:
    """What is wrong with a worker, in words; "" if nothing is."""
    if isinstance(answer, ModuleNotFoundError):
        return f"it has no {answer.name}; install Dubflow there, the same version"
    if isinstance(answer, OSError):  # gone by now
        return ""
    if isinstance(answer, Exception):
        return f"it does not answer as it should: {answer}"
    differing = [
        f"{name} {answer['versions'].get(name, 'missing')} (here {mine.get(name, 'missing')})"
        for name in sorted({*mine, *answer["versions"]})
        if _public(answer["versions"].get(name)) != _public(mine.get(name))
    ]
    if differing:
        return f"other software on {answer['host']}: {', '.join(differing[:_NAMED])}"
    if answer["trouble"]:
        return f"{answer['host']} can't open the store {store.url}: {answer['trouble']}"
    if not answer["sees"]:
        return (
            f"{answer['host']} does not see the store {store.url}: put it on a mount that all "
            "machines have under the same name, or in an object store (s3://…)"
        )
    return ""


def _public(release: str | None) -> str | None:
    """Without what tells a build for CPUs from one for GPUs."""
    return release and release.partition("+")[0]
