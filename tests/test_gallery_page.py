"""The gallery: a page of what each stage makes, by one script."""

import importlib.util
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.flows.conftest import shared_store
from tests.test_links import broken

__all__ = ["shared_store"]
pytestmark = [pytest.mark.dub, pytest.mark.long]


def test_the_gallery_shows_every_stage(tmp_path: Path, shared_store: Path) -> None:
    spec = importlib.util.spec_from_file_location("gallery", ROOT / "docs" / "gallery.py")
    assert spec is not None and spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    page = script.make_gallery(tmp_path / "made", store=str(shared_store), seconds=1.0)
    text = page.read_text()
    for kind in ("timeline", "track", "landmarks", "motion", "render", "composite", "dubbed"):
        assert f"![{kind}]({kind}.png)" in text
        assert (page.parent / f"{kind}.png").stat().st_size > 3000
    assert broken(page) == []
