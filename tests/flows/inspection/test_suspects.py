"""A dub that was damaged on purpose is found out, in the right class at the right place."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.suspects import DAMAGES, Clean, clean, damage, is_found, listed
from flows.inspection.suspects import find_suspects, judge
from flows.settings import read_settings
from models.suspects.suspect import CLASSES
from stores.artifacts.artifact import Artifact
from stores.artifacts.store import Store
from stores.runs import recorded_runs
from tasks.engine.open_run import open_run
from tasks.engine.stage import Made, stage
from tasks.metrics.phones import PACKAGE
from tasks.metrics.suspects import SUSPECTS
from tasks.result.render import RENDER
from tests.flows.conftest import cut_wav
from tests.media_factory import EXAMPLE, make_video

pytestmark = [pytest.mark.dub, pytest.mark.long]

FRAMES = 150
_QUIET = (2.0, 2.9)


@stage(RENDER, version=1)
def tinted(render: Artifact) -> Made:
    """Mouths of another skin, in place of another person's."""
    arrays = {name: render.read(name) for name in RENDER.arrays}
    arrays["patch"] = np.ascontiguousarray(255 - arrays["patch"][:, ::-1])
    return Made(arrays, render.attributes)


@pytest.fixture(scope="module")
def dubbed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clean]:
    """Six seconds of the example, with a speech that pauses in its middle."""
    folder = tmp_path_factory.mktemp("suspects")
    video = make_video(
        folder / "talk.mp4", frames=FRAMES, size=(400, 300), real_faces=True, audio="aac"
    )
    speech = cut_wav(EXAMPLE.with_name("jfk.wav"), folder, 0.0, 6.0)
    _pause(speech)
    store = Store(folder / "store")
    given = {"video": video, "audio": speech, "output": folder / "out.mp4", "store": store.url}
    with open_run(store):
        yield clean(store, read_settings(None, [], given))


def _pause(speech: Path) -> None:
    """Silence in the middle of a wave file of 16 bits."""
    data = bytearray(speech.read_bytes())
    head = len(data) - 2 * 6 * 16000
    first, last = (head + 2 * round(second * 16000) for second in _QUIET)
    data[first:last] = bytes(last - first)
    speech.write_bytes(data)


@pytest.mark.parametrize("how", DAMAGES)
def test_damages_are_found(dubbed: Clean, how: str, tmp_path: Path) -> None:
    assert dubbed.parts.render is not None
    other = replace(dubbed, parts=replace(dubbed.parts, render=tinted(dubbed.parts.render)))
    made = damage(dubbed, how, other, tmp_path)
    assert made is not None
    parts, file, place = made
    found = is_found(how, listed(judge(parts, file)), place)
    assert found is not None
    if how in ("open", "shifted", "another"):
        assert abs(found.start - place[0]) <= 2 and abs(found.stop - 1 - place[-1]) <= 4
    assert found.reason.strip() and "\n" not in found.reason


def test_a_recorded_dub_is_judged_and_recorded(
    dubbed: Clean, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(dubbed.settings.store)
    record = next(run for run in recorded_runs(store) if run.command == "dub")
    known = find_suspects(store, record)
    found = store.get(known["kind"], known["key"])
    assert found.kind == SUSPECTS.kind
    assert found.sizes["frame"] == FRAMES
    assert len(listed(found)) <= 3
    assert 0 < np.nanmean(found.read("opening")) < 0.1
    assert [each["name"] for each in found.attributes["classes"]] == list(CLASSES)
    (made,) = (run for run in recorded_runs(store) if run.command == "suspects")
    assert made.settings == {"run": record.id}
    assert (known["kind"], known["key"]) in made.artifacts
    json.dumps(found.attributes)


def test_without_the_extra_what_needs_it_is_not_judged(
    dubbed: Clean, monkeypatch: pytest.MonkeyPatch
) -> None:
    from flows.inspection import suspects

    monkeypatch.setattr(suspects, "installed", lambda: False)
    monkeypatch.setattr(
        suspects, "find_spec", lambda name: None if name == PACKAGE else pytest.fail(name)
    )
    found = judge(dubbed.parts, dubbed.settings.output)
    assert set(found.attributes["not_judged"]) == {
        *("lips_open", "no_teeth", "no_rounding", "wide_hiss", "identity")
    }
    assert all("dubflow[metrics]" in why for why in found.attributes["not_judged"].values())
