"""One dub in the browser: picture, time, keys, layers, redo."""

import re

import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser.conftest import NAME, Press, Served, row, shows, until
from tests.flows.conftest import FRAMES

LAST = FRAMES - 1


def pressed(page: Page, name: str) -> bool:
    return page.get_by_role("button", name=name, exact=True).get_attribute("aria-pressed") == "true"


def test_names_from_outside_are_text(opened: Page) -> None:
    expect(opened.locator(".crumb h1")).to_have_text(NAME)
    assert opened.locator(".crumb img").count() == 0


def test_frames_are_stepped_and_told(opened: Page, press: Press) -> None:
    press("ArrowRight ArrowRight")
    shows(opened, 2)
    press("Shift+ArrowRight ArrowLeft")
    shows(opened, 11)
    expect(opened.locator("[role=status].heard")).to_have_text("frame 11, 0:00:00.440")
    expect(opened.locator(".pane.at-half")).to_have_text(re.compile(r"Dub\s+row 11"))
    press("Shift+ArrowLeft Shift+ArrowLeft")
    shows(opened, 0)


def test_a_step_asks_for_that_frames_sound(opened: Page, press: Press) -> None:
    with opened.expect_response(lambda answer: "/sound/speech?" in answer.url) as heard:
        press("ArrowRight")
    assert heard.value.ok and heard.value.headers["content-type"].startswith("audio/")


def test_next_frames_are_there_before_they_are_asked_for(opened: Page, press: Press) -> None:
    held = "[...Array(16).keys()].every(i => ['source', 'dub'].every(video =>"
    held += " document.querySelector('run-view').model.frames.picture({video, row: i + 1})))"
    until(opened, held)


@pytest.mark.parametrize(("said", "wanted"), [("31", 31), ("0:00.52", 13), ("1 s", 25)])
def test_going_to_a_frame_or_a_time(opened: Page, press: Press, said: str, wanted: int) -> None:
    press("g")
    opened.get_by_label("Go to a frame or a time").last.fill(said)
    press("Enter")
    shows(opened, wanted)


def test_pointing_at_the_time_line_seeks(opened: Page) -> None:
    plot = opened.locator(".lane.lines .plot").first.bounding_box()
    assert plot
    opened.mouse.click(plot["x"] + plot["width"] * 0.5, plot["y"] + 20)
    shows(opened, FRAMES // 2)
    opened.mouse.move(plot["x"] + plot["width"] * 0.25, plot["y"] + 20)
    opened.keyboard.down("Shift")
    opened.mouse.down()
    opened.mouse.move(plot["x"] + plot["width"] * 0.5, plot["y"] + 20, steps=4)
    opened.mouse.up()
    opened.keyboard.up("Shift")
    expect(opened.locator(".span.mark")).to_contain_text(f"Mark {FRAMES // 4}")


def test_playing_moves_the_cursor_and_stops(opened: Page, press: Press) -> None:
    until(opened, "document.querySelector('run-view').model.player.ready")
    press("Space")
    until(opened, "document.querySelector('run-view').model.cursor.row > 8")
    assert opened.evaluate("document.querySelector('run-view').model.player.byVideo")
    press("k")
    at = row(opened)
    shows(opened, at)
    press("j")
    expect(opened.get_by_role("button", name="Pause")).to_be_visible()
    until(opened, f"document.querySelector('run-view').model.cursor.row < {at}")
    press("k l l")
    expect(opened.locator(".speed")).to_contain_text("2")
    press("Space")
    expect(opened.get_by_role("button", name="Play", exact=True)).to_be_visible()


def unplayable(route: Route) -> None:
    """A run whose file no browser plays."""
    answer = route.fetch()
    facts = answer.json()
    facts["videos"]["dub"]["playable"]["type"] = None
    route.fulfill(response=answer, json=facts)


def test_what_no_browser_plays_is_played_from_a_copy(page: Page, served: Served) -> None:
    page.route(f"**/api/runs/{served.run}", unplayable)
    page.goto(f"{served.address}#/run/{served.run}")
    shows(page, 0)
    with page.expect_response(lambda answer: "/play/dub?type=mp4" in answer.url):
        page.keyboard.press("Space")
    until(page, "document.querySelector('run-view').model.player.ready")
    page.keyboard.press("k")
    page.keyboard.press("Space")
    until(page, "document.querySelector('run-view').model.player.byVideo")
    until(page, "document.querySelector('run-view').model.cursor.row > 4")


def test_frames_play_until_there_is_a_copy(page: Page, served: Served) -> None:
    page.route(f"**/api/runs/{served.run}", unplayable)
    page.route("**/play/**", lambda route: route.fulfill(status=202, json={"progress": 0.4}))
    page.goto(f"{served.address}#/run/{served.run}")
    shows(page, 0)
    page.keyboard.press("Space")
    expect(page.get_by_role("progressbar", name="Preparing to play")).to_be_visible()
    until(page, "document.querySelector('run-view').model.cursor.row > 4")


def test_a_loop_is_kept(opened: Page, press: Press) -> None:
    press("Shift+ArrowRight [ Shift+ArrowRight ]")
    expect(opened.locator(".span.loop")).to_contain_text(re.compile("10.20"))
    seen = opened.evaluate(
        """async () => {
          const { cursor, player } = document.querySelector("run-view").model;
          const seen = [];
          cursor.addEventListener("row", () => seen.push(cursor.row));
          player.play(1);
          while (seen.filter((row, i) => i && row < seen[i - 1]).length < 2)
            await new Promise((next) => setTimeout(next, 50));
          player.pause();
          return [Math.min(...seen), Math.max(...seen)];
        }"""
    )
    assert 10 <= seen[0] <= 12 and 18 <= seen[1] <= 20
    press("Escape")
    expect(opened.locator(".span.loop")).to_have_count(0)


def test_wipe_difference_and_layers(opened: Page, press: Press) -> None:
    press("w")
    assert pressed(opened, "Wipe")
    opened.get_by_label("Place of the wipe").focus()
    press("ArrowRight")
    assert opened.evaluate("document.querySelector('run-view').model.wipe") > 0.5
    press("w d")
    assert pressed(opened, "Difference") and not pressed(opened, "Wipe")
    opened.wait_for_selector("stage-view[data-shown='0']")
    press("d")
    layers = opened.get_by_role("group", name="Layers").get_by_role("button")
    for index in range(layers.count()):
        with opened.expect_response(lambda answer: "/overlays/" in answer.url) as drawn:
            press(str(index + 1))
        assert drawn.value.ok and layers.nth(index).get_attribute("aria-pressed") == "true"
    assert layers.count() >= 5
    press("1")
    assert layers.nth(0).get_attribute("aria-pressed") == "false"


def test_palette_and_keys(opened: Page, press: Press) -> None:
    press("Control+k")
    opened.get_by_role("combobox", name="Command").fill("ten frames on")
    press("Enter")
    shows(opened, 10)
    press("?")
    keys = opened.get_by_role("dialog", name="Keys")
    wanted = {"Space", "←", "→", "Shift←", "Shift→", "CtrlK", *"JKL,.[]WDGMR?12345"}
    there = {text.replace(" ", "") for text in keys.locator("kbd").all_inner_texts()}
    assert wanted <= there
    press("Escape")
    expect(keys).to_be_hidden()


def test_everything_is_reached_by_tab(opened: Page, press: Press) -> None:
    reached = set()
    for _ in range(70):
        press("Tab")
        reached.add(
            opened.evaluate(
                "(at => at.getAttribute('aria-label') ?? at.innerText)(document.activeElement)"
            )
        )
    for name in ("Keys", "Play", "Wipe", "Time cursor", "What is heard"):
        assert any(name in (each or "") for each in reached), name
    assert any("Landmarks" in (each or "") for each in reached)
    assert any("dubbed" in (each or "") for each in reached)


def test_a_stage_opens_its_artifact(opened: Page) -> None:
    opened.get_by_role("navigation", name="Stages").get_by_role("button", name="landmarks").click()
    drawer = opened.get_by_role("complementary", name="landmarks")
    expect(drawer).to_contain_text("float32")
    expect(drawer).to_contain_text("point 478")
    drawer.get_by_role("button", name="timeline").click()
    drawer = opened.get_by_role("complementary", name="timeline")
    expect(drawer.locator(".drawer-body")).to_be_focused()
    drawer.get_by_role("button", name="Close").click()
    expect(
        opened.get_by_role("navigation", name="Stages").get_by_role("button", name="landmarks")
    ).to_be_focused()


def test_a_span_is_redone_and_compared(opened: Page, press: Press, served: Served) -> None:
    press("Shift+ArrowRight m Shift+ArrowRight m r")
    drawer = opened.get_by_role("complementary", name="Redo")
    expect(drawer).to_contain_text(re.compile("frames 10.20"))
    method = drawer.get_by_label("Method", exact=True)
    expect(method).to_have_value("exemplar", timeout=120_000)
    drawer.get_by_text("Blend", exact=True).click()
    drawer.get_by_label("Strength").first.fill("0.5")
    press("Tab")
    expect(drawer).to_contain_text("1 changed")
    drawer.get_by_role("button", name="What would rerun?").click()
    plan = drawer.get_by_role("region", name="What would rerun")
    expect(plan).to_contain_text("stages would run", timeout=120_000)
    expect(plan.locator("li", has_text="landmarks")).to_contain_text("kept")
    drawer.get_by_role("button", name="Run", exact=True).click()
    expect(drawer).to_contain_text("Done", timeout=240_000)
    expect(opened.get_by_label("What is shown")).to_have_value("ab")
    shows(opened, 10)
    expect(opened.locator(".pane.at-half")).to_have_text(re.compile(r"B\s+row 0"))
    press("ArrowLeft")
    expect(opened.locator(".pane.at-half")).to_contain_text("not in this dub")


def test_all_runs_are_listed(page: Page, served: Served) -> None:
    page.goto(f"{served.address}#/home")
    page.get_by_role("link", name=NAME).first.click()
    page.wait_for_selector("stage-view[data-shown]")
    assert page.url.endswith("/" + served.run) or "#/run/" in page.url


def test_a_phone_shows_it(page: Page, served: Served) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(f"{served.address}#/run/{served.run}/12")
    shows(page, 12)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    expect(page.get_by_role("button", name="Play", exact=True)).to_be_in_viewport()


def test_suspects_are_looked_for(opened: Page) -> None:
    opened.get_by_role("button", name="Find suspects").click()
    expect(opened.get_by_label("Class of suspects")).to_be_visible(timeout=240_000)
    expect(opened.locator("time-lanes")).to_contain_text("in the dub")


def test_suspects_are_gone_through(page: Page, served: Served) -> None:
    places = [("Seam", 40, 44, 0.4), ("Seam", 5, 6, 0.3), ("Box jump", 20, 30, 0.9)]
    rows = [
        {"class": title, "title": title, "start": start, "stop": stop, "weight": weight}
        | {"reason": f"because of <b>{start}</b>"}
        for title, start, stop, weight in places
    ]
    found = {"state": "ready", "rows": rows, "not_judged": {"no_teeth": "no clear English"}}
    page.route("**/suspects", lambda route: route.fulfill(json=found))
    page.goto(f"{served.address}#/run/{served.run}")
    shows(page, 0)
    listed = page.locator("suspect-list .suspect")
    expect(listed.first).to_contain_text("Box jump")
    expect(listed.first).to_contain_text("because of <b>20</b>")
    for key, at in [(".", 5), (".", 20), (",", 5), (",", 40)]:
        page.keyboard.press(key)
        shows(page, at)
    expect(listed.nth(1)).to_have_attribute("aria-current", "true")
    page.get_by_label("Class of suspects").select_option("Seam")
    expect(listed).to_have_count(2)
    listed.nth(1).click()
    shows(page, 5)
    expect(page.locator(".span.mark")).to_contain_text(re.compile("5.5"))
    expect(page.locator(".unjudged")).to_contain_text("no teeth")


def test_another_method_brings_its_own_settings(opened: Page, press: Press) -> None:
    press("r")
    drawer = opened.get_by_role("complementary", name="Redo")
    method = drawer.get_by_label("Method", exact=True)
    expect(method).to_have_value("exemplar", timeout=120_000)
    expect(drawer).to_contain_text("Bank limit")
    method.select_option("wav2lip")
    expect(drawer).not_to_contain_text("Bank limit", timeout=120_000)
    expect(drawer).to_contain_text("was exemplar")
