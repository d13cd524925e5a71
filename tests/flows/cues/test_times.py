"""Times of cue sheets. The frames were counted by hand, from SMPTE 12M's rules."""

from fractions import Fraction

import pytest

from flows.cues.times import Clock, read_time
from stores.media.timecode import usual_rate
from tests.media_factory import NTSC

FILM, VIDEO, DOUBLE = NTSC["23.976"], NTSC["29.97"], NTSC["59.94"]
PAL = Fraction(25)

LABELS = [
    (FILM, "00:00:00:00", 0),
    (FILM, "00:00:01:00", 24),
    (FILM, "00:01:00:12", 1452),  # 60 * 24 + 12; nothing is left out at this rate
    (FILM, "01:00:00:23", 86423),
    (PAL, "00:00:12:10", 310),
    (PAL, "0:59:59:24", 89999),
    (VIDEO, "00:00:59:29", 1799),
    (VIDEO, "00:01:00:00", 1800),  # without drop, labels run on
    (VIDEO, "00:00:59;29", 1799),
    (VIDEO, "00:01:00;02", 1800),  # ;00 and ;01 are left out
    (VIDEO, "00:09:59;29", 17981),  # 9 minutes have lost 18 labels
    (VIDEO, "00:10:00;00", 17982),  # the tenth minute loses none
    (VIDEO, "01:00:00;00", 107892),
    (DOUBLE, "00:00:59;59", 3599),
    (DOUBLE, "00:01:00;04", 3600),
    (DOUBLE, "00:10:00;00", 35964),
    (DOUBLE, "00:00:01:30", 90),
]


@pytest.mark.parametrize(("rate", "label", "frame"), LABELS)
def test_a_label_is_the_time_of_its_frame(rate: Fraction, label: str, frame: int) -> None:
    assert read_time(label, Clock(rate)) * rate == frame


@pytest.mark.parametrize(
    ("given", "seconds"),
    [
        *(("12.5", "12.5"), ("12,5", "12.5"), (7, "7"), (0.1, "0.1"), ("0:00:07", "7")),
        *(("1:02:03.250", "3723.25"), ("00:01:02,040", "62.04"), (" 2:05.5 ", "125.5")),
    ],
)
def test_seconds_are_exact(given: object, seconds: str) -> None:
    assert read_time(given, Clock(PAL)) == Fraction(seconds)


def test_labels_count_from_that_of_the_first_frame() -> None:
    clock = Clock(PAL, first="10:00:00:00")
    assert read_time("10:00:02:05", clock) == Fraction(55, 25)
    with pytest.raises(ValueError, match="before the first frame, whose label is 10:00:00:00"):
        read_time("09:59:59:24", clock)


@pytest.mark.parametrize(
    ("rate", "given"),
    [
        *((PAL, "00:00:00:25"), (PAL, "00:00:00;10"), (FILM, "00:00:00;10")),
        *((VIDEO, "00:01:00;01"), (DOUBLE, "00:11:00;03"), (Fraction(27, 2), "00:00:00:05")),
        *((PAL, "nan"), (PAL, float("nan")), (PAL, "-1"), (PAL, ""), (PAL, None), (PAL, True)),
        *((PAL, "1:99:00"), (PAL, float("inf")), (PAL, "ten")),
    ],
)
def test_what_is_no_time_is_refused(rate: Fraction, given: object) -> None:
    with pytest.raises(ValueError, match=r"no time|no SMPTE label"):
        read_time(given, Clock(rate))


def test_measured_rates_are_taken_for_those_that_have_labels() -> None:
    assert usual_rate(Fraction(29970, 1000)) == VIDEO
    assert usual_rate(Fraction(23976, 1000)) == FILM
    assert usual_rate(Fraction(25001, 1000)) == PAL
    assert usual_rate(Fraction(274, 10)) == Fraction(274, 10)
