"""Timecode of the first frame: read from wherever it stands, carried on to a later frame."""

from fractions import Fraction
from pathlib import Path

import pytest

from stores.media.scanning import scan
from stores.media.timecode import advanced
from tests.media_factory import NTSC, make_video
from tests.stores.media.test_mux import rewrite


@pytest.mark.parametrize(
    ("timecode", "frames", "rate", "expected"),
    [
        ("01:00:00:00", 0, Fraction(25), "01:00:00:00"),
        ("10:59:59:24", 1, Fraction(25), "11:00:00:00"),
        ("23:59:59:24", 26, Fraction(25), "00:00:01:00"),
        ("01:00:00:00", 24, NTSC["23.976"], "01:00:01:00"),
        ("00:00:59;29", 1, NTSC["29.97"], "00:01:00;02"),
        ("00:09:59;29", 1, NTSC["29.97"], "00:10:00;00"),
        ("00:00:59;59", 1, NTSC["59.94"], "00:01:00;04"),
        ("00:00:00;00", 107892, NTSC["29.97"], "01:00:00;00"),
        ("00:00:00:29", 0, Fraction(25), ""),
        ("24:00:00:00", 0, Fraction(25), ""),
        ("00:00:00;00", 0, Fraction(25), ""),
        ("00:00:00;00", 0, Fraction(30), ""),
        ("soon", 0, Fraction(25), ""),
        ("", 0, Fraction(25), ""),
    ],
)
def test_a_label_moves_on(timecode: str, frames: int, rate: Fraction, expected: str) -> None:
    assert advanced(timecode, float(frames / rate), rate) == expected


def test_drop_frame_leaves_out_two_labels_a_minute_but_for_every_tenth() -> None:
    rate, labels = NTSC["29.97"], []
    for minute in range(21):
        first = 0 if minute % 10 == 0 else 2
        labels += [f"00:{minute:02}:{n // 30:02};{n % 30:02}" for n in range(first, 1800)]
    for number in range(0, len(labels), 7):
        assert advanced("00:00:00;00", float(number / rate), rate) == labels[number]
        assert advanced(labels[number], 0.0, rate) == labels[number]


@pytest.mark.parametrize("suffix", [".mov", ".mp4", ".mkv", ".mxf"])
@pytest.mark.parametrize("target", [".mov", ".mp4", ".mkv"])
def test_a_file_keeps_its_timecode(tmp_path: Path, suffix: str, target: str) -> None:
    source = make_video(
        tmp_path / f"a{suffix}",
        frames=10,
        codec="mpeg2video" if suffix == ".mxf" else "libx264",
        metadata={"timecode": "10:00:00:05"},
    )
    before = scan(source)
    assert before.timecode == "10:00:00:05"
    assert "timecode" not in {key.lower() for key in before.metadata}
    _, after = rewrite(source, tmp_path / f"b{target}", metadata={"timecode": before.timecode})
    assert after.timecode == "10:00:00:05"
