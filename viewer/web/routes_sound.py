"""Addresses of a run's sound, in seconds of its rows."""

from typing import Annotated

from fastapi import APIRouter, Query, Response

from viewer.web.desk import Desk, kept, numbers
from viewer.web.frames import encoded
from viewer.web.run import Sound

_DAY = 86400.0
From = Annotated[float, Query(alias="from", ge=0, le=_DAY)]
To = Annotated[float | None, Query(alias="to", ge=0, le=_DAY)]


def sound_routes(desk: Desk) -> APIRouter:
    """Envelope, spectrogram and the sound itself."""
    routes = APIRouter(prefix="/api/runs/{run}")

    @routes.get("/waveform/{sound}")
    def waveform(
        run: str,
        sound: Sound,
        start: From = 0.0,
        stop: To = None,
        points: Annotated[int, Query(ge=1, le=16384)] = 1000,
    ) -> Response:
        heard = desk.run(run).heard(sound)
        return numbers(
            heard.envelope(start, heard.seconds if stop is None else stop, points), "<f4"
        )

    @routes.get("/mel/{sound}")
    def mel(
        run: str,
        sound: Sound,
        start: From = 0.0,
        stop: To = None,
        height: Annotated[int, Query(ge=1, le=1024)] = 80,
    ) -> Response:
        heard = desk.run(run).heard(sound)
        last = heard.seconds if stop is None else stop
        return kept(encoded(heard.mel_picture(start, last, height), "png"), "image/png")

    @routes.get("/sound/{sound}")
    def piece(run: str, sound: Sound, start: From = 0.0, stop: To = None) -> Response:
        heard = desk.run(run).heard(sound)
        last = heard.seconds if stop is None else stop
        return kept(heard.wav(start, last), "audio/wav")

    return routes
