"""The page's own files: whatever a module asks for is there, and is asked for at once."""

import json
import re
from pathlib import Path

import pytest

from viewer.web.vendor import FOLDER

STATIC = FOLDER.parent
PAGE = (STATIC / "index.html").read_text(encoding="utf-8")
MODULES = sorted(STATIC.glob("*.js"))


def imports(path: Path) -> list[str]:
    text = path.read_text(encoding="utf-8")
    return re.findall(r"""^import [^;]*?["']([^"']+)["'];""", text, re.MULTILINE)


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.name)
def test_imports_are_there(module: Path) -> None:
    known = json.loads(PAGE.partition('"importmap">')[2].partition("</script>")[0])["imports"]
    for name in imports(module):
        own = name.startswith("./")
        path = STATIC / name if own else STATIC / known[name].removeprefix("/static/")
        assert path.is_file(), name


def test_the_page_asks_for_every_module_at_once() -> None:
    asked = set(re.findall(r'"modulepreload" href="/static/([^"]+)"', PAGE))
    scripts = (path for path in STATIC.rglob("*.js") if path.is_file())
    assert asked == {path.relative_to(STATIC).as_posix() for path in scripts}


def test_nothing_is_taken_for_html() -> None:
    forbidden = re.compile(
        r"innerHTML|outerHTML|insertAdjacentHTML|unsafe(HTML|SVG)|style=\"|eval\("
    )
    for path in MODULES:
        assert not forbidden.search(path.read_text(encoding="utf-8")), path.name
