"""Who may use the server: pages of its own that know its token.

The page's address brings the token, a cookie keeps it. Programs send it as `Authorization: Bearer`.
"""

import base64
import hashlib
import re
import secrets
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_IMPORT_MAP = re.compile(r'<script type="importmap">(.*?)</script>', re.DOTALL)

_POLICY = (
    "default-src 'none'; script-src 'self'{scripts}; style-src 'self'{styles}; img-src 'self' "
    "blob:; media-src 'self' blob:; connect-src 'self'; font-src 'self'; frame-ancestors 'none'; "
    "base-uri 'none'; form-action 'none'"
)
_STYLE_NONCE = "STYLE_NONCE"


class TokenNeeded:
    """Refuses requests without the token (401), and changes that no script of the page sent (403).

    Every answer tells browsers to run no foreign or inline code.

    Args:
        app: What is guarded.
        token: The secret.
        cookie: Name of the cookie that may hold it.
    """

    def __init__(self, app: ASGIApp, *, token: str, cookie: str) -> None:
        self._app, self._token, self._cookie = app, token, cookie

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            return await self._app(scope, receive, send)
        if scope["type"] != "http":
            raise RuntimeError("no websockets here")
        headers = Headers(scope=scope)
        if not self._let_in(scope, headers):
            refusal = refused(401, "open the address that `dubflow inspect` printed, token and all")
            return await refusal(scope, receive, send)
        if scope["method"] not in ("GET", "HEAD") and headers.get("x-dubflow") != "1":
            refusal = refused(403, "changes need the header X-Dubflow: 1")
            return await refusal(scope, receive, send)

        async def safe(message: Message) -> None:
            if message["type"] == "http.response.start":
                told = MutableHeaders(scope=message)
                told.setdefault("Content-Security-Policy", policy())
                told.setdefault("Cache-Control", "no-store")
                told["Referrer-Policy"] = "no-referrer"
                told["X-Content-Type-Options"] = "nosniff"
                told["Cross-Origin-Resource-Policy"] = "same-origin"
            await send(message)

        await self._app(scope, receive, safe)

    def _let_in(self, scope: Scope, headers: Headers) -> bool:
        asked = parse_qs(scope["query_string"].decode("latin-1")).get("token", [])
        scheme, _, bearer = headers.get("authorization", "").partition(" ")
        given = [*asked, _cookie(headers.get("cookie", ""), self._cookie)]
        given += [bearer] if scheme.lower() == "bearer" else []
        return any(secrets.compare_digest(g.encode(), self._token.encode()) for g in given)


def _cookie(text: str, name: str) -> str:
    try:
        found = SimpleCookie(text).get(name)
    except CookieError:
        return ""
    return found.value if found else ""


def refused(status: int, reason: str) -> JSONResponse:
    """An error in one line."""
    return JSONResponse({"error": " ".join(reason.split())}, status_code=status)


def policy(scripts: str = "", styles: str = "") -> str:
    """The Content-Security-Policy, with sources of scripts and styles that are allowed besides."""
    return _POLICY.format(scripts=scripts and f" {scripts}", styles=styles and f" {styles}")


def guarded_page(page: str) -> tuple[str, str]:
    """A page ready to be sent, and its policy.

    Its import map is known by its hash. Each STYLE_NONCE in it becomes a fresh one, under which
    scripts of the page may add styles.
    """
    maps = [hashlib.sha256(text.encode()).digest() for text in _IMPORT_MAP.findall(page)]
    hashes = " ".join(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in maps)
    nonce = secrets.token_urlsafe(16)
    return page.replace(_STYLE_NONCE, nonce), policy(hashes, f"'nonce-{nonce}'")
