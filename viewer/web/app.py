"""The addresses of the server."""

import mimetypes
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from fastapi import FastAPI, HTTPException, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from numpy.typing import NDArray
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.responses import JSONResponse

from stores.artifacts.store import Store
from stores.artifacts.versions import software_versions
from stores.errors import DubflowError, InputError, StoreError
from viewer.own_pages import LOOPBACK, BoundedBody, OwnPagesOnly
from viewer.web import description
from viewer.web.frames import PICTURES_BYTES, Format
from viewer.web.guard import TokenNeeded, guarded_page, refused
from viewer.web.recent import Recent
from viewer.web.run import RunView, Which
from viewer.web.subject import RunBook, Subject

STATIC = Path(__file__).parent / "static"

_MOST_BYTES = 1 << 20
"""Of a request: settings of a dub take some kilobytes."""
_OPEN_RUNS = 4
_KEPT = "private, max-age=31536000, immutable"
_ID = re.compile(r"[0-9A-Za-z_-]{1,64}")

Width = Annotated[int | None, Query(ge=1, le=16384)]


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
    desk = Desk(store)

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
    _add_runs(app, desk, subject, redo=job_command is not None)
    return app


class Desk:
    """Runs that are open."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.book = RunBook(store)
        self._made: Recent[bytes] = Recent(PICTURES_BYTES, len)
        self._runs: Recent[RunView] = Recent(_OPEN_RUNS, let_go=RunView.close)

    def run(self, name: str) -> RunView:
        """The run of that id.

        Raises:
            HTTPException: there is none.
        """
        view = self._runs.get(name)
        if view is None:
            record = self.book.find(name) if _ID.fullmatch(name) else None
            if record is None:
                raise HTTPException(404, f"{self.store.url} has no run of that name")
            view = RunView(self.store, record, self._made)
            self._runs.put(name, view)
        return view

    def close(self) -> None:
        """Close all."""
        self._runs.clear()


def numbers(values: NDArray[Any], dtype: str) -> Response:
    """Raw little-endian numbers."""
    content = np.ascontiguousarray(values, dtype).tobytes()
    return Response(content, media_type="application/octet-stream")


def kept(content: bytes, media_type: str, **headers: str) -> Response:
    """What never changes."""
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return Response(content, media_type=media_type, headers={"Cache-Control": _KEPT, **names})


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
    def page(request: Request) -> Response:
        if "index.html" not in files:
            raise HTTPException(404, "the page is not installed")
        text, allowed = guarded_page(files["index.html"].read_text(encoding="utf-8"))
        answer = Response(text, media_type="text/html")
        answer.headers["Content-Security-Policy"] = allowed
        if "token" in request.query_params:
            answer.set_cookie(cookie, token, httponly=True, samesite="strict")
        return answer

    @app.get("/static/{name:path}")
    def static(name: str) -> Response:
        if name not in files:
            raise HTTPException(404, "no such file")
        kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
        return Response(files[name].read_bytes(), media_type=kind)


def _add_runs(app: FastAPI, desk: Desk, subject: Subject, *, redo: bool) -> None:
    @app.get("/api/session")
    def session() -> dict[str, Any]:
        return {
            "version": software_versions()["dubflow"],
            "store": desk.store.url,
            "subject": {"kind": subject.kind, "id": subject.id},
            "redo": redo,
        }

    @app.get("/api/runs")
    def runs(limit: Annotated[int, Query(ge=1, le=1000)] = 100) -> list[dict[str, Any]]:
        return [
            {
                "id": run.id,
                "command": run.command,
                "created": run.created,
                "output": run.output,
                "name": Path(run.output).name if run.output else run.command,
                "method": run.settings.get("method"),
            }
            for run in desk.book.newest()[:limit]
        ]

    @app.get("/api/runs/{run}")
    def describe(run: str) -> dict[str, Any]:
        return description.describe(desk.run(run))

    @app.get("/api/runs/{run}/stages")
    def stages(run: str) -> list[dict[str, Any]]:
        return list(description.stages(desk.run(run), check=True))

    @app.get("/api/runs/{run}/times")
    def times(run: str) -> Response:
        return numbers(desk.run(run).times, "<f8")

    @app.get("/api/runs/{run}/source_frames")
    def source_frames(run: str) -> Response:
        return numbers(desk.run(run).source_frame, "<i4")

    @app.get("/api/runs/{run}/source_times")
    def source_times(run: str) -> Response:
        view = desk.run(run)
        return numbers(view.clip.seconds[view.source_frame], "<f8")

    @app.get("/api/runs/{run}/frames/{which}/{row}")
    def frame(
        run: str, which: Which, row: int, width: Width = None, format: Format = "jpeg"
    ) -> Response:
        view = desk.run(run)
        view.row(row)
        index = int(view.source_frame[row]) if which == "source" else row
        picture = view.pictures(which).picture(index, width, format)
        return kept(picture, f"image/{format}", X_Frame=str(index))

    @app.get("/api/runs/{run}/source/{index}")
    def source(run: str, index: int, width: Width = None, format: Format = "jpeg") -> Response:
        pictures = desk.run(run).pictures("source")
        if not 0 <= index < pictures.count:
            raise InputError(f"frame {index} is not within the {pictures.count} of the source")
        return kept(pictures.picture(index, width, format), f"image/{format}", X_Frame=str(index))
