"""Manifests in every format say the same; what is wrong with one is said before work starts."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from flows.batches.manifest import Row, examine_manifest, read_manifest
from stores.errors import InputError, SettingsError

CELLS: list[dict[str, Any]] = [
    {
        "video": "a.mp4",
        "audio": "x.wav",
        "output": "out/a.mp4",
        "face": "track:1",
        "audio_track": 2,
        "encode.crf": 20,
    },
    {"video": "/clips/b.mp4", "audio": "y.wav", "output": "b.mp4", "sync.mode": "cut_off"},
]
DEFAULTS = {"store": "store"}


def write(folder: Path, kind: str, cells: list[dict[str, Any]]) -> Path:
    path = folder / f"manifest.{kind}"
    columns = list(dict.fromkeys(name for row in cells for name in row))
    if kind == "csv":
        lines = [",".join(columns)]
        lines += [",".join(str(row.get(name, "")) for name in columns) for row in cells]
        path.write_text("\ufeff" + "\n".join(lines) + "\n")
    elif kind == "parquet":
        pq.write_table(pa.table({name: [row.get(name) for row in cells] for name in columns}), path)
    elif kind == "jsonl":
        path.write_text("\n".join(json.dumps(row) for row in cells) + "\n\n")
    else:
        path.write_text(yaml.safe_dump(cells))
    return path


@pytest.mark.parametrize("kind", ["csv", "parquet", "jsonl", "yaml"])
def test_every_format_gives_the_same_rows(kind: str, tmp_path: Path) -> None:
    first, second = read_manifest(write(tmp_path, kind, CELLS), DEFAULTS)
    assert isinstance(first, Row)
    assert (first.number, second.number) == (1, 2)
    assert first.settings.video == tmp_path / "a.mp4"
    assert first.settings.output == tmp_path / "out" / "a.mp4"
    assert first.settings.face == "track:1"
    assert first.settings.encode.crf == 20
    assert (first.settings.audio_track, second.settings.audio_track) == ("2", "default")
    assert second.settings.video == Path("/clips/b.mp4")
    assert second.settings.sync.mode == "cut_off"
    assert second.settings.face == "largest"


@pytest.mark.parametrize("mark", ["", "\ufeff"], ids=["plain", "byte order mark"])
@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_csv_of_any_spreadsheet(separator: str, mark: str, tmp_path: Path) -> None:
    lines = ["video, audio ,output,encode.crf", "a.mp4,x.wav,out.mp4,20", "b.mp4,x.wav,b.mov,"]
    path = tmp_path / "rows.csv"
    path.write_text(mark + "\r\n".join(lines).replace(",", separator), newline="")
    first, second = read_manifest(path, DEFAULTS)
    assert first.settings.video == tmp_path / "a.mp4"
    assert first.settings.audio == tmp_path / "x.wav"
    assert first.settings.encode.crf == 20
    assert second.settings.output == tmp_path / "b.mov"


@pytest.mark.parametrize("kind", ["jsonl", "yaml"])
def test_a_byte_order_mark_is_no_content(kind: str, tmp_path: Path) -> None:
    path = write(tmp_path, kind, CELLS)
    path.write_text("\ufeff" + path.read_text())
    assert len(read_manifest(path, DEFAULTS)) == 2


@pytest.mark.parametrize("name", ["007", "1e3", "12:30", "true", "no", "[a]", "~", "2024-01-01"])
@pytest.mark.parametrize("kind", ["csv", "yaml"])
def test_names_of_files_are_text(kind: str, name: str, tmp_path: Path) -> None:
    path = tmp_path / f"rows.{kind}"
    if kind == "csv":
        path.write_text(f"video,audio,output\n{name},x.wav,{name}.mp4\n")
    elif name == "[a]":
        pytest.skip("a list in YAML, unless it stands in quotes")
    else:
        path.write_text(f"- video: {name}\n  audio: x.wav\n  output: {name}.mp4\n")
    (row,) = read_manifest(path, DEFAULTS)
    assert row.settings.video == tmp_path / name
    assert row.settings.output == tmp_path / f"{name}.mp4"


def test_a_row_comes_before_the_defaults(tmp_path: Path) -> None:
    path = write(tmp_path, "yaml", CELLS)
    first, second = read_manifest(path, DEFAULTS | {"encode": {"crf": 30}, "face": "track:2"})
    assert (first.settings.encode.crf, first.settings.face) == (20, "track:1")
    assert (second.settings.encode.crf, second.settings.face) == (30, "track:2")


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ([{"video": "a.mp4", "audio": "x.wav"}], "row 1: no output"),
        ([CELLS[0], {**CELLS[1], "tone": 1}], "row 2: tone"),
        ([{**CELLS[0], "sync.mode": "sometimes"}], "row 1: sync.mode"),
        ([{**CELLS[0], "method": "neural"}], "row 1: there is no method"),
        ([CELLS[0], CELLS[0]], "2 rows write"),
    ],
)
def test_wrong_settings_refuse_the_manifest_and_name_the_row(
    cells: list[dict[str, Any]], message: str, tmp_path: Path
) -> None:
    with pytest.raises(SettingsError, match=message):
        read_manifest(write(tmp_path, "yaml", cells), DEFAULTS)


def test_a_fault_of_several_rows_is_told_once(tmp_path: Path) -> None:
    rows = [{"video": "a.mp4", "audio": "x.wav", "outptu": f"{i}.mp4"} for i in range(4)]
    rows.insert(2, {"video": "a.mp4", "audio": "x.wav", "output": "right.mp4"})
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    assert examine_manifest(path, DEFAULTS).problems == [
        "rows 1, 2, 4, 5: no output given",
        "rows 1, 2, 4, 5: outptu: there is no such setting (did you mean output?)",
    ]


def test_every_wrong_row_is_named_at_once(tmp_path: Path) -> None:
    cells = [{**CELLS[0], "tone": 1}, CELLS[1], {"audio": "x.wav"}]
    with pytest.raises(SettingsError, match=r"row 1: tone.*; row 3: no video and no output"):
        read_manifest(write(tmp_path, "jsonl", cells), DEFAULTS)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("none.csv", None, "no such file"),
        ("m.txt", "video", "a manifest is .csv"),
        ("m.csv", "video,audio,output\n", "has no row"),
        ("m.jsonl", "{", "can't be read"),
        ("m.yaml", "video: a", "must be a list of rows"),
        ("m.parquet", "text", "can't be read"),
        ("m.csv", "video\0,audio,output\na,b,c\n", "no CSV file|no video"),
        ("m.yaml", "- {1: a, video: v, audio: a, output: o}", "names of settings are text"),
        ("m.csv", "video,audio,output\na,b,c,d\n", "more cells than the manifest has columns"),
    ],
)
def test_what_is_no_manifest(name: str, content: str | None, message: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=message):
        read_manifest(tmp_path / name, DEFAULTS)


def test_a_cue_sheet_stands_for_the_speech(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("video,audio,cues.sheet,output\na.mp4,,007.csv,a.mov\nb.mp4,x.wav,,b.mov\n")
    one, two = read_manifest(path, DEFAULTS)
    assert (one.settings.audio, one.settings.cues.sheet) == (None, tmp_path / "007.csv")
    assert (two.settings.audio, two.settings.cues.sheet) == (tmp_path / "x.wav", None)
    path.write_text("video,audio,cues.sheet,output\na.mp4,x.wav,s.csv,a.mov\n")
    with pytest.raises(SettingsError, match="row 1: give the new speech: either AUDIO or"):
        read_manifest(path, DEFAULTS)
