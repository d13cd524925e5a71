"""Which results' lip openings are drawn, and least lengths of clips."""

from pathlib import Path

import pytest

from flows.evaluation.item import Scored, least_seconds
from flows.evaluation.openings import WORST, _worst
from flows.evaluation.protocols import Item, find_items, read_protocol, too_short
from flows.evaluation.settings import EvaluateSettings
from flows.presets import checked
from stores.errors import InputError
from stores.media import source
from tests.media_factory import make_video


def scored(system: str, item: str, failure: str = "", **values: float) -> Scored:
    return Scored("p", item, system, values=dict(values), failure=failure)


def test_the_worst_are_judged_by_the_lips_where_there_is_a_truth() -> None:
    many = [scored("exemplar", str(n), lip_distance=n, lse_d=-n) for n in range(9)]
    many += [scored("source", "s", lip_distance=99.0), scored("exemplar", "f", "it failed")]
    assert [one.item for one in _worst(many, {"lip_distance", "lse_d"})] == list("87654")
    assert len(_worst(many, {"lse_d"})) == WORST
    assert [one.item for one in _worst(many, {"lse_d"})] == list("01234")
    assert _worst(many, {"psnr"}) == []


def test_a_clip_must_be_as_long_as_its_method_needs_under_the_protocol(tmp_path: Path) -> None:
    given = {"protocols": ["folder_paired"], "data": tmp_path, "output": tmp_path / "r"}
    item = Item("a", tmp_path / "a.mp4", tmp_path / "a.mp4")

    def least(protocol: str, **more: object) -> float:
        settings = checked(EvaluateSettings, given | more)
        return least_seconds(settings, read_protocol(protocol), "exemplar", item)

    assert least("folder_paired", methods=["exemplar"]) == 2.0
    assert least("folder_unpaired", methods=["exemplar"]) == 0.0
    changed = {"exemplar": {"exclude_within_s": 0.25}}
    assert least("folder_paired", methods=["exemplar"], method_settings=changed) == 0.5
    assert least("folder_paired", methods=["source"]) == 0.0


def test_what_a_protocol_leaves_out_for_its_length_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, frames in (("long", 30), ("short", 10)):
        make_video(tmp_path / f"{name}.mp4", frames=frames)
    rules = read_protocol("folder_paired").model_copy(update={"min_seconds": 1.0})
    assert [item.name for item in find_items(rules, tmp_path)] == ["long"]
    assert too_short(rules, tmp_path) == ["short.mp4"]
    with pytest.raises(InputError, match=r"each clip .* shorter than 60 s$"):
        find_items(rules.model_copy(update={"min_seconds": 60.0}), tmp_path)
    monkeypatch.setattr(source, "probe", None)
    assert too_short(read_protocol("folder_paired"), tmp_path) == []  # nothing is opened
