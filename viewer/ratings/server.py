"""The page for raters, and what it asks of the machine that it is served from."""

import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

from fastapi import FastAPI, HTTPException, Query
from fastapi.responses import FileResponse, HTMLResponse
from pydantic import BaseModel, Field

from stores.dataset_index import write_table
from stores.errors import InputError
from viewer.own_pages import LOOPBACK, BoundedBody, OwnPagesOnly
from viewer.ratings.answers import SCHEMA, answers_file, check_rater, read_answers
from viewer.ratings.study import Kind, Study, Trial, video_name

_MOST_BYTES = 1 << 16
"""Of a request; an answer takes some hundreds."""

_PAGE = Path(__file__).parent / "page.html"
_ALLOWED: dict[Kind, range] = {"single": range(1, 6), "pair": range(-1, 2)}
_TYPES = {".mp4": "video/mp4", ".m4v": "video/mp4", ".mov": "video/mp4", ".webm": "video/webm"}
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'self' 'unsafe-inline'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}

Rater = Annotated[str, Query(max_length=80)]


class Answer(BaseModel):
    """What the page sends after a trial."""

    rater: str = Field(max_length=80)
    trial: str = Field(max_length=80)
    answers: dict[str, int]
    seconds: float = Field(ge=0, allow_inf_nan=False)


def create_app(study: Study, folder: Path, *, host: str = LOOPBACK[0]) -> FastAPI:
    """The server of a study.

    Args:
        study: What is shown.
        folder: Where answers go, one file for each rater.
        host: Address it is served at; requests under other names are refused on the loopback one,
            and those of other sites' pages everywhere.
    """
    app = FastAPI(title="Dubflow ratings", docs_url=None, redoc_url=None, openapi_url=None)
    app.add_middleware(BoundedBody, most_bytes=_MOST_BYTES)
    app.add_middleware(OwnPagesOnly, hosts=LOOPBACK if host in LOOPBACK else None)
    desk = _Desk(study, folder)

    @app.get("/")
    def page() -> HTMLResponse:
        return HTMLResponse(_PAGE.read_text(encoding="utf-8"), headers=_HEADERS)

    @app.get("/api/next")
    def next_trial(rater: Rater) -> dict[str, Any]:
        return desk.next_trial(_known(rater))

    @app.post("/api/answer")
    def answer(given: Answer) -> dict[str, Any]:
        return desk.take(given)

    @app.get("/video/{name}")
    def video(name: str, rater: Rater) -> FileResponse:
        path = desk.video(_known(rater), name)
        return FileResponse(path, media_type=_TYPES.get(path.suffix.lower()), headers=_HEADERS)

    return app


def _known(rater: str) -> str:
    try:
        return check_rater(rater)
    except InputError as error:
        raise HTTPException(422, str(error)) from None


class _Desk:
    """Hands out trials and takes answers; one at a time, for files are written whole."""

    def __init__(self, study: Study, folder: Path) -> None:
        self._study, self._folder = study, folder
        self._lock = threading.Lock()

    def next_trial(self, rater: str) -> dict[str, Any]:
        with self._lock:
            return self._next(rater)

    def video(self, rater: str, name: str) -> Path:
        for trial in self._study.trials(rater.lower()):
            for side, system in enumerate(trial.systems):
                if video_name(trial, side) == name:
                    return self._study.videos[trial.item][system]
        raise HTTPException(404, "no such video")

    def take(self, given: Answer) -> dict[str, Any]:
        rater = _known(given.rater).lower()
        trials = {trial.name: trial for trial in self._study.trials(rater)}
        trial = trials.get(given.trial)
        if trial is None:
            raise HTTPException(404, "this is none of your videos: reload the page")
        questions = self._study.questions[trial.kind]
        if set(given.answers) != {question.name for question in questions}:
            raise HTTPException(422, "each question needs an answer")
        if not all(value in _ALLOWED[trial.kind] for value in given.answers.values()):
            raise HTTPException(422, "an answer is out of range")
        with self._lock:
            path = answers_file(self._folder, rater)
            rows = self._rows(rater)
            done = _answered(rows)
            if _shown(trial) not in done:  # a second click changes nothing
                rows += self._new_rows(rater, trial, given, position=len(done) + 1)
                write_table(path, SCHEMA, rows)
            return self._next(rater)

    def _new_rows(
        self, rater: str, trial: Trial, given: Answer, *, position: int
    ) -> list[dict[str, Any]]:
        left, right = (*trial.systems, "")[:2]
        return [
            {
                "rater": rater,
                "answered": datetime.now(UTC).isoformat(timespec="seconds"),
                "seconds": given.seconds,
                "position": position,
                "seed": self._study.seed,
                "kind": trial.kind,
                "trial": trial.name,
                "item": trial.item,
                "left": left,
                "right": right,
                "question": question.name,
                "question_text": question.text,
                "answer": given.answers[question.name],
            }
            for question in self._study.questions[trial.kind]
        ]

    def _rows(self, rater: str) -> list[dict[str, Any]]:
        try:
            return read_answers(answers_file(self._folder, rater))
        except InputError as error:
            raise HTTPException(500, str(error)) from None

    def _next(self, rater: str) -> dict[str, Any]:
        rater = rater.lower()
        trials = self._study.trials(rater)
        done = _answered(self._rows(rater))
        left = [trial for trial in trials if _shown(trial) not in done]
        progress = {"done": len(trials) - len(left), "total": len(trials)}
        if not left:
            return progress | {"trial": None}
        trial = left[0]
        return progress | {
            "trial": trial.name,
            "kind": trial.kind,
            "videos": [video_name(trial, side) for side in range(len(trial.systems))],
            "questions": [vars(question) for question in self._study.questions[trial.kind]],
        }


_Shown = tuple[str, str, frozenset[str]]


def _shown(trial: Trial) -> _Shown:
    """What is asked only once: sides may turn when systems or clips come later."""
    return trial.kind, trial.item, frozenset(trial.systems)


def _answered(rows: list[dict[str, Any]]) -> set[_Shown]:
    return {
        (row["kind"], row["item"], frozenset(filter(None, (row["left"], row["right"]))))
        for row in rows
    }
