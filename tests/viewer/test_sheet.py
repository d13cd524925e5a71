"""Contact sheets: frames near those asked for, upright, of any video, at little cost."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from stores.errors import MediaError
from stores.media.glance import glance
from stores.media.read import read_frames
from stores.media.scanning import scan
from tests.media_factory import damage, make_still, make_video, variable_times
from viewer.sheet import contact_sheet

SPARSE = {"g": "50", "keyint_min": "50", "sc_threshold": "0"}


def picture(data: bytes) -> Any:
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)


@pytest.mark.long
@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("one keyframe.mp4", {"frames": 120, "options": {"g": "1000"}}),
        ("some keyframes.mp4", {"frames": 400, "options": SPARSE}),
        ("all keyframes.mp4", {"frames": 100, "options": {"g": "1"}}),
        ("matroska.mkv", {"frames": 200, "options": SPARSE}),
        ("variable.mp4", {"frames": 150, "pts": variable_times(150)}),
        ("short.mp4", {"frames": 9}),
        ("tiny.mp4", {"frames": 3}),
    ],
)
def test_frames_are_near_those_asked_for(name: str, given: dict[str, Any], tmp_path: Path) -> None:
    path = make_video(tmp_path / name, real_faces=True, size=(320, 240), **given)
    clip = scan(path)
    exact = np.linspace(0, len(clip) - 1, min(8, len(clip)))
    frames = list(glance(path, 8))
    found = [frame.index for frame in frames]
    assert len(set(found)) == len(exact)
    near = 0.5 * (exact[1] - exact[0]) if len(clip) > 9 else 0
    assert np.abs(np.array(found) - exact.astype(int)).max() <= near
    assert [frame.pts for frame in frames] == clip.pts[found].tolist()
    for frame in frames:
        (wanted,) = read_frames(path, clip, frame.index, frame.index + 1)
        assert np.abs(frame.rgb().astype(int) - wanted.rgb()).mean() < 3


def test_keyframes_do_where_they_are_near(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make_video(tmp_path / "long.mp4", frames=401, options=SPARSE)

    def read_on(*given: Any) -> Any:
        raise AssertionError("more is decoded than need be")

    monkeypatch.setattr("stores.media.glance._from", read_on)
    assert all(frame.index % 50 == 0 for frame in glance(path, 8))


@pytest.mark.parametrize("rotation", [0, 90, 180])
def test_a_sheet_is_upright_and_of_the_same_size(rotation: int, tmp_path: Path) -> None:
    path = make_video(tmp_path / "turned.mp4", frames=60, size=(320, 240), rotation=rotation)
    width, height = (240, 320) if rotation == 90 else (240, 180)
    assert picture(contact_sheet(path)).shape == (2 * height, 4 * width, 3)


def test_a_still_and_a_sheet_that_is_not_full(tmp_path: Path) -> None:
    assert picture(contact_sheet(make_still(tmp_path / "still.png"))).shape == (180, 240, 3)
    few = make_video(tmp_path / "few.mp4", frames=5)
    assert picture(contact_sheet(few)).shape == (360, 960, 3)


def test_what_cannot_be_read_is_said(tmp_path: Path) -> None:
    path = make_video(tmp_path / "video.mp4", frames=60)
    with pytest.raises(MediaError):
        contact_sheet(damage(path, tmp_path / "cut.mp4", kind="truncate", seed=1))
    with pytest.raises(MediaError):
        contact_sheet(tmp_path / "missing.mp4")
