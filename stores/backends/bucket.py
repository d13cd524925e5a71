"""An object store, with patience: a server that is away for a while is waited for.

obstore tries each request again for a few seconds; the rest of the patience is spent here, so that
Ctrl-C works meanwhile. Requests that may have been carried out though their answer was lost are
made such that doing them twice is the same as once.
"""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import suppress
from datetime import timedelta
from functools import cache, partial
from typing import Any, TypeVar

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError, PreconditionError
from obstore.store import MemoryStore, ObjectStore, S3Store

from stores.errors import StoreError, StoreFull, StoreUnreachable

T = TypeVar("T")

PATIENCE_SECONDS = 90.0
"""How long a server may be away in the middle of work."""

FIRST_PATIENCE_SECONDS = 30.0
"""The same before it ever answered: a wrong address is more likely than a server away."""

RANGE_BYTES = 1 << 22
_REQUEST_SECONDS = 20.0
_RETRY_SECONDS = 3.0
_PAUSE_SECONDS = 0.5

_ANSWERS = (FileNotFoundError, AlreadyExistsError, PreconditionError)
"""Errors that are answers, as opposed to no answer."""


class Bucket:
    """Objects below one URL. Names are relative, with `/`.

    All methods raise StoreError, in one line, if the server refuses or stays away too long.

    Args:
        url: As the user gave it.
        objects: For all work.
        hasty: The same place, for heartbeats and for cleaning up: gives up within seconds.
    """

    def __init__(self, url: str, objects: ObjectStore, hasty: ObjectStore) -> None:
        self.url = url
        self.objects = objects
        self._hasty = hasty
        self._met = False

    def get(self, name: str) -> bytes:
        """Whole content; FileNotFoundError if there is no such object."""
        return self.tagged(name)[0]

    def tagged(self, name: str) -> tuple[bytes, str | None]:
        """Content and ETag; FileNotFoundError as `get`."""

        def request() -> tuple[bytes, str | None]:
            result = obstore.get(self.objects, name)
            return bytes(result.bytes()), result.meta["e_tag"]

        return self.ask(request)

    def get_tagged(self, name: str) -> tuple[bytes, str | None] | None:
        """Content and ETag; None if there is no such object."""
        try:
            return self.tagged(name)
        except FileNotFoundError:
            return None

    def ranges(self, name: str) -> Iterator[bytes]:
        """Content in blocks, each a request of its own; FileNotFoundError as `get`."""
        size = self.ask(lambda: obstore.head(self.objects, name))["size"]
        for start in range(0, size, RANGE_BYTES):
            stop = min(start + RANGE_BYTES, size)
            yield bytes(self.ask(partial(self._range, name, start, stop)))

    def size(self, name: str) -> int | None:
        """Bytes, or None if there is no such object."""
        try:
            return int(self.ask(lambda: obstore.head(self.objects, name))["size"])
        except FileNotFoundError:
            return None

    def tag(self, name: str) -> str | None:
        """The ETag, which changes with the content; None if there is no such object."""
        try:
            return self.ask(lambda: obstore.head(self.objects, name))["e_tag"]
        except FileNotFoundError:
            return None

    def put(self, name: str, data: Any) -> None:
        """Create or replace. `data` is bytes or the path of a file."""
        self._put(name, data)

    def create(self, name: str, data: bytes) -> bool:
        """Create; False if there is an object with other content already.

        An answer may be lost after the server created the object: finding the same content
        counts as success.
        """
        try:
            self._put(name, data, mode="create")
        except AlreadyExistsError:
            found = self.get_tagged(name)
            return found is not None and found[0] == data
        return True

    def swap(self, name: str, data: bytes, tag: str | None) -> bool:
        """Replace the content that has the ETag `tag`; False if another was faster."""
        try:
            self._put(name, data, mode={"e_tag": tag})
        except (PreconditionError, FileNotFoundError):
            found = self.get_tagged(name)
            return found is not None and found[0] == data
        return True

    def sizes(self, prefix: str) -> dict[str, int]:
        """Name, relative to `prefix`, → bytes of all objects below it."""
        return {name: size for name, (size, _) in self.listed(prefix).items()}

    def listed(self, prefix: str) -> dict[str, tuple[int, str | None]]:
        """Name, relative to `prefix`, → bytes and ETag of all objects below it."""
        items = self.ask(lambda: obstore.list(self.objects, prefix, chunk_size=1000).collect())
        start = f"{prefix}/" if prefix else ""
        return {i["path"].removeprefix(start): (i["size"], i["e_tag"]) for i in items}

    def folders(self, prefix: str) -> list[str]:
        """What stands between `prefix/` and the next `/` in the names of objects."""
        found = self.ask(lambda: obstore.list_with_delimiter(self.objects, prefix or None))
        return sorted(path.rstrip("/").rpartition("/")[2] for path in found["common_prefixes"])

    def delete(self, names: list[str]) -> None:
        """Delete objects; those that are not there are no error."""
        if names:
            with suppress(FileNotFoundError):
                self.ask(lambda: obstore.delete(self.objects, names))

    def hasty_put(self, name: str, data: bytes) -> bool:
        """Create or replace within seconds; False if that did not work."""
        try:
            obstore.put(self._hasty, name, data)
        except (BaseError, FileNotFoundError):
            return False
        self._met = True
        return True

    def hasty_swap(self, name: str, old: bytes, new: bytes) -> bool:
        """Replace within seconds what has the content `old`; False if there was no answer."""
        try:
            found = obstore.get(self._hasty, name)
            if bytes(found.bytes()) == old:
                obstore.put(self._hasty, name, new, mode={"e_tag": found.meta["e_tag"]})
        except (FileNotFoundError, PreconditionError):
            return True
        except BaseError:
            return False
        return True

    def hasty_delete(self, name: str) -> None:
        """Delete within seconds, or not at all."""
        with suppress(BaseError, FileNotFoundError):
            obstore.delete(self._hasty, [name])

    def check_conditions(self, name: str) -> None:
        """Try on an object that exists if the server honours conditions.

        Raises:
            StoreError: it does not, so that two builders would not notice each other.
        """
        tries = (self.create(name, b"created twice"), self.swap(name, b"swapped", '"another"'))
        if any(tries):
            raise StoreError(
                f"the server of {self.url} ignores If-None-Match or If-Match on PUT: a store needs "
                "a server that honours them, such as AWS S3, MinIO, Ceph or R2 of today"
            )

    def ask(self, request: Callable[[], T]) -> T:
        """Make a request until it is answered, or patience is at its end.

        Raises:
            FileNotFoundError, AlreadyExistsError, PreconditionError: these are answers.
            StoreError: refused, or no answer.
        """
        deadline = self._deadline()
        while True:
            try:
                answer = request()
            except Exception as error:
                self._judge(error, deadline)
                time.sleep(_PAUSE_SECONDS)
            else:
                self._met = True
                return answer

    async def ask_async(self, request: Callable[[], Awaitable[T]]) -> T:
        """As `ask`, for zarr's event loop."""
        deadline = self._deadline()
        while True:
            try:
                answer = await request()
            except Exception as error:  # FileNotFoundError is None already
                self._judge(error, deadline)
                await asyncio.sleep(_PAUSE_SECONDS)
            else:
                self._met = True
                return answer

    def _deadline(self) -> float:
        return time.monotonic() + (PATIENCE_SECONDS if self._met else FIRST_PATIENCE_SECONDS)

    def _judge(self, error: Exception, deadline: float) -> None:
        """Return if the request is to be made again; raise if not."""
        if "NoSuchBucket" in str(error):
            raise StoreError(f"the bucket of {self.url} does not exist: create it first") from error
        if isinstance(error, _ANSWERS):
            self._met = True
        if isinstance(error, _ANSWERS) or not isinstance(error, BaseError):
            raise error
        if refused := _refusal(str(error), self.url):
            raise refused from error
        if not _is_passing(str(error)):
            raise error
        if time.monotonic() >= deadline:
            raise StoreUnreachable(
                f"the object store {self.url} does not answer ({_first_line(error)}): when it does "
                "again, run the same command; finished ranges are kept"
            ) from error

    def _range(self, name: str, start: int, stop: int) -> Any:
        return obstore.get_range(self.objects, name, start=start, end=stop)

    def _put(self, name: str, data: Any, *, mode: Any = None) -> None:
        try:
            self.ask(lambda: obstore.put(self.objects, name, data, mode=mode))
        except FileNotFoundError as error:
            if mode is not None:
                raise
            raise StoreError(f"{self.url} can't be written: {_first_line(error)}") from error


def open_bucket(url: str) -> Bucket:
    """The bucket of an `s3://bucket/prefix` URL, or of `memory://name` in this process.

    Address, region and credentials come from the environment: AWS_ENDPOINT_URL, AWS_REGION,
    AWS_ACCESS_KEY_ID and so on. One per URL and process, so that connections are shared.

    Raises:
        StoreError: the URL or the environment is not as it should be; nothing is sent yet.
    """
    scheme, _, rest = url.partition("://")
    bucket, _, prefix = rest.strip("/").partition("/")
    if not bucket:
        raise StoreError(f"{url} names no bucket: write {scheme}://bucket or {scheme}://bucket/sub")
    clean = f"{scheme}://{bucket}" + (f"/{prefix}" if prefix else "")
    if scheme == "memory":
        return _memory(clean)
    environment = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
    _check_environment(clean, environment)
    return _s3(clean, bucket, prefix, tuple(sorted(environment.items())))


@cache
def _memory(url: str) -> Bucket:
    objects = MemoryStore()
    return Bucket(url, objects, objects)


@cache
def _s3(url: str, bucket: str, prefix: str, environment: tuple[tuple[str, str], ...]) -> Bucket:
    # An http:// address is explicit enough; given options hide the client's own variables.
    known = dict(environment)
    plain = any(value.startswith("http://") for value in _endpoints(known))
    allow = plain or known.get("AWS_ALLOW_HTTP", "").lower() in ("1", "true", "yes", "on")

    def connected(retry_seconds: float, request_seconds: float) -> S3Store:
        return S3Store(
            bucket,
            prefix=prefix or None,
            retry_config={
                "max_retries": 1000,
                "retry_timeout": timedelta(seconds=retry_seconds),
                "backoff": {
                    "init_backoff": timedelta(milliseconds=100),
                    "max_backoff": timedelta(seconds=2),
                    "base": 2,
                },
            },
            client_options={
                "allow_http": allow,
                "connect_timeout": timedelta(seconds=min(5, request_seconds)),
                "timeout": timedelta(seconds=request_seconds),
            },
        )

    try:
        return Bucket(url, connected(_RETRY_SECONDS, _REQUEST_SECONDS), connected(2, 3))
    except (BaseError, ValueError) as error:
        raise StoreError(f"{url} can't be opened: {_first_line(error)}") from error


def _check_environment(url: str, environment: Mapping[str, str]) -> None:
    """Refuse what would make the client look for credentials of a machine at the wrong place."""
    other_ways = (
        *("AWS_SKIP_SIGNATURE", "AWS_WEB_IDENTITY_TOKEN_FILE"),
        *("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI"),
    )
    keys = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    if any(environment.get(name) for name in other_ways):
        return
    missing = [name for name in keys if not environment.get(name)]
    if missing and (len(missing) == 1 or _endpoints(environment)):
        raise StoreError(
            f"{url} can't be opened without {' and '.join(missing)} in the environment (or "
            "AWS_SKIP_SIGNATURE=true for a store that asks for none)"
        )


def _endpoints(environment: Mapping[str, str]) -> list[str]:
    names = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")
    return [value for name in names if (value := environment.get(name))]


def _refusal(text: str, url: str) -> StoreError | None:
    """What to tell if asking again is of no use."""
    status = text.partition("status code: ")[2][:3]
    if status == "507" or any(word in text for word in ("QuotaExceeded", "StorageFull")):
        return StoreFull(f"no space left in the store {url}: free some; finished ranges are kept")
    if status in ("401", "403"):
        return StoreError(
            f"the object store {url} refuses these credentials ({_first_line(text)}): check "
            "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_REGION; work needs the right to "
            "write, `dubflow artifacts list` and `show` no more than to read"
        )
    if status in ("400", "404", "405", "411", "501"):
        return StoreError(f"the object store {url} refuses a request: {_first_line(text)}")
    if "builder error" in text:
        return StoreError(
            f"the address of the object store {url} can't be used: check AWS_ENDPOINT_URL, and set "
            "AWS_ALLOW_HTTP=true for http"
        )
    return None


def _is_passing(text: str) -> bool:
    """Whether the server may do better when asked again."""
    status = text.partition("status code: ")[2][:3]
    return "HTTP error" in text or status[:1] == "5" or status in ("408", "409", "425", "429")


def _first_line(error: object) -> str:
    return " ".join(str(error).partition("\n\nDebug source")[0].split())[:300]
