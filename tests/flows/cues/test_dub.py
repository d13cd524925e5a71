"""Dubs by a cue sheet: what is seen and heard where, and what another take computes again."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from flows.dub import dub
from flows.dub_report import DubReport
from flows.settings import DubSettings
from stores.errors import InputError, SettingsError
from stores.media.audio import decode_audio
from tests.flows.conftest import FRAMES, computed, cut_wav
from tests.flows.test_dub import luma
from tests.media_factory import EXAMPLE

pytestmark = [pytest.mark.dub, pytest.mark.long]

Make = Callable[..., DubSettings]
JFK = EXAMPLE.with_name("jfk.wav")


@pytest.fixture
def by_sheet(settings: Make, tmp_path: Path) -> Callable[..., DubSettings]:
    """Settings of a dub of `talk` by a sheet with these rows."""

    def make(*rows: str, **changes: Any) -> DubSettings:
        sheet = tmp_path / "sheet.csv"
        sheet.write_text("start,end,face,speech,offset,gain_db\n" + "\n".join(rows))
        cues = {"sheet": sheet} | changes.pop("cues", {})
        return settings(audio=None, cues=cues, **{"sound": {"audio_codec": "flac"}} | changes)

    return make


@pytest.fixture
def takes(tmp_path: Path) -> Iterator[None]:
    """a.wav, b.wav and c.wav of 0.6 s, each with other speech."""
    for name, start in (("a", 0.3), ("b", 1.2), ("c", 2.2)):
        cut_wav(JFK, tmp_path, start, start + 0.6).rename(tmp_path / f"{name}.wav")
    return None


def packets(path: Path) -> dict[int, bytes]:
    """Each frame's packet, by its time."""
    with av.open(str(path)) as container:
        found = (p for p in container.demux(video=0) if p.pts is not None)
        return {int(p.pts): bytes(p) for p in found}


def test_one_speech_is_the_sheet_of_one_row(
    by_sheet: Make, settings: Make, speech: Path, tmp_path: Path
) -> None:
    plain = dub(settings(output=tmp_path / "plain.mp4", origin={"mark": False}))
    sheet = by_sheet(
        f"0,2.4,,{speech}",
        output=tmp_path / "sheet.mp4",
        origin={"mark": False},
        sound={"audio_codec": "aac"},
    )
    report = dub(sheet)
    assert not computed(report) and (plain.cues, len(report.cues)) == ([], 1)
    assert (tmp_path / "sheet.mp4").read_bytes() == (tmp_path / "plain.mp4").read_bytes()


@pytest.mark.usefixtures("takes")
def test_cues_are_heard_to_the_sample_and_seen_where_they_are(
    by_sheet: Make, talk: Path, tmp_path: Path
) -> None:
    report = dub(
        by_sheet(
            "0.4,1.0,,a.wav,,-6",
            "1.6,1.9,track:0,b.wav,0.1,",
            output=tmp_path / "out.mov",
            sound={"audio_codec": "pcm"},
            origin={"mark": False},
            encode={"crf": 0},
        )
    )
    one, two = report.cues
    assert (one.frames, two.frames) == ((10, 25), (40, 47)), "1.9 s is in the middle of frame 47"
    assert (one.over_seconds, two.over_seconds) == (0, 0.2)
    assert any("row 2" in note and "0.20 s are over" in note for note in report.notes)
    heard = decode_audio(tmp_path / "out.mov", rate=None)[:, 0]
    wanted = np.zeros(round(2.4 * 16000), np.float32)
    a, b = (decode_audio(tmp_path / f"{name}.wav")[:, 0] for name in "ab")
    wanted[6400:16000] += a[:9600] * np.float32(10 ** (-6 / 20))
    wanted[25600:30400] += b[1600:6400]
    np.testing.assert_allclose(heard, wanted, atol=2**-23)
    before, after = luma(talk), luma(tmp_path / "out.mov")
    same = [bool((x == y).all()) for x, y in zip(before, after, strict=True)]
    assert not any(same[10:25]) and not any(same[40:47])
    assert all(same[:7]) and all(same[28:37]) and all(same[50:])
    assert report.no_face_ranges == [(0, 7), (28, 37), (50, FRAMES)]


@pytest.mark.usefixtures("takes")
def test_another_take_changes_the_parts_that_it_touches(by_sheet: Make, tmp_path: Path) -> None:
    rows = ["0.0,0.6,,a.wav", "0.6,1.2,,b.wav", "1.6,2.2,,c.wav"]
    first = dub(by_sheet(*rows))
    assert first.changed_ranges is None
    before = packets(tmp_path / "out.mp4")
    rows[2] = "1.6,2.2,,a.wav"
    again = dub(by_sheet(*rows, output=tmp_path / "new.mp4"))
    after = packets(tmp_path / "new.mp4")
    step = sorted(before)[1]
    changed = {pts // step for pts in before if before[pts] != after[pts]}
    assert before.keys() == after.keys() and changed and changed <= set(range(37, 58))
    assert computed(again) <= {
        *("waveform", "mel", "speech_features", "motion", "lenders", "render"),
        *("composite", "voices", "dubbed"),
    }
    assert [s.role for s in again.stages if s.name == "render" and s.computed] == ["row 3"]
    redone = dub(by_sheet(*rows))
    assert redone.changed_ranges == [(37, 58)]
    assert packets(tmp_path / "out.mp4") == after


@pytest.mark.usefixtures("takes")
def test_gaps_are_closed_and_speech_is_made_faster(by_sheet: Make, tmp_path: Path) -> None:
    report = dub(by_sheet("0.6,1.1,,a.wav", cues={"gaps": "closed", "fit": "stretch:1.15"}))
    assert report.no_face_ranges == [], "the mouth is made anew in every frame"
    (cue,) = report.cues
    assert cue.stretch == 1.15 and cue.over_seconds == pytest.approx(0.6 / 1.15 - 0.5, abs=1e-3)


def test_odd_sheets_are_refused_before_any_work(
    by_sheet: Make, speech: Path, tmp_path: Path
) -> None:
    store = str(tmp_path / "none yet")
    for rows, what in (
        (("0,1,otto,x.wav",), r"row 1, column face.*row 1, column speech"),
        ((f"0,9,,{speech}",), r"row 1, column end: 9 s is beyond the end at 2\.4"),
    ):
        with pytest.raises(InputError, match=what):
            dub(by_sheet(*rows, store=store))
        assert not (Path(store) / "timeline").exists()
    with pytest.raises(SettingsError, match="--sync-mode loop can't be used with a cue sheet"):
        dub(by_sheet(f"0,1,,{speech}", sync={"mode": "loop"}))
    with pytest.raises(InputError, match=r"row 1, column face: --face track:7"):
        dub(by_sheet(f"0,1,track:7,{speech}"))
    with pytest.raises(InputError, match=r"row 2, column face: largest is the same person"):
        dub(by_sheet(f"0,1,track:0,{speech}", f"0.5,2,largest,{speech}"))


def test_a_bed_lies_under_the_speech(settings: Make, speech: Path, tmp_path: Path) -> None:
    made = settings(
        bed=JFK, output=tmp_path / "out.mov", sound={"audio_codec": "pcm"}, origin={"mark": False}
    )
    report: DubReport = dub(made)
    heard = decode_audio(report.output)[:, 0]
    voice, bed = decode_audio(speech)[:, 0], decode_audio(JFK)[: len(heard), 0]
    wanted = np.clip(bed + np.pad(voice, (0, len(heard) - len(voice))), -1, 1)
    np.testing.assert_allclose(heard, wanted, atol=2**-22)
