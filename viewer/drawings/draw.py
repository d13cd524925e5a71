"""Draw an artifact: a contact sheet, a plot, or a video.

faces, track             meshes and boxes in the source's frames; the one that is dubbed in green
landmarks                the mesh in the source's frame, close up
crops, render, restored  the pictures, landmarks drawn over crops
visibility               crops in green where the mouth is free, in red where it is hidden; a curve
lenders                  the crops that lend their mouths, and the same plot as of motion
output_frames            the frames that are shown, and when
composite                before, after, four times their difference, and the mask
face_fit                 picture, render, render in the picture, and errors over time
dubbed                   frames of the file
waveform, mel, speech_features   envelope, bands, the channels that vary most
timeline                 how long each frame is shown, keyframes, cuts
speaker                  the closed mouth, and whether the model was adapted
lip_expression           corners of the mouth raised and drawn apart by the face's expression
motion                   mouth opening: asked, lent by the path, drawn, in the source; loudness
anything else            its pictures if it has some, else its first array
"""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

from stores.artifacts.artifact import Artifact
from stores.artifacts.store import Store
from stores.errors import SettingsError
from viewer.drawings.lineage import Image, Lineage
from viewer.drawings.pictures import PICTURES, WIDE, Draw, any_pictures, fitted, frame_count
from viewer.drawings.plots import BESIDE, PLOTS, Plot, anything, dims_of, drawable_array
from viewer.gallery import tiled

SHEET_PICTURES = 48
SHEET_COLUMNS = 8
PICTURE_PX = 160
VIDEO_RATE = 25
_ORDERS = ("rgb", "bgr")


def draw(store: Store, artifact: Artifact, target: Path) -> list[str]:
    """Draw `artifact` into a .png or .mp4 file; gives what is to be known of the drawing.

    Raises:
        SettingsError: the suffix is another, there is nothing to be seen in it, or the file can't
            be written.
    """
    check_target(target, (".png", ".mp4"), option="--preview")
    lineage, suffix = Lineage(store, artifact), target.suffix.lower()
    pictures, plot = pictures_of(artifact), plot_of(artifact)
    if pictures is not None:
        count = frame_count(lineage)
        if suffix == ".mp4":
            _write_video(pictures(lineage, range(count)), target)
        else:
            sheet = sheet_of(lineage, pictures, SHEET_PICTURES)
            if plot is not None:
                sheet = np.vstack([sheet, _plotted(plot, lineage, sheet.shape[1])])
            write_picture(sheet, target)
    elif plot is None:
        raise SettingsError(f"there is nothing to be seen in {artifact.kind}")
    elif suffix == ".mp4":
        raise SettingsError(f"--preview {target}: {artifact.kind} is drawn as .png only")
    else:
        write_picture(_plotted(plot, lineage, SHEET_COLUMNS * PICTURE_PX), target)
    on_source = artifact.kind in ("faces", "track", "landmarks", "output_frames", "composite")
    gone = on_source and lineage.video is None
    return ["the source is not where a run found it: black stands for it"] if gone else []


def check_target(target: Path, suffixes: Sequence[str], *, option: str) -> None:
    """Refuse a file that can't be written.

    Raises:
        SettingsError: naming the option.
    """
    if target.suffix.lower() not in suffixes:
        raise SettingsError(f"{option} {target}: name it {' or '.join(suffixes)}")
    if not os.access(target.parent, os.W_OK):
        raise SettingsError(f"{option} {target}: nothing can be written there; name another place")


def is_drawn(artifact: Artifact) -> bool:
    """Whether there is a drawing of it."""
    return pictures_of(artifact) is not None or plot_of(artifact) is not None


def pictures_of(artifact: Artifact) -> Draw | None:
    """How it is seen frame by frame, if it is."""
    if artifact.kind in PICTURES or artifact.kind in PLOTS:
        return PICTURES.get(artifact.kind)
    for name in artifact.array_names:
        dims = dims_of(artifact, name)
        if len(dims) == 4 and dims[0] == "frame" and dims[-1] in _ORDERS:
            return any_pictures(name, dims[-1])
    return None


def plot_of(artifact: Artifact) -> Plot | None:
    """How it is seen as curves, if it is; of what is seen frame by frame, beside that."""
    known = PLOTS | BESIDE
    if artifact.kind in known or pictures_of(artifact) is not None:
        return known.get(artifact.kind)
    return anything if drawable_array(artifact) is not None else None


def sheet_of(lineage: Lineage, pictures: Draw, most: int) -> Image:
    """Pictures of so many rows, evenly over all, with their numbers."""
    wide = WIDE.get(lineage.artifact.kind, 1)
    count, columns = frame_count(lineage), SHEET_COLUMNS // wide
    shown = min(count, max(1, most // wide))
    rows = [int(row) for row in np.linspace(0, count - 1, shown)]
    cells = []
    for row, picture in zip(rows, pictures(lineage, rows), strict=True):
        cell = np.zeros((PICTURE_PX, wide * PICTURE_PX, 3), np.uint8)
        small = fitted(picture, wide * PICTURE_PX, PICTURE_PX)
        cell[: small.shape[0], : small.shape[1]] = small
        cv2.putText(cell, str(row), (3, 12), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (255, 255, 0), 1)
        cells.append(cell)
    return tiled(cells, columns=columns)


def write_picture(picture: Image, target: Path) -> None:
    """Write (h, w, 3) uint8 RGB.

    Raises:
        SettingsError: it can't be written.
    """
    if not cv2.imwrite(str(target), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)):
        raise SettingsError(f"{target} can't be written")


def _write_video(pictures: Iterator[Image], target: Path) -> None:
    with av.open(str(target), "w") as container:
        stream = container.add_stream("libx264", rate=VIDEO_RATE)
        stream.pix_fmt = "yuv420p"
        for number, picture in enumerate(pictures):
            if not number:
                # libx264 refuses odd sides
                stream.height, stream.width = (side - side % 2 for side in picture.shape[:2])
            elif picture.shape[:2] != (stream.height, stream.width):
                picture = _padded(picture, stream.height, stream.width)
            cut = np.ascontiguousarray(picture[: stream.height, : stream.width])
            frame = av.VideoFrame.from_ndarray(cut, format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def _padded(picture: Image, height: int, width: int) -> Image:
    """The picture as large as it fits, black beside it."""
    canvas = np.zeros((height, width, 3), np.uint8)
    small = fitted(picture, width, height)
    canvas[: small.shape[0], : small.shape[1]] = small
    return canvas


def _plotted(plot: Plot, lineage: Lineage, width: int) -> Image:
    """A plot of that width [px]."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width / 100, 4), layout="constrained")
    canvas: Any = FigureCanvasAgg(figure)
    axes: Any = figure.add_subplot()
    plot(axes, lineage)
    artifact = lineage.artifact
    figure.suptitle(f"{artifact.kind} {artifact.key[:12]}", fontsize=10)
    canvas.draw()
    return np.asarray(np.asarray(canvas.buffer_rgba())[..., :3], np.uint8)
