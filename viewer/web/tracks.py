"""Numbers along the rows."""

from typing import Any

from viewer.web.run import RunView


def track_list(run: RunView) -> list[dict[str, Any]]:
    return []
