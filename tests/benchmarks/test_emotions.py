"""The sheet of emotions: a cell a template and upper face, grey where one can't be had."""

import sys
from pathlib import Path

import cv2
import pytest

from benchmarks import emotions
from tests.media_factory import make_video


@pytest.mark.long
@pytest.mark.dub
def test_a_sheet_has_a_cell_for_each_emotion(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    video = make_video(tmp_path / "talk.mp4", frames=5, size=(400, 300), real_faces=True)
    sheet = tmp_path / "sheet.png"
    given = [str(video), "--store", str(tmp_path / "store"), "-o", str(sheet), "--at", "0.1"]
    monkeypatch.setattr(sys, "argv", ["emotions", *given, "--template", "neutral"])
    monkeypatch.setattr(emotions, "dubbed_frame", darker_unless_sad)
    emotions.main()
    picture = cv2.imread(str(sheet))
    assert picture is not None
    height, width = emotions.CELL_PX + emotions.CAPTION_PX, emotions.CELL_PX
    assert picture.shape == (height, 5 * width, 3)
    own, neutral, sad, angry, _ = (picture[:width, i * width :][:, :width] for i in range(5))
    assert own.std() > 20 and abs(own.mean() / 2 - neutral.mean()) < 1
    assert (neutral == angry).all() and (sad == 128).all()
    assert "neutral, sad: no weights" in capsys.readouterr().err


def darker_unless_sad(
    video: Path, row: int, changes: dict[str, str], **_: object
) -> emotions.Picture:
    if changes["upper_face"] == "sad":
        raise emotions.DubflowError("no weights")
    return emotions.frame_at(video, row) // 2
