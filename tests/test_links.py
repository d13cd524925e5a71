"""Links in the pages lead somewhere: to files of the project, and to headings that are there."""

import re
from collections import Counter
from pathlib import Path

import pytest

from tests.conftest import ROOT

PAGES = sorted(
    path
    for pattern in ("*.md", "docs/**/*.md", "examples/*.md", "models/**/*.md", "findings/*.md")
    for path in ROOT.glob(pattern)
)
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_FENCE = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)
_AWAY = ("http://", "https://", "mailto:")


def anchors(page: Path) -> set[str]:
    """Of a page's headings, as GitHub makes them."""
    made: Counter[str] = Counter()
    found = set()
    for heading in re.findall(r"^#+ (.+)$", _FENCE.sub("", page.read_text()), re.MULTILINE):
        slug = re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")
        found.add(f"{slug}-{made[slug]}" if made[slug] else slug)
        made[slug] += 1
    return found


def broken(page: Path) -> list[str]:
    """Links of a page that lead nowhere."""
    lost = []
    for link in _LINK.findall(_FENCE.sub("", page.read_text())):
        if link.startswith(_AWAY):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        there = target.exists()
        if not there or (anchor and anchor not in anchors(target)):
            lost.append(link)
    return lost


@pytest.mark.parametrize("page", [pytest.param(p, id=str(p.relative_to(ROOT))) for p in PAGES])
def test_links_lead_somewhere(page: Path) -> None:
    assert broken(page) == []


def test_every_page_of_the_guide_is_linked_from_another() -> None:
    linked = {
        (page.parent / link.partition("#")[0]).resolve()
        for page in PAGES
        for link in _LINK.findall(page.read_text())
    }
    assert not [p for p in PAGES if p.parent.name in ("docs", "methods") and p not in linked]


def test_a_broken_link_is_noticed(tmp_path: Path) -> None:
    page = ROOT / "docs" / "dub.md"
    assert len(anchors(page)) >= 6
    (tmp_path / "page.md").write_text("# One\n[a](none.md) [b](#one) [c](#two) [d](https://x.y)")
    assert broken(tmp_path / "page.md") == ["none.md", "#two"]
