"""What keeps a server of this machine to itself: no page of another site may use it.

A browser tells the site of a page in `Origin`, and the name that was asked for in `Host`; a site
that lets its own name point to this machine is told by the latter. Programs that are no browsers
send no `Origin` and are let in.
"""

import ipaddress
from collections.abc import Iterable

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocketClose

LOOPBACK = ("127.0.0.1", "localhost", "[::1]")


class OwnPagesOnly:
    """Refuses requests under a foreign name (400), and from pages of other origins (403).

    Args:
        app: What is guarded.
        hosts: Names under which it may be asked, without port, IPv6 addresses in brackets; None
            for any.
        origins: Whose pages may use it beside its own, as in `http://localhost:4200`.
        any_address: It may be asked under any IP address too: those can't be made to point
            elsewhere.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        hosts: Iterable[str] | None,
        origins: Iterable[str] = (),
        any_address: bool = False,
    ) -> None:
        self._app, self._any_address = app, any_address
        self._hosts = None if hosts is None else frozenset(host.lower() for host in hosts)
        self._origins = frozenset(origin.lower() for origin in origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            return await self._app(scope, receive, send)
        headers = Headers(scope=scope)
        host, origin = headers.get("host", "").lower(), headers.get("origin")
        if not self._known(host):
            refusal = 400, "this server is not known under that name"
        elif not self._own(origin, host):
            refusal = 403, "pages of other sites may not use this server"
        else:
            return await self._app(scope, receive, send)
        status, reason = refusal
        if scope["type"] == "websocket":
            await WebSocketClose(code=1008, reason=reason)(scope, receive, send)
        else:
            await PlainTextResponse(reason, status_code=status)(scope, receive, send)

    def _known(self, host: str) -> bool:
        if self._hosts is None:
            return True
        bracketed = host.startswith("[")
        name = host.partition("]")[0] + "]" if bracketed else host.partition(":")[0]
        return name in self._hosts or (self._any_address and _is_address(name))

    def _own(self, origin: str | None, host: str) -> bool:
        if origin is None:
            return True
        scheme, _, place = origin.lower().partition("://")
        own = scheme in ("http", "https") and place == host
        return own or origin.lower() in self._origins


class BoundedBody:
    """Refuses requests whose body is larger than need be (413), before it is read.

    Args:
        app: What is guarded.
        most_bytes: Of a body.
    """

    def __init__(self, app: ASGIApp, *, most_bytes: int) -> None:
        self._app, self._most = app, most_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        told = Headers(scope=scope).get("content-length", "0")
        if not told.isdecimal() or int(told) > self._most:
            return await PlainTextResponse("too large", status_code=413)(scope, receive, send)
        got = 0

        async def bounded() -> Message:
            nonlocal got
            message = await receive()
            got += len(message.get("body", b""))
            if got > self._most:  # sent in chunks, whose sum nobody told
                raise HTTPException(413, "too large")
            return message

        await self._app(scope, bounded, send)


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True
