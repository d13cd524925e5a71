"""Protocols name the same clips and pairs on every machine, and refuse folders that do not fit."""

from pathlib import Path
from typing import Any

import pytest

from flows.evaluation.protocols import Protocol, find_items, read_protocol
from flows.names import protocol_names
from stores.errors import InputError, SettingsError

CLIPS = [f"p{person:02}_{clip:04}.mp4" for person in range(5) for clip in range(3)]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for name in CLIPS:
        (tmp_path / "clips").mkdir(exist_ok=True)
        (tmp_path / "clips" / name).touch()
    return tmp_path


def protocol(**changes: Any) -> Protocol:
    given = {
        "title": "t",
        "about": "a",
        "source": "s",
        "data": "clips",
        "glob": ["**/*.mp4"],
        "speech": "own",
    }
    return Protocol.model_validate(given | changes)


@pytest.mark.parametrize("name", protocol_names())
def test_shipped_protocols_are_valid(name: str) -> None:
    assert read_protocol(name).title


def test_own_speech_in_order_of_names(data: Path) -> None:
    items = find_items(protocol(), data)
    assert [item.name for item in items] == [f"clips/{Path(name).stem}" for name in CLIPS]
    assert all(item.video == item.speech for item in items)


def test_other_speech_is_of_another_person_and_always_the_same(data: Path, tmp_path: Path) -> None:
    rules = protocol(speech="other", person=r"(p\d\d)_")
    items = find_items(rules, data)
    assert all(item.video.name[:3] != item.speech.name[:3] for item in items)
    assert items == find_items(rules, data)
    assert [i.speech for i in items] != [
        i.speech for i in find_items(protocol(speech="other", person=r"(p\d\d)_", seed=1), data)
    ]


def test_pairs_of_the_remaining_clips_hold_when_others_are_added(data: Path) -> None:
    rules = protocol(count=6)
    before = {item.name for item in find_items(rules, data)}
    (data / "clips" / "p09_0000.mp4").touch()
    after = {item.name for item in find_items(rules, data)}
    assert len(before) == len(after) == 6
    assert len(before & after) >= 5


def test_a_listing_of_pairs(data: Path) -> None:
    (data / "lists").mkdir()
    (data / "lists" / "pairs.txt").write_text("p00_0001 p01_0002\np03_0000 p03_0000 NF\n")
    listing = {
        "file": "lists/pairs.txt",
        "columns": ["audio", "video"],
        "below": "clips",
        "suffix": ".mp4",
    }
    items = find_items(protocol(glob=[], listing=listing, speech="listed"), data)
    assert [(i.video.name, i.speech.name) for i in items] == [
        ("p01_0002.mp4", "p00_0001.mp4"),
        ("p03_0000.mp4", "p03_0000.mp4"),
    ]
    assert items[0].name == "clips/p01_0002+clips-p00_0001"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"glob": ["*.avi"]}, "no clip of the protocol"),
        ({"glob": [], "listing": {"file": "none.txt"}}, "there is no"),
        ({"speech": "other", "person": "(clips)"}, "at least two persons"),
    ],
)
def test_a_folder_that_does_not_fit_is_refused(
    data: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        find_items(protocol(**changes), data)


def test_unknown_protocols_and_rules_are_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="folder_paired"):
        read_protocol("lrs5")
    own = tmp_path / "own.yaml"
    own.write_text("title: x\nabout: x\nsource: x\ndata: x\nspeech: own\nglobs: ['*']\n")
    with pytest.raises(SettingsError, match="globs"):
        read_protocol(str(own))
    with pytest.raises(SettingsError, match="no such file"):
        read_protocol(str(tmp_path / "none.yaml"))


def test_the_last_part_has_its_own_speech_and_no_other_cut() -> None:
    assert protocol(last_share=0.2).last_share == 0.2
    for changes in ({"speech": "other"}, {"seconds": 20}):
        with pytest.raises(ValueError, match="last_share goes with speech own"):
            protocol(last_share=0.2, **changes)
    assert read_protocol("meta_talk").last_share == 0.2
