"""What the server has open, shared by all addresses."""

from functools import cached_property
from typing import Any

import numpy as np
from fastapi import HTTPException, Response
from numpy.typing import NDArray

from stores.artifacts.artifact import Artifact
from stores.artifacts.store import Store
from stores.backends.kept import Kept
from stores.errors import StoreError
from viewer.web.frames import PICTURES_BYTES
from viewer.web.jobs import Job, Jobs
from viewer.web.made import MadeFiles
from viewer.web.related import Related
from viewer.web.run import RunView, Sound
from viewer.web.sound import Heard
from viewer.web.subject import RunBook
from viewer.web.tracks import Tracks

DRAWING_SECONDS = 60
"""A drawing takes no longer, or is asked for again."""

_OPEN_RUNS = 4
_KEPT = "private, max-age=31536000, immutable"


class OpenRun:
    """A run with what was read of it."""

    def __init__(self, view: RunView, related: Related) -> None:
        self.view = view
        self._related = related
        self._heard: dict[Sound, Heard] = {}
        self.looking: Job | None = None
        self.schemas: dict[str | None, dict[str, Any]] = {}

    @cached_property
    def tracks(self) -> Tracks:
        """Its tracks."""
        return Tracks(self.view, self._related)

    def heard(self, sound: Sound) -> Heard:
        """One of its sounds.

        Raises:
            StoreError: there is none.
        """
        if sound not in self._heard:
            self._heard[sound] = Heard(self.view, sound)
        return self._heard[sound]

    @cached_property
    def suspects(self) -> dict[str, Any] | None:
        """Places that deserve a look and what was not judged; None where nobody has looked."""
        items = self.view.dubbed_sources()
        found = [each for item in items for each in self._related.made_of(item, "suspects")]
        if not found:
            return None
        newest = max(found, key=lambda each: each.manifest.created)
        classes, reasons = newest.attributes["classes"], newest.attributes["reasons"]
        numbers = (newest.read(name).tolist() for name in ("class", "start", "stop", "weight"))
        rows = [
            {
                "class": classes[place]["name"],
                "title": classes[place]["title"],
                "start": start,
                "stop": stop,
                "weight": weight,
                "reason": reason,
            }
            for place, start, stop, weight, reason in zip(*numbers, reasons, strict=True)
        ]
        return {"rows": rows, "not_judged": newest.attributes["not_judged"]}

    def look_again(self, _: dict[str, Any]) -> None:
        """Read anew what a job may have added to."""
        for name in ("tracks", "suspects"):
            self.__dict__.pop(name, None)


class Desk:
    """Runs that are open, jobs that run, files that were made.

    Args:
        store: What is shown.
        job_command: Starts a process for heavy work, or None.
    """

    def __init__(self, store: Store, job_command: list[str] | None) -> None:
        self.store, self.job_command = store, job_command
        self.book, self.related = RunBook(store), Related(store)
        self.jobs = Jobs()
        self.files = MadeFiles(self.jobs)
        self._made: Kept[bytes] = Kept(PICTURES_BYTES)
        self._runs: Kept[OpenRun] = Kept(_OPEN_RUNS, lambda run: run.view.close())

    def run(self, name: str) -> OpenRun:
        """The run of that id.

        Raises:
            HTTPException: there is none.
        """
        found = self._runs.get(name)
        if found is None:
            record = self.book.find(name)
            if record is None:
                raise HTTPException(404, f"{self.store.url} has no run of that name")
            found = OpenRun(RunView(self.store, record, self._made), self.related)
            self._runs.put(name, found, 1)
        return found

    def artifact(self, kind: str, key: str) -> Artifact:
        """An artifact of the store.

        Raises:
            HTTPException: there is none.
            StoreError: it is damaged.
        """
        if not (kind.replace("_", "").isalnum() and key.isalnum()):
            raise HTTPException(404, "no such artifact")
        found = self.store.find(kind, key, check=False)
        if found is None:
            raise StoreError(f"the store {self.store.url} has no {kind} {key}")
        return found

    def close(self) -> None:
        """Stop and close all."""
        self.jobs.close()
        self.files.close()
        self._runs.clear()


def numbers(values: NDArray[Any], dtype: str) -> Response:
    """Raw little-endian numbers."""
    content = np.ascontiguousarray(values, dtype).tobytes()
    return Response(content, media_type="application/octet-stream")


def kept(content: bytes, media_type: str, **headers: str) -> Response:
    """What never changes."""
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return Response(content, media_type=media_type, headers={"Cache-Control": _KEPT, **names})
