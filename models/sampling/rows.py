"""Some of many rows."""

import numpy as np
from jaxtyping import Int64


def spread(rows: Int64[np.ndarray, " all"], count: int) -> Int64[np.ndarray, " some"]:
    """At most so many of the rows, evenly."""
    return rows[np.linspace(0, len(rows) - 1, min(count, len(rows))).astype(np.int64)]
