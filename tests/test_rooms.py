"""The picture of the rooms in docs/ is that of the imports as they are."""

import runpy
from pathlib import Path

DOCS = Path(__file__).parents[1] / "docs"


def test_the_picture_shows_the_imports_of_today() -> None:
    rooms = runpy.run_path(str(DOCS / "rooms.py"))
    drawn = rooms["drawing"](rooms["arrows"]())
    assert drawn == (DOCS / "rooms.svg").read_text(), "run: python docs/rooms.py"


def test_arrows_that_follow_from_others_are_left_out() -> None:
    rooms = runpy.run_path(str(DOCS / "rooms.py"))
    every = {("a", "b"), ("b", "c"), ("a", "c"), ("a", "d")}
    assert rooms["reduced"](every) == every - {("a", "c")}
    assert rooms["levels"](every) == [["a"], ["b", "d"], ["c"]]
