"""A sheet of emotions: templates by upper faces, the same frame of the same dub in each cell.

    python -m benchmarks.emotions VIDEO... --store FOLDER -o SHEET.png [--template NAME]...
        [--set weights.dnet=FILE]... [--speech FILE] [--at SECONDS]

A row a person and template (neutral, smile, person, or a picture), a column an upper face; the
first column is the video as it is. A cell stays grey where weights are missing or a template can't
be had with these; why is printed.
"""

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.command import command_parser
from benchmarks.sources import SPEECH
from flows.dub import dub
from flows.presets import nested
from flows.seen import see
from flows.settings import read_settings
from models.faces.tracks import face_boxes
from models.video_retalking.settings import UpperFace
from stores.artifacts.source import Source
from stores.artifacts.store import Store
from stores.errors import DubflowError
from stores.media.read import read_frames
from stores.media.scanning import scan
from tasks.engine.open_run import open_run
from viewer.gallery import tiled

Picture = NDArray[np.uint8]

TEMPLATES = ("neutral", "smile", "person")
CELL_PX, CAPTION_PX = 224, 24
_MARGIN = 0.5
"""Around the face, as a share of its box."""


def frame_at(video: Path, row: int) -> Picture:
    """RGB."""
    (frame,) = read_frames(video, scan(video), row, row + 1)
    return frame.rgb().copy()


def cell(picture: Picture | None, box: Sequence[int], caption: str) -> Picture:
    """The face with words below it; grey where there is none."""
    tile = np.full((CELL_PX + CAPTION_PX, CELL_PX, 3), 128, np.uint8)
    if picture is not None:
        x0, y0, x1, y1 = box
        tile[:CELL_PX] = cv2.resize(picture[y0:y1, x0:x1], (CELL_PX, CELL_PX))
    tile[CELL_PX:] = 255
    cv2.putText(tile, caption, (4, CELL_PX + 17), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (0, 0, 0), 1)
    return tile


def face_square(video: Path, row: int, store: str) -> list[int]:
    """x0, y0, x1, y1 of a square around the face, within the frame [px]."""
    with open_run(Store(store)):
        seen = see(Source.of(video))
        (mesh,) = seen.landmarks.read("landmarks", row, row + 1)
    height, width = frame_at(video, row).shape[:2]
    x0, y0, x1, y1 = face_boxes(mesh[None])[0]
    side = min((1 + _MARGIN) * max(x1 - x0, y1 - y0), width, height)
    left = np.clip((x0 + x1 - side) / 2, 0, width - side)
    top = np.clip((y0 + y1 - side) / 2, 0, height - side)
    return np.round([left, top, left + side, top + side]).astype(int).tolist()


def dubbed_frame(
    video: Path, row: int, changes: dict[str, Any], *, speech: Path, store: str
) -> Picture:
    """A frame of a dub up to it, with these settings of the method.

    Raises:
        DubflowError: it can't be dubbed so.
    """
    with tempfile.TemporaryDirectory() as folder:
        given = {
            "video": video,
            "audio": speech,
            "output": Path(folder) / "dub.mp4",
            "store": store,
            "method": "video_retalking",
            "method_settings": changes,
            "encode": {"crf": 0},
            "sync": {"end_seconds": (row + 1.5) / float(scan(video).video.rate)},
        }
        report = dub(read_settings(None, [], given))
        return frame_at(report.output, row)


def main() -> None:
    parser = command_parser(__doc__)
    parser.add_argument("videos", type=Path, nargs="+")
    parser.add_argument("--store", required=True)
    parser.add_argument("-o", dest="sheet", type=Path, required=True)
    parser.add_argument("--template", action="append", help="also: a picture; default: all named")
    parser.add_argument("--set", dest="changes", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--speech", type=Path, default=SPEECH)
    parser.add_argument("--at", type=float, default=1.0, help="of the frame that is shown [s]")
    chosen = parser.parse_args()
    options = nested(chosen.changes, example="weights.dnet=FILE")
    uppers, cells = get_args(UpperFace), []
    for video in chosen.videos:
        row = int(chosen.at * float(scan(video).video.rate))
        box = face_square(video, row, chosen.store)
        for template in chosen.template or TEMPLATES:
            cells.append(cell(frame_at(video, row), box, f"{video.stem[:14]} as it is"))
            for upper in uppers:
                made, caption = None, f"{Path(template).stem[:12]}, {upper}"
                changes = options | {"template": template, "upper_face": upper}
                try:
                    made = dubbed_frame(
                        video, row, changes, speech=chosen.speech, store=chosen.store
                    )
                except DubflowError as error:
                    print(f"{video.name}, {caption}: {error}", file=sys.stderr)
                cells.append(cell(made, box, caption))
    sheet = tiled(cells, columns=1 + len(uppers))
    cv2.imwrite(str(chosen.sheet), np.ascontiguousarray(sheet[..., ::-1]))


if __name__ == "__main__":
    main()
