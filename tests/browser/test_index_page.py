"""A prepared index in the browser: grid, thresholds, faces, export."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.browser.conftest import Served, serving


@pytest.fixture(scope="module")
def address(index: Path, served: Served) -> Iterator[str]:
    with serving(index, "--store", served.store) as address:
        yield address


@pytest.fixture
def grid(page: Page, address: str) -> Page:
    page.goto(address)
    page.get_by_role("status").get_by_text("24 of 24 clips survive").wait_for()
    return page


def survive(page: Page, many: int) -> None:
    expect(page.locator(".survive [role=status]")).to_have_text(f"{many} of 24 clips survive")


def test_thresholds_say_how_many_survive(grid: Page) -> None:
    grid.get_by_label("Least of face_px").fill("10.005")
    survive(grid, 13)
    grid.get_by_label("Greatest of face_px").focus()
    for _ in range(3):
        grid.keyboard.press("PageDown")
    expect(grid.locator(".grid li")).not_to_have_count(13)
    grid.get_by_role("button", name="Reset").click()
    survive(grid, 24)


def test_a_clip_shows_its_faces(grid: Page) -> None:
    grid.get_by_role("button", name="talk_3.mp4").click()
    clip = grid.get_by_role("complementary", name="Clip")
    expect(clip.get_by_role("img", name="Frames 0 to 59 of 60")).to_be_visible()
    expect(clip).to_contain_text("p3")


def test_the_chosen_rows_are_exported(grid: Page, tmp_path: Path) -> None:
    grid.get_by_label("Least of face_px").fill("20.01")
    survive(grid, 3)
    with grid.expect_download() as download:
        grid.get_by_role("link", name="Export as an index").click()
    download.value.save_as(tmp_path / "chosen.parquet")
    chosen = pq.read_table(tmp_path / "chosen.parquet")
    assert chosen["face_px"].to_pylist() == [21, 22, 23]


def test_screen_readers_find_nothing_wrong(grid: Page) -> None:
    grid.get_by_role("button", name="talk_0.mp4").click()
    grid.get_by_role("img", name="Middle frame of the clip").wait_for()
    found = Axe().run(grid, options={"preload": False}).response["violations"]
    assert not [(broken["id"], broken["nodes"]) for broken in found]
