"""What axe-core finds wrong for screen readers, contrast included."""

from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.browser.conftest import Press, Served, shows


def faults(page: Page) -> list[str]:
    """Each rule that is broken, and where."""
    found: dict[str, Any] = Axe().run(page, options={"preload": False}).response
    return [
        f"{broken['id']}: {node['target']} {node['failureSummary']}"
        for broken in found["violations"]
        for node in broken["nodes"]
    ]


@pytest.mark.parametrize("scheme", ["dark", "light"])
def test_a_run_in_either_colours(page: Page, served: Served, scheme: Any) -> None:
    page.emulate_media(color_scheme=scheme)
    page.goto(f"{served.address}#/run/{served.run}/5")
    shows(page, 5)
    assert page.evaluate("document.documentElement.dataset.theme") == scheme
    page.keyboard.press("1")
    assert not faults(page)
    page.get_by_role("tab", name="Artifacts").click()
    page.locator("artifact-tree button", has_text="landmarks").click()
    expect(page.get_by_role("complementary", name="landmarks")).to_contain_text("float32")
    assert not faults(page)


def test_redo_palette_and_keys(opened: Page, press: Press) -> None:
    press("r")
    opened.get_by_label("Method", exact=True).wait_for(timeout=120_000)
    for group in opened.locator(".redo details").all():
        group.evaluate("group => group.open = true")
    assert not faults(opened)
    press("Control+k")
    assert not faults(opened)
    press("Escape ?")
    assert not faults(opened)


def test_the_list_of_runs(page: Page, served: Served) -> None:
    page.goto(f"{served.address}#/home")
    page.get_by_role("table").wait_for()
    assert not faults(page)
