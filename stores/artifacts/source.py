"""A file that the user gave: it counts by its bytes, never by its name."""

from dataclasses import dataclass
from pathlib import Path

from stores.artifacts.keys import file_key
from stores.errors import MediaError


@dataclass(frozen=True)
class Source:
    """A source file and the key of its bytes."""

    path: Path
    key: str

    @classmethod
    def at(cls, path: str, key: str) -> "Source":
        """A source whose key is known, on a worker that reaches the same file."""
        return cls(Path(path), key)

    @classmethod
    def of(cls, path: Path) -> "Source":
        """Read the file once for its key.

        Raises:
            MediaError: there is no such file, or it can't be read, or is empty.
        """
        try:
            if path.stat().st_size == 0:
                raise MediaError(f"{path} is empty; check how it was made or copied")
            return cls(path.resolve(), file_key(path))
        except FileNotFoundError:
            raise MediaError(f"there is no file {path}; check the name") from None
        except OSError as error:
            raise MediaError(f"{path} can't be read: {error.strerror}") from error
