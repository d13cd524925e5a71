"""Fetching a large file: resumed where it broke off, never glued from two different ones.

The half file lies at `PATH.part`, and what the server said of it (ETag, date, length) beside it in
`PATH.part.json`. Proxies are taken from the environment (HTTP_PROXY, HTTPS_PROXY, NO_PROXY).
"""

import json
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from stores.artifacts.versions import software_versions
from stores.backends.backend import explain_full_disk
from stores.errors import StoreFull, WeightsError

if TYPE_CHECKING:
    import httpx

_TIMEOUT_SECONDS = 30.0
_MOST_BYTES = 8 << 30
"""Where nothing says how long a file is."""

_RETRY_STATUS = frozenset({408, 425, 429, 500, 502, 503, 504})
ATTEMPTS = 5
"""In a row without a byte gained, before giving up."""

Report = Callable[[int, int | None], None]
"""Called with the bytes that are there, and how many there will be if that is known."""


class _Again(Exception):
    """The connection broke or the server is busy: worth another try."""


@dataclass(frozen=True)
class _Version:
    """Which version of which file the half is of."""

    address: str
    etag: str | None
    modified: str | None
    total: int | None

    @property
    def validator(self) -> str | None:
        """For If-Range: a strong ETag, else the date."""
        strong = self.etag if self.etag and not self.etag.startswith("W/") else None
        return strong or self.modified


class Download:
    """One file on its way.

    Args:
        address: http or https; so are all addresses that it may redirect to.
        path: Where the whole file shall be.
        size: What it must have [byte], where known.
        report: Told of the progress.
        pause_seconds: Before the second attempt; doubles with each one.
    """

    def __init__(
        self,
        address: str,
        path: Path,
        *,
        size: int | None = None,
        report: Report = lambda done, total: None,
        pause_seconds: float = 1.0,
    ) -> None:
        self._address = address
        self._path = path
        self._size = size
        self._report = report
        self._pause_seconds = pause_seconds
        self._part = path.with_name(f"{path.name}.part")
        self._about = path.with_name(f"{path.name}.part.json")
        self.resumed = False

    def fetch(self) -> Path:
        """Fetch it, or what is missing of it.

        Raises:
            WeightsError: it can't be had; what came so far is kept for the next time.
            StoreFull: it does not fit on the disk.
        """
        self._path.parent.mkdir(parents=True, exist_ok=True)
        failures = 0
        with _client() as client:
            while True:
                before = self._there()
                try:
                    with explain_full_disk(f"the folder {self._path.parent}"):
                        self._attempt(client)
                    break
                except _Again as problem:
                    failures = 0 if self._there() > before else failures + 1
                    if failures >= ATTEMPTS:
                        raise self._given_up(str(problem)) from problem
                    time.sleep(self._pause_seconds * 2 ** max(failures - 1, 0))
        self._part.replace(self._path)
        self._about.unlink(missing_ok=True)
        return self._path

    def forget(self) -> None:
        """Remove all that was fetched."""
        for path in (self._path, self._part, self._about):
            path.unlink(missing_ok=True)

    def _attempt(self, client: "httpx.Client") -> None:
        import httpx

        start, known = self._resumable()
        if start and known is not None and start == known.total:  # killed just before the end
            self.resumed = True
            return
        headers = {"Accept-Encoding": "identity"}
        if start and known is not None and known.validator is not None:
            headers |= {"Range": f"bytes={start}-", "If-Range": known.validator}
        try:
            with client.stream("GET", self._address, headers=headers) as answer:
                self._take(answer, start, known)
        except (httpx.UnsupportedProtocol, httpx.InvalidURL, httpx.TooManyRedirects) as error:
            raise self._refused(" ".join(str(error).split())) from error
        except httpx.TransportError as error:
            raise _Again(" ".join(str(error).split()) or type(error).__name__) from error

    def _take(self, answer: "httpx.Response", start: int, known: _Version | None) -> None:
        status = answer.status_code
        if status in _RETRY_STATUS:
            raise _Again(f"the server answered {status} {answer.reason_phrase}")
        if status == 416:  # the half is longer than the file: it is of another version
            self._clear()
            raise _Again("the server has no such range")
        if status not in (200, 206):
            raise self._refused(f"the server answered {status} {answer.reason_phrase}")
        if self._address.startswith("https:") and answer.url.scheme != "https":
            raise self._refused(f"it leads to {answer.url}, which is not secured by TLS")
        if "text/html" in answer.headers.get("content-type", "").lower():
            raise self._refused("it leads to a web page, not to a file")
        if status == 206:
            total = _range_total(answer, start)
            etag = answer.headers.get("etag")
            same = known is not None and known.total in (None, total)
            if total is None or known is None or not same or etag not in (None, known.etag):
                self._clear()
                raise _Again("the server sent another range, or of another file, than asked for")
        else:  # the server ignores ranges, or the file is no longer the one begun
            start = 0
            total = _content_length(answer)
        self._check_room(total, start)
        version = _Version(
            self._address, answer.headers.get("etag"), answer.headers.get("last-modified"), total
        )
        self._about.write_text(json.dumps(asdict(version)))
        self.resumed = start > 0
        with self._part.open("r+b" if start else "wb") as file:
            file.seek(start)
            file.truncate()
            self._write(answer, file, total)

    def _write(self, answer: "httpx.Response", file: BinaryIO, total: int | None) -> None:
        most = total or self._size or _MOST_BYTES
        done = file.tell()
        self._report(done, total or self._size)
        for block in answer.iter_raw():
            if done == 0 and block.lstrip()[:15].lower().startswith((b"<!doctype", b"<html")):
                raise self._refused("it leads to a web page, not to a file")
            done += len(block)
            if done > most:
                self._clear()
                raise self._refused(f"the server sends more than the {most} bytes it has")
            file.write(block)
            self._report(done, total or self._size)
        wanted = total or self._size or 0
        if done < wanted:
            raise _Again(f"the connection ended after {done} of {wanted} bytes")

    def _check_room(self, total: int | None, start: int) -> None:
        if total is not None and self._size is not None and total != self._size:
            self._clear()
            raise self._refused(
                f"the server's file has {total} bytes, the published one {self._size}"
            )
        free = shutil.disk_usage(self._path.parent).free
        if total is not None and total - start > free:
            raise StoreFull(
                f"{self._address} needs {(total - start) / 1e6:.0f} MB, {free / 1e6:.0f} MB are "
                f"free in {self._path.parent}; free some and run the same command again"
            )

    def _resumable(self) -> tuple[int, _Version | None]:
        """How much of the half can be built on: 0 without proof of its version."""
        start = self._there()
        with suppress(OSError, ValueError, TypeError):
            known = _Version(**json.loads(self._about.read_text()))
            if known.address == self._address and known.validator:
                return (0 if start > (known.total or start) else start), known
        return 0, None

    def _there(self) -> int:
        return self._part.stat().st_size if self._part.is_file() else 0

    def _clear(self) -> None:
        self._part.unlink(missing_ok=True)
        self._about.unlink(missing_ok=True)

    def _given_up(self, problem: str) -> WeightsError:
        return WeightsError(
            f"{self._address} can't be fetched ({problem}, {ATTEMPTS} attempts); "
            f"{self._there()} bytes are kept, the same command goes on from there; behind a proxy "
            "set HTTPS_PROXY"
        )

    def _refused(self, problem: str) -> WeightsError:
        return WeightsError(f"{self._address} can't be fetched: {problem}")


def _client() -> "httpx.Client":
    import httpx

    agent = f"dubflow/{software_versions().get('dubflow', '0')}"
    try:
        return httpx.Client(
            follow_redirects=True, timeout=_TIMEOUT_SECONDS, headers={"User-Agent": agent}
        )
    except (ImportError, ValueError, httpx.InvalidURL) as error:
        raise WeightsError(
            f"the proxy in the environment can't be used ({error}); set HTTPS_PROXY to an address "
            "like http://host:port"
        ) from error


def _range_total(answer: "httpx.Response", start: int) -> int | None:
    """Length of the whole file, from `Content-Range: bytes START-END/TOTAL`; None if it misfits."""
    unit, _, rest = answer.headers.get("content-range", "").partition(" ")
    span, _, total = rest.partition("/")
    first = span.partition("-")[0]
    if unit != "bytes" or first != str(start) or not total.isdigit():
        return None
    return int(total)


def _content_length(answer: "httpx.Response") -> int | None:
    text = answer.headers.get("content-length", "")
    return int(text) if text.isdigit() else None
