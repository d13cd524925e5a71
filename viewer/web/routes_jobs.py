"""Addresses of what takes a process of its own: suspects, settings, plans, redoing."""

from typing import Any

from fastapi import APIRouter, HTTPException
from pydantic import BaseModel, ConfigDict

from viewer.web.desk import Desk
from viewer.web.jobs import Job


class Changed(BaseModel):
    """What the page wants done otherwise, and in which rows."""

    model_config = ConfigDict(extra="forbid")

    changes: dict[str, Any] = {}
    span: tuple[int, int] | None = None
    method: str | None = None


def job_routes(desk: Desk) -> APIRouter:
    """Starting, watching and stopping jobs."""
    routes = APIRouter(prefix="/api")

    def start(do: str, run: str, done: Any = lambda _: None, **more: Any) -> Job:
        if desk.job_command is None:
            raise HTTPException(409, "this server starts no jobs")
        desk.run(run)
        request = {"do": do, "store": desk.store.url, "run": run, **more}
        return desk.jobs.start(desk.job_command, request, done=done)

    @routes.get("/runs/{run}/suspects")
    def suspects(run: str) -> dict[str, Any]:
        opened = desk.run(run)
        job = opened.looking
        if job is not None and job.state == "running":
            return {"state": "computing", "rows": [], "job": job.id}
        found = opened.suspects
        return {"state": "ready", **found} if found else {"state": "absent", "rows": []}

    @routes.post("/runs/{run}/suspects")
    def find_suspects(run: str) -> dict[str, str]:
        opened = desk.run(run)
        if opened.looking is None or opened.looking.state != "running":
            opened.looking = start("suspects", run, opened.look_again)
        return {"job": opened.looking.id}

    @routes.get("/runs/{run}/schema")
    def schema(run: str, method: str | None = None) -> dict[str, Any]:
        opened = desk.run(run)
        if (known := opened.schemas.get(method)) is not None:
            return known
        asked = {} if method is None else {"method": method}
        made = start("schema", run, lambda result: opened.schemas.update({method: result}), **asked)
        return {"job": made.id}

    @routes.post("/runs/{run}/plan")
    def plan(run: str, wanted: Changed) -> dict[str, str]:
        return {"job": start("plan", run, **wanted.model_dump(exclude_none=True)).id}

    @routes.post("/runs/{run}/redo")
    def redo(run: str, wanted: Changed) -> dict[str, str]:
        return {"job": start("redo", run, **wanted.model_dump(exclude_none=True)).id}

    @routes.get("/jobs/{job}")
    def job(job: str) -> dict[str, Any]:
        return found(job).told()

    @routes.post("/jobs/{job}/cancel")
    def cancel(job: str) -> dict[str, Any]:
        desk.jobs.cancel(found(job))
        return found(job).told()

    def found(name: str) -> Job:
        job = desk.jobs.find(name)
        if job is None:
            raise HTTPException(404, "no such job")
        return job

    return routes
