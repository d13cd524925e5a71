"""Files that are made for the page on demand, each in a process of its own: proxies, drawings.

They lie in a folder that only this user can read, and go with the server.
"""

import sys
import tempfile
from pathlib import Path
from threading import Lock
from typing import Any

from stores.backends.kept import Kept
from stores.errors import InputError
from viewer.web.jobs import Job, Jobs

_KEPT_BYTES = 4 << 30


class MadeFiles:
    """The files, by what they were asked for as.

    Args:
        jobs: Where the processes run.
    """

    def __init__(self, jobs: Jobs) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="dubflow-inspect-")
        self._jobs = jobs
        self._files: Kept[Path] = Kept(_KEPT_BYTES, Path.unlink)
        self._under_way: dict[str, Job] = {}
        self._lock = Lock()

    def find(self, name: str, module: str, request: dict[str, Any]) -> Path | Job:
        """The file, or the job that makes it; started if need be.

        Args:
            name: Of the file.
            module: That makes it when it is run.
            request: What that is given; the path `target` is added.

        Raises:
            InputError: it can't be made, or too much is under way.
        """
        with self._lock:
            target = Path(self._folder.name) / name
            job = self._under_way.get(name)
            if job is not None and job.state in ("failed", "cancelled"):
                del self._under_way[name]
                raise InputError(job.error or "it was stopped; ask again")
            if job is not None and job.state == "done":
                del self._under_way[name]
                self._files.put(name, target, min(target.stat().st_size, _KEPT_BYTES))
                return target
            if job is None and (found := self._files.get(name)) is not None:
                return found
            if job is None:
                command = [sys.executable, "-m", module]
                job = self._jobs.start(command, {**request, "target": str(target)})
                self._under_way[name] = job
            return job

    def wait(self, name: str, module: str, request: dict[str, Any], seconds: float) -> Path:
        """As `find`, of what takes a moment only.

        Raises:
            InputError: as `find`, or it takes longer than that.
        """
        found = self.find(name, module, request)
        if isinstance(found, Job):
            found.ended.wait(seconds)
            found = self.find(name, module, request)
        if isinstance(found, Job):
            raise InputError("it takes longer than usual; ask again")
        return found

    def close(self) -> None:
        """Remove all."""
        self._folder.cleanup()
