"""Who works on an object store: leases that end with their holder.

A process that holds anything keeps one object, `in-use/<id>.json`, alive by writing it every
`BEAT_SECONDS`. It is dead when that object is gone, or was not written for `DEAD_SECONDS` while the
onlooker could read it all the time; no clocks are compared. What a dead process held is taken over
by a conditional put, and so is what a living one gives back: it then belongs to nobody, until
somebody takes it or the collector removes it. No lease is deleted by its holder, who may have been
taken for dead meanwhile: there is no conditional delete, and it would hit the successor's.
A process that only seemed dead can at worst do work that another does too: manifests are created
conditionally, so one of them wins.
"""

import json
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache

from stores.backends.bucket import Bucket

BEAT_SECONDS = 4.0
DEAD_SECONDS = 20.0
SESSIONS = "in-use"
_COLLECTING = "collecting.lock"
_FREE = b'{"session": "nobody"}'
"""Content of a lease that was given back: there is no such session, so it is free to take."""


class Session:
    """This process, as others that use the same store see it."""

    def __init__(self, bucket: Bucket) -> None:
        self.id = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
        self.runs = 0
        self._bucket = bucket
        self._name = f"{SESSIONS}/{self.id}.json"
        self._holders = 0
        self._beats = 0
        self._beaten = 0.0
        self._stalled = False
        self._checked = False
        self._unreleased: dict[str, bytes] = {}
        self._lock = threading.Lock()
        self._stop = threading.Event()

    @contextmanager
    def held(self, *, as_run: bool = False) -> Iterator[None]:
        """Be seen."""
        with self._lock:
            if self._holders == 0:
                self._begin()
            self._holders += 1
            self.runs += as_run
        try:
            yield
        finally:
            with self._lock:
                self._holders -= 1
                self.runs -= as_run
                if self._holders == 0:
                    self._stop.set()
                    self._bucket.hasty_delete(self._name)

    @property
    def trusted(self) -> bool:
        """Whether nobody can have taken this process for dead since it is held."""
        return not self._stalled and _now() - self._beaten < DEAD_SECONDS / 2

    def release(self, name: str, content: bytes) -> None:
        """Give a lease back; goes on trying while this process is seen."""
        if not self._bucket.hasty_swap(name, content, _FREE):
            with self._lock:
                self._unreleased[name] = content

    def _begin(self) -> None:
        self._beaten, self._stalled = _now(), False
        self._bucket.put(self._name, self._content())
        if not self._checked:
            self._bucket.check_conditions(self._name)
            self._checked = True
        self._unreleased.clear()  # what was held before is free: the object was gone
        self._stop = threading.Event()
        threading.Thread(target=self._beat, args=(self._stop,), daemon=True).start()

    def _beat(self, stop: threading.Event) -> None:
        while not stop.wait(BEAT_SECONDS):
            with self._lock:
                if stop.is_set():  # the object was deleted
                    return
                now = _now()
                self._stalled |= not self.trusted
                if self._bucket.hasty_put(self._name, self._content()):
                    self._beaten = now
                    for name, content in list(self._unreleased.items()):
                        if self._bucket.hasty_swap(name, content, _FREE):
                            del self._unreleased[name]

    def _content(self) -> bytes:
        self._beats += 1
        return json.dumps({"session": self.id, "beat": self._beats}).encode()


class HeartbeatMonitor:
    """Finds out if another session lives."""

    def __init__(self, bucket: Bucket, session: str) -> None:
        self.session = session
        self._bucket = bucket
        self._tag: str | None = None
        self._since = self._seen = -float("inf")

    def alive(self) -> bool | None:
        """True: it has just written; False: it is dead; None: can't be told yet, ask again soon."""
        tag = self._bucket.tag(f"{SESSIONS}/{self.session}.json")
        now, before = time.monotonic(), self._seen
        self._seen = now
        if tag is None:
            return False
        if now - before > DEAD_SECONDS / 2:  # the first look, or the server was away: begin anew
            self._tag, self._since = tag, now
        elif tag != self._tag:
            self._tag, self._since = tag, now
            return True
        elif now - self._since >= DEAD_SECONDS:
            return False
        return None


@cache
def session_of(bucket: Bucket) -> Session:
    """This process's session, one per store."""
    return Session(bucket)


@contextmanager
def exclusive(bucket: Bucket, name: str) -> Iterator[None]:
    """Hold the object `name` alone; waits for whoever holds it, and takes over from the dead."""
    session = session_of(bucket)
    with session.held():
        content = _claim(session)
        _take(bucket, session, name, content, or_refuse=False)
        try:
            yield
        finally:
            session.release(name, content)


@contextmanager
def in_use(bucket: Bucket) -> Iterator[None]:
    """Work on the store; waits while it is being collected."""
    session = session_of(bucket)
    with session.held(as_run=True):
        _await_collector(bucket, session)
        yield


@contextmanager
def unused(bucket: Bucket) -> Iterator[Callable[[], bool]]:
    """Whether nothing works on the store, and nothing begins to; not any more after a stall.

    The collector creates its lease and then looks for sessions, a run its session and then looks
    for the lease: whichever is later sees the other.
    """
    session = session_of(bucket)
    with session.held():
        content = _claim(session)
        if session.runs or not _take(bucket, session, _COLLECTING, content, or_refuse=True):
            yield lambda: False
            return
        try:
            free = not session.runs and _others_are_dead(bucket, session)
            yield lambda: free and session.trusted
        finally:
            session.release(_COLLECTING, content)


def _claim(session: Session) -> bytes:
    """Content of a lease: unique, so that its holder knows it again."""
    return json.dumps({"session": session.id, "claim": secrets.token_hex(8)}).encode()


def _take(bucket: Bucket, session: Session, name: str, content: bytes, *, or_refuse: bool) -> bool:
    """Get a lease, waiting for it; or return False as soon as its holder is known to live."""
    watch: HeartbeatMonitor | None = None
    pause = 0.1
    while True:
        found = bucket.get_tagged(name) if watch is not None else None
        if found is None:
            if bucket.create(name, content):
                return True
            found = bucket.get_tagged(name)
            if found is None:
                continue
        owner = _owner(found[0])
        if watch is None or watch.session != owner:
            watch = HeartbeatMonitor(bucket, owner)
        alive = True if owner == session.id else watch.alive()
        if alive and or_refuse:
            return False
        if alive is False and bucket.swap(name, content, found[1]):
            return True
        time.sleep(pause)
        pause = min(1.5 * pause, 1.0)


def _await_collector(bucket: Bucket, session: Session) -> None:
    watch: HeartbeatMonitor | None = None
    while (found := bucket.get_tagged(_COLLECTING)) is not None:
        owner = _owner(found[0])
        if watch is None or watch.session != owner:
            watch = HeartbeatMonitor(bucket, owner)
        if owner != session.id and watch.alive() is False:
            return
        time.sleep(0.5)


def _others_are_dead(bucket: Bucket, session: Session) -> bool:
    names = [name.removesuffix(".json") for name in bucket.sizes(SESSIONS)]
    watches = [HeartbeatMonitor(bucket, name) for name in names if name != session.id]
    while watches:
        states = [(watch, watch.alive()) for watch in watches]
        if any(alive for _, alive in states):
            return False
        bucket.delete([f"{SESSIONS}/{w.session}.json" for w, alive in states if alive is False])
        watches = [watch for watch, alive in states if alive is None]
        if watches:
            time.sleep(0.5)
    return True


def _now() -> float:
    """Seconds that also count while the machine sleeps, where the system tells them."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


def _owner(content: bytes) -> str:
    try:
        return str(json.loads(content)["session"])
    except (ValueError, KeyError, TypeError):
        return "unknown"
