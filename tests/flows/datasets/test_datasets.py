"""Published folders are read as they are published, and nobody is in two splits."""

from pathlib import Path

import pytest

from flows.datasets.description import Clip, read_description
from flows.datasets.readers import find_clips
from flows.datasets.splits import assign_splits
from flows.names import dataset_names
from stores.errors import InputError, SettingsError

TREES: dict[str, dict[str, str]] = {
    "lrs2": {
        "train.txt": "5535415699068794046/00001\n",
        "val.txt": "6330311066473698535/00011\n",
        "test.txt": "6330311066473698536/00018 MV\n",
        "pretrain.txt": "5535415699068794046/00004\n",
        "mvlrs_v1/main/5535415699068794046/00001.mp4": "",
        "mvlrs_v1/main/5535415699068794046/00001.txt": "Text:  WHEN YOU'RE COOKING\nConf:  4\n",
        "mvlrs_v1/main/6330311066473698535/00011.mp4": "",
        "mvlrs_v1/main/6330311066473698536/00018.mp4": "",
        "mvlrs_v1/pretrain/5535415699068794046/00004.mp4": "",
    },
    "lrs3": {
        "pretrain/00j9bKdiOjk/00001.mp4": "",
        "trainval/0af00UcTOSc/50001.mp4": "",
        "trainval/0af00UcTOSc/50001.txt": "Text:  THAT'S IT\nConf:  5\n\nWORD START END ASDSCORE\n",
        "test/0Fi83BHQsMA/00002.mp4": "",
    },
    "lrw": {
        "lipread_mp4/ABOUT/train/ABOUT_00001.mp4": "",
        "lipread_mp4/ABOUT/train/ABOUT_00001.txt": "Disk reference: 619\nDuration: 0.5 seconds\n",
        "lipread_mp4/ABOUT/val/ABOUT_00001.mp4": "",
        "lipread_mp4/WORLD/test/WORLD_00002.mp4": "",
    },
    "voxceleb2": {
        "dev/mp4/id00012/21Uxsk56VDQ/00001.mp4": "",
        "test/mp4/id00017/01dfn2spqyE/00001.mp4": "",
    },
    "hdtf": {
        "RD_Radio11_000.mp4": "",
        "WDA_AmyKlobuchar0_000.mp4": "",
        "clips/AmyKlobuchar1_2.mp4": "",
    },
    "crema_d": {
        "VideoFlash/1001_IEO_HAP_LO.flv": "",
        "VideoFlash/1091_WSI_SAD_XX.flv": "",
        "AudioMP3/1001_IEO_HAP_LO.mp3": "",
    },
    "folder": {"a/one.mp4": "", "two.webm": "", "notes.txt": ""},
}


def grow(root: Path, tree: dict[str, str]) -> Path:
    for name, text in tree.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def found(name: str, root: Path) -> dict[str, Clip]:
    clips = find_clips(read_description(name), grow(root, TREES[name]))
    assert all(clip.path.is_file() for clip in clips)
    return {clip.name: clip for clip in clips}


@pytest.mark.parametrize("name", dataset_names())
def test_every_data_set_tells_what_its_folder_must_hold(name: str, tmp_path: Path) -> None:
    description = read_description(name)
    assert description.licence
    assert description.home or name == "folder"
    with pytest.raises(InputError, match="must hold"):
        find_clips(description, tmp_path)
    with pytest.raises(InputError, match="no such folder"):
        find_clips(description, tmp_path / "missing")


def test_lrs2_follows_its_lists(tmp_path: Path) -> None:
    clips = found("lrs2", tmp_path)
    assert {name.removeprefix("mvlrs_v1/"): clip.split for name, clip in clips.items()} == {
        "main/5535415699068794046/00001.mp4": "train",
        "main/6330311066473698535/00011.mp4": "validation",
        "main/6330311066473698536/00018.mp4": "test",
        "pretrain/5535415699068794046/00004.mp4": "train",
    }
    first = clips["mvlrs_v1/main/5535415699068794046/00001.mp4"]
    assert (first.person, first.language) == ("5535415699068794046", "en")
    assert first.transcript == "WHEN YOU'RE COOKING"


def test_lrs3_folders_are_splits_and_talks_are_persons(tmp_path: Path) -> None:
    clips = found("lrs3", tmp_path)
    assert [c.split for c in clips.values()] == ["train", "test", "train"]
    assert clips["trainval/0af00UcTOSc/50001.mp4"].transcript == "THAT'S IT"
    assert clips["test/0Fi83BHQsMA/00002.mp4"].person == "0Fi83BHQsMA"


def test_lrw_words_and_broadcasts(tmp_path: Path) -> None:
    clips = list(found("lrw", tmp_path).values())
    assert [(c.transcript, c.split) for c in clips] == [
        ("about", "train"),
        ("about", "validation"),
        ("world", "test"),
    ]
    assert [c.person for c in clips] == ["619", "ABOUT_00001", "WORLD_00002"]


def test_voxceleb2_in_two_folders_or_with_its_table(tmp_path: Path) -> None:
    clips = list(found("voxceleb2", tmp_path / "two").values())
    assert [(c.person, c.split) for c in clips] == [("id00012", "train"), ("id00017", "test")]
    tree = {
        "vox2_meta.csv": "VoxCeleb2 ID ,VGGFace2 ID ,Gender ,Set \n"
        "id00012 ,n000012 ,m ,dev \nid00017 ,n000017 ,m ,test \n",
        "mp4/id00012/21Uxsk56VDQ/00001.mp4": "",
        "mp4/id00017/01dfn2spqyE/00001.mp4": "",
    }
    one = find_clips(read_description("voxceleb2"), grow(tmp_path / "one", tree))
    assert [(c.person, c.split) for c in one] == [("id00012", "train"), ("id00017", "test")]


def test_hdtf_names_tell_the_person(tmp_path: Path) -> None:
    persons = {name: clip.person for name, clip in found("hdtf", tmp_path).items()}
    assert persons == {
        "RD_Radio11_000.mp4": "Radio11",
        "WDA_AmyKlobuchar0_000.mp4": "AmyKlobuchar",
        "clips/AmyKlobuchar1_2.mp4": "AmyKlobuchar",
    }


def test_crema_d_names_tell_actor_and_sentence(tmp_path: Path) -> None:
    clips = list(found("crema_d", tmp_path).values())
    assert [(c.person, c.transcript) for c in clips] == [
        ("1001", "It's eleven o'clock."),
        ("1091", "We'll stop in a couple of minutes."),
    ]


def test_a_folder_with_and_without_a_manifest(tmp_path: Path) -> None:
    clips = found("folder", tmp_path)
    assert list(clips) == ["a/one.mp4", "two.webm"]
    assert clips["two.webm"].person == "two.webm"
    table = "file,person,split,language\ntwo.webm,p2,validation,de\n"
    (tmp_path / "manifest.csv").write_text(table)
    (clip,) = find_clips(read_description("folder"), tmp_path)
    assert (clip.person, clip.split, clip.language) == ("p2", "validation", "de")
    for bad in ("file,split\ntwo.webm,dev\n", "clip\ntwo.webm\n", "file\n../two.webm\n"):
        (tmp_path / "manifest.csv").write_text(bad)
        with pytest.raises(InputError, match=r"manifest\.csv"):
            find_clips(read_description("folder"), tmp_path)


def test_a_folder_of_links_to_clips_elsewhere(tmp_path: Path) -> None:
    data, elsewhere = tmp_path / "data", tmp_path / "elsewhere"
    data.mkdir()
    found("folder", elsewhere)
    (data / "one.mp4").symlink_to(elsewhere / "a" / "one.mp4")
    (data / "manifest.csv").write_text("file,person\none.mp4,p1\n")
    (clip,) = find_clips(read_description("folder"), data)
    assert (clip.name, clip.person) == ("one.mp4", "p1")


def test_persons_by_a_pattern(tmp_path: Path) -> None:
    grow(tmp_path, {"p1_a.mp4": "", "p1_b.mp4": "", "p2_a.mp4": ""})
    clips = find_clips(read_description("folder", person=r"(p\d)_"), tmp_path)
    assert [clip.person for clip in clips] == ["p1", "p1", "p2"]
    with pytest.raises(SettingsError, match="group"):
        read_description("folder", person="p")
    with pytest.raises(SettingsError, match="no data set"):
        read_description("lrs4")


def clip(person: str, number: int, split: str | None = None) -> Clip:
    name = f"{person}_{number}.mp4"
    return Clip(name, Path(name), person, split)  # type: ignore[arg-type]


def test_drawn_splits_hold_when_clips_are_added() -> None:
    description = read_description("folder", validation=0.2, test=0.2)
    before = [clip(f"p{p}", n) for p in range(200) for n in range(2)]
    after = [*before, *(clip(f"q{p}", 0) for p in range(50))]
    first, _ = assign_splits(before, description, seed=0)
    splits = {c.person: split for c, split in first}
    assert len({(c.person, split) for c, split in first}) == 200
    counts = {split: list(splits.values()).count(split) for split in splits.values()}
    assert 25 < counts["validation"] < 55
    assert 25 < counts["test"] < 55
    again, _ = assign_splits(after, description, seed=0)
    assert all(splits.get(c.person, split) == split for c, split in again)
    other, _ = assign_splits(before, description, seed=1)
    assert {c.person: split for c, split in other} != splits


def test_a_person_published_in_two_splits_is_used_in_the_one_held_out() -> None:
    clips = [clip("a", 0, "train"), clip("a", 1, "test"), clip("b", 0, "train")]
    usable, barred = assign_splits(clips, read_description("lrw"), seed=0)
    assert [(c.name, split) for c, split in usable] == [("a_1.mp4", "test"), ("b_0.mp4", "train")]
    assert [c.name for c in barred] == ["a_0.mp4"]


def test_validation_drawn_from_the_training_split_takes_all_clips_along() -> None:
    description = read_description("lrs3", validation_of_train=0.5)
    clips = [clip(f"p{p}", n, "train") for p in range(20) for n in range(2)]
    usable, barred = assign_splits(clips, description, seed=0)
    assert not barred
    assert len({(c.person, split) for c, split in usable}) == 20
    assert {split for _, split in usable} == {"train", "validation"}
