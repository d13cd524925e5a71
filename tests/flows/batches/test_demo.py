"""A real server, a real worker, and a scheduled run that it picks up."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from flows.batches.demo import ROWS, demo_batch
from flows.batches.report import State
from stores.media.scanning import scan


def _screenshot(page: str, target: Path) -> None:
    """Of a page, by Debian's chromium, where it is installed."""
    browser = shutil.which("chromium")
    if browser is None:
        return
    command = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
    command += ["--window-size=1400,1600", "--virtual-time-budget=15000"]
    subprocess.run(
        [*command, f"--screenshot={target}", page], capture_output=True, timeout=180, check=True
    )
    assert target.stat().st_size > 10_000


@pytest.mark.slow
def test_a_scheduled_batch_is_picked_up_and_finished(tmp_path: Path) -> None:
    named = os.environ.get("DUBFLOW_CLIPS")
    shots = Path(os.environ.get("DUBFLOW_SCREENSHOTS") or tmp_path)

    def look(page: str) -> None:
        _screenshot(page, shots / "run.png")
        server = page.split("/runs/")[0]
        _screenshot(f"{server}/artifacts/key/row-1", shots / "row.png")
        _screenshot(f"{server}/artifacts/key/rows", shots / "rows.png")

    done = demo_batch(tmp_path / "demo", clips=Path(named) if named else None, look=look)
    assert done.state == "COMPLETED"
    assert [row.state for row in done.rows] == [State.DONE] * ROWS
    for row in done.rows:
        assert len(scan(Path(row.output))) == row.frames > 0
