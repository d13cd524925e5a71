"""The addresses of the server."""

import mimetypes
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.responses import JSONResponse

from stores.artifacts.store import Store
from stores.errors import DubflowError, InputError, StoreError
from viewer.own_pages import LOOPBACK, BoundedBody, OwnPagesOnly
from viewer.web.desk import Desk
from viewer.web.guard import TokenNeeded, guarded_page, refused
from viewer.web.routes_artifacts import artifact_routes
from viewer.web.routes_jobs import job_routes
from viewer.web.routes_runs import run_routes, session_routes
from viewer.web.routes_sound import sound_routes
from viewer.web.subject import Subject

STATIC = Path(__file__).parent / "static"

_MOST_BYTES = 1 << 20
"""Of a request: settings of a dub take some kilobytes."""


def create_app(
    store: Store,
    subject: Subject,
    *,
    token: str,
    host: str = LOOPBACK[0],
    port: int = 0,
    job_command: list[str] | None = None,
) -> FastAPI:
    """The server of a store.

    Args:
        store: What is shown.
        subject: What is shown first.
        token: That every request must have.
        host: Address it is served at; requests under other names are refused on the loopback one,
            and those of other sites' pages everywhere.
        port: It is served at; names the cookie, which browsers share between ports.
        job_command: Starts a process for heavy work; see `viewer.web.jobs`. None: there is none.
    """
    desk = Desk(store, job_command)

    @asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        yield
        desk.close()

    app = FastAPI(title="Dubflow", docs_url=None, redoc_url=None, openapi_url=None, lifespan=life)
    app.add_middleware(BoundedBody, most_bytes=_MOST_BYTES)
    app.add_middleware(TokenNeeded, token=token, cookie=f"dubflow_inspect_{port}")
    app.add_middleware(OwnPagesOnly, hosts=LOOPBACK if host in LOOPBACK else None)
    _explain_errors(app)
    _add_pages(app, token, f"dubflow_inspect_{port}")
    app.include_router(session_routes(desk, subject))
    app.include_router(run_routes(desk))
    app.include_router(sound_routes(desk))
    app.include_router(artifact_routes(desk))
    app.include_router(job_routes(desk))
    if subject.kind == "index":
        from viewer.web.index import IndexDesk, index_router  # pyarrow: 30 MB

        app.include_router(index_router(IndexDesk(Path(subject.id or ""), store)))
    return app


def _explain_errors(app: FastAPI) -> None:
    @app.exception_handler(StarletteHTTPException)
    def said(_: Request, error: StarletteHTTPException) -> JSONResponse:
        answer = refused(error.status_code, str(error.detail))
        answer.headers.update(error.headers or {})
        return answer

    @app.exception_handler(RequestValidationError)
    def not_understood(_: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        return refused(422, f"{first['loc'][-1]}: {first['msg']}")

    @app.exception_handler(DubflowError)
    def known(_: Request, error: DubflowError) -> JSONResponse:
        missing = isinstance(error, StoreError)
        return refused(
            404 if missing else 422 if isinstance(error, InputError) else 409, str(error)
        )


def _add_pages(app: FastAPI, token: str, cookie: str) -> None:
    files = {path.relative_to(STATIC).as_posix(): path for path in STATIC.rglob("*.*")}

    @app.get("/")
    async def page(request: Request) -> Response:
        if "index.html" not in files:
            raise HTTPException(404, "the page is not installed")
        text, allowed = guarded_page(files["index.html"].read_text(encoding="utf-8"))
        answer = Response(text, media_type="text/html")
        answer.headers["Content-Security-Policy"] = allowed
        if "token" in request.query_params:
            answer.set_cookie(cookie, token, httponly=True, samesite="strict")
        return answer

    @app.get("/static/{name:path}")
    async def static(name: str) -> Response:
        if name not in files:
            raise HTTPException(404, "no such file")
        kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
        return Response(files[name].read_bytes(), media_type=kind)
