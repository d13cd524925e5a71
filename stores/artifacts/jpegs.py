"""Pictures kept as JPEG, one for each row, in Zarr arrays of bytes: a tenth of the size of pixels.

The group `name` says the shape of the whole (`shape`, `dimension_names`), how many rows a piece has
(`rows_of_a_piece`) and `"encoding": "jpeg"`. Its arrays `000000`, `000001`, … hold the files one
behind the other; their attribute `bytes_of_rows` says how long each is. A black row takes none.
"""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import zarr
from jaxtyping import UInt8

Pictures = UInt8[np.ndarray, "row y x 3"]
"""RGB."""
_Bytes = UInt8[np.ndarray, " byte"]

_KEPT_BYTES = 64 << 20
"""Of compressed pictures in memory, for each array that is open."""


def jpeg_layout(dims: Sequence[str], shape: Sequence[int], rows: int) -> dict[str, Any]:
    """Attributes of the group that holds pictures.

    Args:
        dims: Names of the dimensions.
        shape: (row, y, x, 3).
        rows: Of a piece.
    """
    return {
        "encoding": "jpeg",
        "shape": [int(size) for size in shape],
        "dimension_names": list(dims),
        "rows_of_a_piece": rows,
    }


def to_jpegs(pictures: Pictures, quality: int) -> tuple[_Bytes, dict[str, Any]]:
    """Compress the rows of a piece: their bytes, and the attributes that say where each begins."""
    how = [cv2.IMWRITE_JPEG_QUALITY, quality]
    how += [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    files = [
        cv2.imencode(".jpg", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), how)[1]
        if rgb.any()
        else np.zeros(0, np.uint8)
        for rgb in pictures
    ]
    sizes = [len(file) for file in files]
    # An array without any bytes would have no file.
    return np.concatenate(files if any(sizes) else [np.zeros(1, np.uint8)]), {
        "bytes_of_rows": sizes
    }


class JpegRows:
    """Rows of pictures in an open group.

    Pieces that were read stay in memory, compressed, for those who take single rows here and there.
    Who reads on, several rows at a time, does not come back: pieces that lie behind are forgotten.
    """

    def __init__(self, group: zarr.Group) -> None:
        self._group = group
        told: dict[str, Any] = dict(group.attrs)
        self._shape: tuple[int, ...] = tuple(told["shape"])
        self._rows: int = told["rows_of_a_piece"]
        self._pieces: OrderedDict[int, list[_Bytes]] = OrderedDict()
        self._next = 0

    def __getitem__(self, rows: slice) -> Pictures:
        start, stop, _ = rows.indices(self._shape[0])
        if start == self._next and stop > start + 1:
            for number in tuple(self._pieces):  # other threads may read as well
                if number < start // self._rows:
                    self._pieces.pop(number, None)
        self._next = stop
        out = np.zeros((max(0, stop - start), *self._shape[1:]), np.uint8)
        for place, row in enumerate(range(start, stop)):
            number, within = divmod(row, self._rows)
            file = self._piece(number)[within]
            if len(file):
                cv2.cvtColor(_decoded(file), cv2.COLOR_BGR2RGB, dst=out[place])
        return out

    def _piece(self, number: int) -> list[_Bytes]:
        found = self._pieces.get(number)
        if found is None:
            array = self._group[f"{number:06d}"]
            assert isinstance(array, zarr.Array)
            sizes: Any = array.attrs["bytes_of_rows"]
            data, ends = np.asarray(array[:], np.uint8), np.cumsum(sizes).tolist()
            found = [data[end - size : end] for size, end in zip(sizes, ends, strict=True)]
            self._pieces[number] = found
            held = sum(file.nbytes for piece in tuple(self._pieces.values()) for file in piece)
            while held > _KEPT_BYTES and len(self._pieces) > 1:
                held -= sum(file.nbytes for file in self._pieces.popitem(last=False)[1])
        return found


def _decoded(file: _Bytes) -> UInt8[np.ndarray, "y x 3"]:
    picture = cv2.imdecode(file, cv2.IMREAD_COLOR)
    if picture is None:
        raise ValueError("a JPEG can't be decoded")
    return np.asarray(picture, np.uint8)
