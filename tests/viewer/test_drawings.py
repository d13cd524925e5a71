"""Every artifact of a dub is drawn, on the picture where it belongs to one; a run on one page."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

from stores.artifacts.artifact import Artifact
from stores.artifacts.store import Store
from stores.errors import SettingsError
from stores.runs import RunRecord
from tasks.engine.open_run import open_run
from tests.command import invoke
from tests.tasks.toy_stages import ToySettings, numbers
from viewer.drawings import plots
from viewer.drawings.draw import draw, is_drawn, pictures_of
from viewer.drawings.lineage import Lineage
from viewer.drawings.pictures import CHOSEN, PANEL_PX, face_fit
from viewer.drawings.run_sheet import draw_run, titled

pytestmark = pytest.mark.dub

Dubbed = tuple[Store, RunRecord]


def the(dubbed: Dubbed, kind: str) -> Artifact:
    store, record = dubbed
    return store.get(*next(item for item in record.artifacts if item[0] == kind))


def seen(dubbed: Dubbed, kind: str, row: int = 30) -> Any:
    """The artifact's picture of a row, as integers."""
    artifact = the(dubbed, kind)
    pictures = pictures_of(artifact)
    assert pictures is not None
    (picture,) = pictures(Lineage(dubbed[0], artifact), [row])
    return picture.astype(int)


class Axes:
    """Notes the curves that are drawn."""

    def __init__(self) -> None:
        self.curves: dict[str, Any] = {}
        self.limits: Any = None

    def plot(self, x: Any, *y: Any, label: str = "", **style: Any) -> None:
        self.curves.setdefault(label.partition(":")[0], np.asarray(y[0] if y else x))

    def set(self, **told: Any) -> None:
        self.limits = told.get("ylim", self.limits)

    def twinx(self) -> "Axes":
        self.beside = Axes()
        return self.beside

    def legend(self, **style: Any) -> None:
        return

    def axvline(self, *given: Any, **style: Any) -> None:
        return


def test_every_artifact_of_a_dub_is_drawn(dubbed: Dubbed, tmp_path: Path) -> None:
    store, record = dubbed
    for kind, key in record.artifacts:
        assert is_drawn(store.get(kind, key)), kind
    for kind in (
        "track",
        "visibility",
        "speaker",
        "timeline",
        "speech_features",
        "lip_expression",
        "motion",
    ):
        assert draw(store, the(dubbed, kind), tmp_path / f"{kind}.png") == []
        picture = cv2.imread(str(tmp_path / f"{kind}.png"))
        assert picture is not None and picture.std() > 10, kind


def test_what_belongs_to_a_picture_is_drawn_on_it(dubbed: Dubbed) -> None:
    for kind in ("faces", "landmarks", "track"):
        assert (seen(dubbed, kind).sum(axis=2) > 60).mean() > 0.8, kind  # hardly any black
    green = np.abs(seen(dubbed, "track") - CHOSEN).sum(axis=2) < 30
    assert green.sum() > 200
    assert np.abs(seen(dubbed, "visibility")[3, 40:-40] - CHOSEN).max() < 60


def test_a_composite_is_seen_before_after_changed_and_masked(dubbed: Dubbed) -> None:
    before, after, change, mask = np.split(seen(dubbed, "composite"), 4, axis=1)
    assert before.shape == (PANEL_PX, PANEL_PX, 3)
    inside = mask[..., 0] > 200
    assert 0.05 < inside.mean() < 0.6
    assert change[inside].mean() > 2 * change[mask[..., 0] == 0].mean()
    assert np.abs(before - after)[mask[..., 0] == 0].mean() < 6


def test_panels_say_what_they_are(dubbed: Dubbed, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []

    def written(picture: Any, text: str) -> Any:
        told.append(text)
        return picture

    monkeypatch.setattr("viewer.drawings.pictures._written", written)
    seen(dubbed, "composite")
    assert told == ["before", "after", "difference x 4", "mask"]
    told.clear()
    four = [np.full((8, 8, 3), value, np.uint8) for value in range(4)]
    monkeypatch.setattr("viewer.face_fit.fitted_faces", lambda *given: iter([four]))
    of = SimpleNamespace(artifact=None, need=lambda kind: None)
    (drawn,) = face_fit(of, [0])  # type: ignore[arg-type]
    assert drawn[::8, ::8, 0].tolist() == [[0, 1], [2, 3]]
    assert told == ["picture", "render", "both", "errors"]


def test_sounds_of_a_run_say_whose_they_are(dubbed: Dubbed) -> None:
    store, record = dubbed
    for kind in ("waveform", "mel", "speech_features"):
        names = [titled(store.get(*item), record) for item in record.artifacts if item[0] == kind]
        assert sorted(names) == [f"{kind} (source)", f"{kind} (speech)"]
    assert titled(the(dubbed, "motion"), record) == "motion"


def test_motion_shows_what_was_asked_lent_and_drawn(dubbed: Dubbed) -> None:
    for kind in ("motion", "lenders"):
        axes = Axes()
        plots.motion(axes, Lineage(dubbed[0], the(dubbed, kind)))
        assert set(axes.curves) == {
            "asked for by the speech",
            "path lends",
            "drawn",
            "in the source",
        }
        asked, drawn = axes.curves["asked for by the speech"], axes.curves["drawn"]
        assert len(asked) == 60
        assert np.corrcoef(asked, drawn)[0, 1] > 0.8
        lent = np.abs(axes.curves["path lends"] - asked).mean()
        assert np.abs(drawn - asked).mean() <= lent


def test_loudness_ends_where_the_picture_does(dubbed: Dubbed) -> None:
    axes, asked = Axes(), Lineage(dubbed[0], the(dubbed, "motion"))
    plots._loudness(axes, asked.artifact, asked, until=1.0)
    assert len(axes.beside.curves[""]) == 81, "80 a second"


def test_a_timeline_of_constant_rate_is_not_blank(dubbed: Dubbed) -> None:
    axes = Axes()
    plots.timeline(axes, Lineage(dubbed[0], the(dubbed, "timeline")))
    low, high = axes.limits
    steps = axes.curves[""]
    assert low < 0 < steps.max() < 0.9 * high


def test_a_run_is_drawn_on_one_page(dubbed: Dubbed, tmp_path: Path) -> None:
    store, record = dubbed
    page = tmp_path / "run.png"
    done = invoke("artifacts", "show", record.id[:8], "--sheet", page, "--store", store.url)
    assert done.exit_code == 0, done.stderr
    height, width, _ = cv2.imread(str(page)).shape  # type: ignore[union-attr]
    assert (width, height > 1500) == (1400, True)
    again = invoke("artifacts", "show", record.id, "--sheet", page, "--store", store.url)
    assert "--overwrite replaces it" in again.stderr
    with pytest.raises(SettingsError, match=r"--sheet .*x.gif: name it .png or .pdf"):
        draw_run(store, record, tmp_path / "x.gif")


def test_whatever_else_is_in_a_store_is_drawn_too(store: Store, tmp_path: Path) -> None:
    with open_run(store):
        made = numbers(40, ToySettings())
    assert draw(store, made, tmp_path / "a.png") == []
    with pytest.raises(SettingsError, match="is drawn as"):
        draw(store, made, tmp_path / "a.mp4")
