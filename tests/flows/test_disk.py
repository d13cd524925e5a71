"""What a dub will take, told before: near enough to choose a disk by."""

from collections.abc import Callable
from pathlib import Path

import pytest

from flows.disk import DiskNeed, disk_need, stored_bytes
from flows.dub import dub
from flows.settings import DubSettings
from stores.artifacts.catalog import read_catalog
from stores.artifacts.schema import Schema
from stores.artifacts.source import Source
from stores.artifacts.store import Store
from tasks.engine.open_run import open_run
from tasks.engine.stage import Made, stage
from tests.command import invoke
from tests.tasks.toy_stages import ToySettings, copied, numbers


@stage(Schema("dubbed_text", {}, {}), version=1)
def dubbed_text(video: Source, speech: Source, *, folder: Path) -> Made:
    """Both files, one behind the other."""
    (folder / "both.txt").write_text(video.path.read_text() + speech.path.read_text())
    return Made()


@pytest.mark.long
def test_it_is_within_a_factor_of_two(settings: Callable[..., DubSettings], tmp_path: Path) -> None:
    given = settings(store=str(tmp_path / "store"), encode={"crf": 17})
    need = disk_need(given)
    assert need.stored == 0
    assert need.free is not None and need.free > 0
    dub(given)
    sizes = [row["stored_bytes"] for row in read_catalog(Store(given.store)).to_pylist()]
    assert sum(sizes) / 2 < need.store < sum(sizes) * 2
    assert disk_need(given).stored > sum(sizes) / 2


def test_what_other_speech_made_of_the_video_is_not_there_for_this_one(
    store: Store, tmp_path: Path
) -> None:
    """Nor what is made of no file at all, such as weights."""
    files = [tmp_path / name for name in ("talk.mp4", "german.wav", "french.wav")]
    for file in files:
        file.write_text(file.stem)
    with open_run(store):
        sources = [Source.of(file) for file in files]
        talk, german, _ = (copied(source) for source in sources)
        both = dubbed_text(sources[0], sources[1])
        dubbed_text(sources[0], sources[2])
        numbers(40, ToySettings())
    missing = tmp_path / "missing.wav"
    assert stored_bytes(store, [files[0], missing]) == talk.manifest.stored_bytes
    made = (talk, german, both)
    assert stored_bytes(store, files[:2]) == sum(each.manifest.stored_bytes for each in made)


@pytest.mark.parametrize(
    ("stored", "words"), [(6_100_000, "up to 6.1 MB are there already"), (0, "nothing is there")]
)
def test_the_whole_and_what_is_there_are_told_apart(
    stored: int, words: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    need = DiskNeed(24_900_000, stored, 1_200_000, None)
    monkeypatch.setattr("flows.disk.disk_need", lambda settings: need)
    monkeypatch.setattr("flows.dub_inputs.input_faults", lambda settings: [])
    monkeypatch.chdir(tmp_path)
    told = invoke("dub", "a.mp4", "b.wav", "-o", "c.mp4", "--store", "st", "--dry-run").stderr
    wanted = f"takes about 24.9 MB in all in the store st, of which {words}, and 1.2 MB for c.mp4"
    assert wanted in told
