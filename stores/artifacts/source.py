"""A file that the user gave: it counts by its bytes, never by its name."""

import threading
from dataclasses import dataclass, field
from pathlib import Path

from stores.artifacts.keys import file_key
from stores.errors import MediaError, no_such_file


@dataclass(frozen=True)
class FileState:
    """What tells whether a file was written again since: size [byte], time [ns] and inode."""

    size: int
    modified_ns: int
    inode: int

    @classmethod
    def of(cls, path: Path) -> "FileState":
        """The file's state now."""
        found = path.stat()
        return cls(found.st_size, found.st_mtime_ns, found.st_ino)


@dataclass(frozen=True)
class Source:
    """A source file and the key of its bytes.

    Attributes:
        path: Where it is.
        key: Of the bytes that it had when it was read.
        state: That it had then.
    """

    path: Path
    key: str
    state: FileState = field(compare=False)

    @classmethod
    def of(cls, path: Path) -> "Source":
        """Read the file once for its key.

        Raises:
            MediaError: there is no such file, or it can't be read, or is empty, or is just being
                written.
        """
        try:
            if path.stat().st_size == 0:
                raise MediaError(f"{path} is empty; check how it was made or copied")
            state = FileState.of(path)  # before its bytes: what is written meanwhile shows
            place = path.resolve()
            source = _known[place] = cls(place, file_key(path), state)
        except FileNotFoundError:
            raise MediaError(no_such_file(path)) from None
        except OSError as error:
            raise MediaError(f"{path} can't be read: {error.strerror}") from error
        source.check()
        return source

    @classmethod
    def known(cls, path: Path) -> "Source":
        """As `of`, but a file that this process has read before is not read again."""
        with _lock:
            source = _known.get(path.resolve())  # a name may lead elsewhere than before
            if source is None or source._changed():
                source = cls.of(path)
        return source

    def check(self) -> None:
        """Make sure that whatever was read since was read from the bytes of the key.

        Raises:
            MediaError: the file was written, replaced or removed.
        """
        if self._changed():
            raise MediaError(
                f"{self.path} changed while it was read; run again when it is complete"
            )

    def _changed(self) -> bool:
        try:
            return FileState.of(self.path) != self.state
        except FileNotFoundError:
            return True


_known: dict[Path, Source] = {}
_lock = threading.Lock()
