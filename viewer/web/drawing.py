"""Draws one artifact, for `dubflow inspect`: python -m viewer.web.drawing"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from stores.artifacts.store import Store
from viewer.drawings.draw import draw
from viewer.web.child import run


def drawn(request: dict[str, Any], tell: Callable[[int, int], None]) -> dict[str, Any]:
    """Draw `kind`, `key` of `store` into `target`.

    Raises:
        DubflowError: there is no drawing of that kind.
    """
    store = Store(request["store"])
    draw(store, store.get(request["kind"], request["key"]), Path(request["target"]))
    return {}


if __name__ == "__main__":
    run(drawn)
