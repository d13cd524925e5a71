"""Settings of a dub."""

from pathlib import Path

import pytest

from flows.settings import DubSettings


def test_files_are_named_so_that_another_folder_finds_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "anna").mkdir(parents=True)
    for name in ("smile.png", "own.safetensors", "person"):
        (tmp_path / name).touch()
    given = {
        "video": "talk.mp4",
        "output": "out.mp4",
        "cues": {"sheet": "a.csv", "faces": {"anna": "640,300@12.5"}},
        "store": "s3://bucket/store",
        "origin": {"consent": "anna.json", "sign": ["chain.pem", "key.pem"], "label": "own.png"},
        "method_settings": {
            "run": "runs/anna",
            "template": "person",
            "weights": {"dnet": "own.safetensors", "lnet": "vrt_lnet", "gfpgan": "gfpgan_v1.3"},
        },
    }
    found = DubSettings.model_validate(given).absolute()
    assert (found.video, found.output) == (tmp_path / "talk.mp4", tmp_path / "out.mp4")
    assert found.cues.sheet == tmp_path / "a.csv"
    assert found.cues.faces == {"anna": "640,300@12.5"}
    assert found.origin.consent == tmp_path / "anna.json"
    assert found.origin.sign == (tmp_path / "chain.pem", tmp_path / "key.pem")
    assert found.origin.label == "own.png"
    own = str(tmp_path / "own.safetensors")
    assert found.method_settings == {
        "run": str(tmp_path / "runs" / "anna"),
        "template": "person",
        "weights": {"dnet": own, "lnet": "vrt_lnet", "gfpgan": "gfpgan_v1.3"},
    }
    assert found.absolute() == found
