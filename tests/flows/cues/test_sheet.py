"""Cue sheets: what each form says, and that wrong ones are told by row and column."""

import json
import shutil
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from flows.cue_settings import CueSettings
from flows.cues.sheet import Cue, read_sheet
from flows.cues.times import Clock
from stores.errors import InputError, ManyFaults
from tests.flows.conftest import cut_wav
from tests.media_factory import EXAMPLE

CLOCK = Clock(Fraction(25))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with speech: a.wav, b.wav, and takes/ with numbers 1, 2 and 10."""
    one = cut_wav(EXAMPLE.with_name("jfk.wav"), tmp_path, 0.3, 1.3)
    (tmp_path / "takes").mkdir()
    for name in ("a.wav", "b.wav", "takes/001_anna.wav", "takes/2.wav", "takes/take-10.wav"):
        shutil.copy(one, tmp_path / name)
    return tmp_path


def read(path: Path, text: str, **changes: Any) -> list[Cue]:
    path.write_text(text)
    settings = CueSettings.model_validate({"sheet": path} | changes)
    return read_sheet(settings, CLOCK, face="largest", seconds=10.0)


def test_csv_with_a_table_of_faces(folder: Path) -> None:
    text = (
        "# anna: track:0,,,\n# bo: 640,300@12.5\nstart,end,face,speech,gain_db,text\n"
        '1.5,00:00:02:10,anna,a.wav,-3,"Yes, no"\n0:00:02.4,4,bo,b.wav,,\n4,5,,b.wav,,\n'
    )
    one, two, three = read(folder / "s.csv", text)
    assert (one.start, one.end) == (Fraction(3, 2), Fraction(60, 25))
    assert (one.face, one.name, one.gain_db, one.text) == ("track:0", "anna", -3, "Yes, no")
    assert one.speech == folder / "a.wav"
    assert (two.face, two.start, two.gain_db) == ("640,300@12.5", Fraction(12, 5), 0)
    assert (three.row, three.face) == (3, "largest")


def test_csv_of_a_spreadsheet_and_json_say_the_same(folder: Path) -> None:
    head = "Start;End;Face;Speech;Offset;Take\n"
    (sheet,) = read(folder / "s.csv", head + "1,5;2,5;track:1;takes;0,25;1\n")
    row = {"start": 1.5, "end": 2.5, "face": "x", "speech": "takes", "offset": 0.25, "take": 1}
    (given,) = read(folder / "s.json", json.dumps({"faces": {"x": "track:1"}, "cues": [row]}))
    assert given == Cue(**{**sheet.__dict__, "name": "x"})
    assert sheet.speech == folder / "takes" / "001_anna.wav"
    assert sheet.offset == Fraction(1, 4)


def test_subtitles_take_numbered_files(folder: Path) -> None:
    faces = {"Anna": "track:0", "Bo": "track:1"}
    srt = (
        "1\n00:00:01,000 --> 00:00:02,000\nAnna: Well\n\n10\n00:00:02,000 --> 00:00:03,000\nSo: no"
    )
    one, two = read(folder / "s.srt", srt, takes=folder / "takes", faces=faces)
    assert (one.face, one.name, one.text) == ("track:0", "Anna", "Anna: Well")
    assert (two.face, two.take, two.speech.name) == ("largest", "10", "take-10.wav")
    vtt = "WEBVTT\n\nNOTE none\n\n00:01.000 --> 00:02.000 align:start\n<v Bo>Well</v>\n"
    (third,) = read(folder / "s.vtt", vtt, takes=folder / "takes", faces=faces)
    assert (third.face, third.text, third.speech.name) == ("track:1", "Well", "001_anna.wav")


HEAD = "start,end,face,speech,offset,gain_db,take\n"
GOOD = "1,2,track:0,a.wav,,,\n"


@pytest.mark.parametrize(
    ("rows", "where", "what"),
    [
        ("", "", "no row"),
        (GOOD + "1.5,3,track:0,b.wav,,,\n", "row 2, column start", "row 1 of the same face"),
        (GOOD + "9,12,track:0,b.wav,,,\n", "row 2, column end", "beyond the end at 10.000 s"),
        (GOOD + "3,2.5,track:0,b.wav,,,\n", "row 2, column end", "not after the start"),
        (GOOD + "3,4,otto,b.wav,,,\n", "row 2, column face", "'otto' names no face"),
        (GOOD + "3,4,track:0,c.wav,,,\n", "row 2, column speech", "no such file"),
        (GOOD + "3,4,track:0,,,,\n", "row 2, column speech", "no speech"),
        (GOOD + "3,4,track:0,takes,,,7\n", "row 2, column take", "no take 7"),
        (GOOD + "3,4,track:0,takes,,,\n", "row 2, column take", "a folder"),
        (GOOD + "nan,4,track:0,b.wav,,,\n", "row 2, column start", "'nan' is no time"),
        (GOOD + "3,00:00:04:25,track:0,b.wav,,,\n", "row 2, column end", "no SMPTE label"),
        (GOOD + "3,4,track:0,b.wav,5,,\n", "row 2, column offset", "lasts 1.00 s only"),
        (GOOD + "3,4,track:0,b.wav,,nan,\n", "row 2, column gain_db", "no gain"),
        (GOOD + "3,4,track:0,s.csv,,,\n", "row 2, column speech", "not a media file"),
        (GOOD + "3,4,track:0,b.wav,,,,9\n", "row 2", "more cells"),
    ],
)
def test_a_wrong_sheet_is_told_in_one_line(folder: Path, rows: str, where: str, what: str) -> None:
    with pytest.raises(InputError) as error:
        read(folder / "s.csv", HEAD + rows)
    told = str(error.value)
    assert "\n" not in told and where in told and what in told


def test_all_faults_are_told_and_other_files_refused(folder: Path) -> None:
    with pytest.raises(ManyFaults) as error:
        read(
            folder / "s.csv",
            "begin,end,face,speech,start\n1,x,,a.wav,\n,12,track:0,c.wav,9\n,10,track:0,a.wav,9.5\n",
        )
    told = [fault.removeprefix(f"{folder / 's.csv'}: ") for fault in error.value.faults]
    assert [fault.split(":")[0] for fault in told] == [
        *("column begin", "row 1, column start", "row 1, column end"),
        *("row 2, column speech", "row 2, column end", "row 3, column start"),
    ]
    assert "beyond the end at 10.000 s" in told[4] and "where row 2 of the same face" in told[5]
    with pytest.raises(InputError, match=r"a cue sheet is \.csv, \.json"):
        read(folder / "s.xls", "")
    with pytest.raises(InputError, match="can't be read"):
        read(folder / "s.json", "{")
    with pytest.raises(InputError, match="no row"):
        read(folder / "s.srt", "", takes=folder / "takes")
    with pytest.raises(InputError, match="no such cue sheet"):
        settings = CueSettings(sheet=folder / "none.csv")
        read_sheet(settings, CLOCK, face="largest", seconds=None)
