"""Addresses of runs: what they are, and their pictures."""

from pathlib import Path
from typing import Annotated, Any, Literal

import cv2
import numpy as np
from fastapi import APIRouter, Header, Query, Response
from starlette.responses import JSONResponse

from stores.artifacts.versions import software_versions
from stores.errors import InputError, StoreError
from viewer.web import overlays
from viewer.web.description import describe, stages
from viewer.web.desk import DRAWING_SECONDS, Desk, kept, numbers
from viewer.web.files import ranged
from viewer.web.fit import ROWS, in_frame
from viewer.web.frames import Format, encoded
from viewer.web.jobs import Job
from viewer.web.proxy import MEDIA_TYPES, Container
from viewer.web.run import Which
from viewer.web.subject import Subject
from viewer.web.thumbs import thumb

Width = Annotated[int | None, Query(ge=1, le=16384)]


def session_routes(desk: Desk, subject: Subject) -> APIRouter:
    """What is looked at, and what else there is."""
    routes = APIRouter(prefix="/api")

    @routes.get("/session")
    def session() -> dict[str, Any]:
        return {
            "version": software_versions()["dubflow"],
            "store": desk.store.url,
            "subject": {"kind": subject.kind, "id": subject.id},
            "redo": desk.job_command is not None,
        }

    @routes.get("/runs")
    def runs(limit: Annotated[int, Query(ge=1, le=1000)] = 100) -> list[dict[str, Any]]:
        return [
            {
                "id": run.id,
                "command": run.command,
                "created": run.created,
                "output": run.output,
                "name": Path(run.output).name if run.output else run.command,
                "method": run.settings.get("method"),
                "redo_of": run.redo_of,
                "shown": "video" in run.settings and any(k == "timeline" for k, _ in run.artifacts),
            }
            for run in [run for run in desk.book.newest() if run.command != "suspects"][:limit]
        ]

    return routes


def run_routes(desk: Desk) -> APIRouter:
    """A run and its pictures."""
    routes = APIRouter(prefix="/api/runs/{run}")

    @routes.get("")
    def description(run: str) -> dict[str, Any]:
        opened = desk.run(run)
        return describe(opened.view, opened.tracks, looked=opened.suspects is not None)

    @routes.get("/stages")
    def checked_stages(run: str) -> list[dict[str, Any]]:
        return list(stages(desk.run(run).view, check=True))

    @routes.get("/times")
    def times(run: str) -> Response:
        return numbers(desk.run(run).view.times, "<f8")

    @routes.get("/source_frames")
    def source_frames(run: str) -> Response:
        return numbers(desk.run(run).view.source_frame, "<i4")

    @routes.get("/source_times")
    def source_times(run: str) -> Response:
        view = desk.run(run).view
        return numbers(view.clip.seconds[view.source_frame], "<f8")

    @routes.get("/frames/{which}/{row}")
    def frame(
        run: str, which: Which, row: int, width: Width = None, format: Format = "jpeg"
    ) -> Response:
        view = desk.run(run).view
        view.row(row)
        index = int(view.source_frame[row]) if which == "source" else row
        picture = view.pictures(which).picture(index, width, format)
        return kept(picture, f"image/{format}", X_Frame=str(index))

    @routes.get("/source/{index}")
    def source(run: str, index: int, width: Width = None, format: Format = "jpeg") -> Response:
        pictures = desk.run(run).view.pictures("source", aside=True)
        if not 0 <= index < pictures.count:
            raise InputError(f"frame {index} is not within the {pictures.count} of the source")
        return kept(pictures.picture(index, width, format), f"image/{format}", X_Frame=str(index))

    @routes.get("/overlays/{name}/{row}")
    def overlay(run: str, name: str, row: int) -> dict[str, Any]:
        return {"shapes": overlays.shapes(desk.run(run).view, name, row)}

    @routes.get("/fit/{row}")
    def fitted(run: str, row: int) -> Response:
        view = desk.run(run).view
        fit, at = view.need("face_fit"), view.row_of(view.need("face_fit"), view.row(row))
        box = None if at is None else overlays.fit_box(view, at)
        if at is None or box is None:
            raise StoreError(f"no face was fitted at row {row}")
        first = at // ROWS * ROWS
        request = {"store": desk.store.url, "key": fit.key, "first": first}
        path = desk.files.wait(f"{fit.key}-{first}.png", "viewer.web.fit", request, DRAWING_SECONDS)
        strip = np.asarray(cv2.imread(str(path), cv2.IMREAD_UNCHANGED), np.uint8)
        shown = in_frame(strip, at - first, fit.read("transform", at, at + 1)[0], box)
        return kept(encoded(shown[..., [2, 1, 0, 3]], "png"), "image/png")

    @routes.get("/tracks/{name}")
    def track(
        run: str,
        name: str,
        first: Annotated[int, Query(alias="from", ge=0)] = 0,
        stop: Annotated[int | None, Query(alias="to", ge=0)] = None,
    ) -> Response:
        opened = desk.run(run)
        rows = opened.view.rows
        last = rows if stop is None else min(stop, rows)
        return numbers(opened.tracks.values(name, min(first, last), last), "<f4")

    @routes.get("/thumb/{kind}/{row}")
    def stage_picture(
        run: str, kind: str, row: int, width: Annotated[int, Query(ge=16, le=1024)] = 192
    ) -> Response:
        opened = desk.run(run)
        return kept(
            encoded(thumb(opened.view, kind, row, width, opened.heard), "jpeg"), "image/jpeg"
        )

    @routes.get("/play/{which}")
    def play(
        run: str,
        which: Which,
        type: Container | Literal[""] = "",
        range: Annotated[str | None, Header()] = None,
    ) -> Response:
        view = desk.run(run).view
        own = view.playable(which)
        if own is not None and not type:
            return ranged(view.video_file(which), own.partition(";")[0], range)
        container: Container = type or "mp4"
        request = {"store": desk.store.url, "run": run, "which": which, "type": container}
        name = f"{run}-{which}.{container}"
        found = desk.files.find(name, "viewer.web.proxy", request)
        if isinstance(found, Job):
            steps = found.progress.get("made", {"done": 0, "total": 1})
            return JSONResponse({"progress": steps["done"] / max(1, steps["total"])}, 202)
        return ranged(found, MEDIA_TYPES[container], range)

    return routes
