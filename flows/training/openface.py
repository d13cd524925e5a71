"""Action units as OpenFace 2 writes them: one CSV a clip, a row a frame."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from flows.csv_rows import csv_rows
from models.ganimation.action_units import UNITS
from stores.errors import InputError

COLUMNS = tuple(f"AU{unit:02d}_r" for unit in UNITS)
_MOST = 5.0
"""OpenFace's highest intensity."""


def openface_units(path: Path, *, frames: int) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Intensities (frame, 17) in 0..1 of a clip, and where OpenFace found the face (frame,).

    Args:
        path: The CSV; its rows say their `frame`, counted from 1, and `success` (if told) 1 or 0.
        frames: Of the clip.

    Raises:
        InputError: there is no such file, a column is missing, or it is of another clip.
    """
    try:
        rows = csv_rows(path)
    except OSError:
        raise InputError(
            f"there is no {path}; run OpenFace's FeatureExtraction -aus on each clip, into a "
            "folder, and set openface to it"
        ) from None
    units, known = np.zeros((frames, len(UNITS)), np.float32), np.zeros(frames, bool)
    named = rows[0] if rows else {}
    if missing := [name for name in ("frame", *COLUMNS) if name not in named]:
        raise InputError(f"{path} has no column {', '.join(missing)}; run OpenFace with -aus")
    for number, row in enumerate(rows, 2):
        try:
            frame = int(str(row["frame"])) - 1
            found = [float(str(row[name])) for name in COLUMNS]
            sure = float(str(row.get("success", 1)))
        except ValueError:
            raise InputError(f"{path}, line {number}: a cell is no number; write it anew") from None
        if not 0 <= frame < frames:
            raise InputError(f"{path}, line {number}: frame {frame + 1} of {frames}; other clip?")
        units[frame] = np.clip(np.array(found) / _MOST, 0, 1)
        known[frame] = sure > 0
    return units, known
