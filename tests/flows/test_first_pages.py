"""The first pages, typed along in an empty folder, end to end."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.conftest import ROOT

pytestmark = [pytest.mark.dub, pytest.mark.long]

MADE = {
    "batch": ("one.mp4", "out-a.mp4", "out-b.mp4", "rows.report.parquet", "job.yaml", "later.mp4"),
    "prepare": ("clips/anna_02.mp4", "index.parquet", "strict.parquet"),
    "inspect": ("who.png", "talk.en.mp4", "run.png", "motion.png"),
}
TOLD = {
    "batch": ("takes about ", "2 done before", "is there already, queued", "keeps "),
    "prepare": ("2 clips", "nothing, all came from the store"),
    "inspect": ("track:0", "── talk.mp4 ", "used by lenders"),
}
"""What the reader finds in the folder, and on the screen."""


@pytest.mark.parametrize("page", sorted(MADE))
def test_a_first_page_can_be_typed_along(page: str, tmp_path: Path) -> None:
    text = (ROOT / "docs" / f"start_{page}.md").read_text()
    script = "\n".join(re.findall(r"^```sh\n(.*?)^```$", text, re.DOTALL | re.MULTILINE))
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("DUBFLOW", "PREFECT"))}
    home = {"HOME": str(tmp_path / "home"), "DUBFLOW": str(ROOT), "COLUMNS": "120"}
    (tmp_path / "folder").mkdir()
    done = subprocess.run(
        ["bash", "-eu", "-o", "pipefail", "-c", script],
        cwd=tmp_path / "folder",
        env={**kept, **home, "XDG_CACHE_HOME": str(tmp_path / "cache")},
        capture_output=True,
        text=True,
        timeout=900,
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert not [name for name in MADE[page] if not (tmp_path / "folder" / name).stat().st_size]
    assert not [words for words in TOLD[page] if words not in said], said
