"""What can be drawn over the source's picture."""

from typing import Any

from viewer.web.run import RunView


def overlay_list(run: RunView) -> list[dict[str, Any]]:
    return []
