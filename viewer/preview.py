"""Draw an artifact: a contact sheet, a plot, or a video.

crops, render            the pictures, landmarks drawn over crops
faces, landmarks         the meshes, on black
face_fit                 picture, render, render in the picture, and errors over time
dubbed                   frames of the file
mel                      as a picture
waveform                 its envelope
timeline                 time between frames, and cuts
motion, path             mouth opening against the speech's loudness
"""

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from models.speech_to_lips.neutral import opening
from stores.artifacts.artifact import Artifact
from stores.artifacts.store import Store
from stores.errors import SettingsError
from viewer.gallery import tiled

Image = NDArray[np.uint8]

SHEET_PICTURES = 48
SHEET_COLUMNS = 8
PICTURE_PX = 160
VIDEO_RATE = 25


def draw(store: Store, artifact: Artifact, target: Path) -> None:
    """Draw `artifact` into a .png or .mp4 file.

    Raises:
        SettingsError: the suffix is another, this kind has no such drawing, or the file can't be
            written.
    """
    suffix = target.suffix.lower()
    if suffix not in (".png", ".mp4"):
        raise SettingsError(f"--preview {target}: name it .png or .mp4")
    if not os.access(target.parent, os.W_OK):
        raise SettingsError(f"--preview {target}: nothing can be written there; name another place")
    pictures, plot = _PICTURES.get(artifact.kind), _PLOTS.get(artifact.kind)
    if pictures is not None:
        count = _picture_count(artifact)
        if suffix == ".png":
            rows = _spread(count)
            _write_sheet(rows, pictures(store, artifact, rows), target)
        else:
            _write_video(pictures(store, artifact, range(count)), target)
    elif plot is not None and suffix == ".png":
        _write_plot(plot, store, artifact, target)
    elif plot is not None:
        raise SettingsError(f"--preview {target}: {artifact.kind} is drawn as .png only")
    else:
        known = ", ".join(sorted({*_PICTURES, *_PLOTS}))
        raise SettingsError(f"there is no preview of {artifact.kind}; there is one of {known}")


Draw = Callable[[Store, Artifact, Sequence[int]], Iterator[Image]]
"""Pictures of rows in ascending order, one in memory at a time."""


def _picture_count(artifact: Artifact) -> int:
    """How many pictures there are of it."""
    frames = artifact.attributes["frames"] if artifact.kind == "dubbed" else artifact.sizes["frame"]
    return int(frames)


def _crops(store: Store, artifact: Artifact, rows: Sequence[int]) -> Iterator[Image]:
    landmarks = store.get(*artifact.manifest.inputs["landmarks"])
    for row in rows:
        crop = artifact.read("crop", row, row + 1)[0].copy()
        transform = artifact.read("transform", row, row + 1)[0]
        points = landmarks.read("landmarks", row, row + 1)[0, :, :2]
        yield _dotted(crop, points @ transform[:, :2].T + transform[:, 2])


def _render(store: Store, artifact: Artifact, rows: Sequence[int]) -> Iterator[Image]:
    for row in rows:
        patch = artifact.read("patch", row, row + 1)[0].astype(np.float32)
        mask = artifact.read("mask", row, row + 1)[0][..., None] / 255
        yield np.asarray(patch * mask + 32 * (1 - mask), np.uint8)


def _face_fit(store: Store, artifact: Artifact, rows: Sequence[int]) -> Iterator[Image]:
    from viewer.face_fit import fitted_faces

    return fitted_faces(artifact, store.get(*artifact.manifest.inputs["person"]), rows)


def _meshes(store: Store, artifact: Artifact, rows: Sequence[int]) -> Iterator[Image]:
    valid_box = artifact.read("landmarks", 0, 256)[..., :2].reshape(-1, 2)
    seen = valid_box[valid_box.any(axis=1)]
    low, high = (seen.min(0), seen.max(0)) if len(seen) else (np.zeros(2), np.ones(2))
    scale = 0.8 * PICTURE_PX / max(float((high - low).max()), 1.0)
    for row in rows:
        points = artifact.read("landmarks", row, row + 1)[0].reshape(-1, 3)[:, :2]
        canvas = np.zeros((PICTURE_PX, PICTURE_PX, 3), np.uint8)
        points = points[points.any(axis=1)]
        yield _dotted(canvas, (points - low) * scale + 0.1 * PICTURE_PX)


def _dubbed(store: Store, artifact: Artifact, rows: Sequence[int]) -> Iterator[Image]:
    wanted = set(rows)
    with av.open(str(artifact.file(artifact.attributes["file"]))) as container:
        for row, frame in enumerate(container.decode(video=0)):
            if row in wanted:
                yield _fitted(np.asarray(frame.to_ndarray(format="rgb24"), np.uint8))


def _dotted(picture: Image, points: NDArray[np.floating[Any]]) -> Image:
    for x, y in points:
        cv2.circle(picture, (round(float(x)), round(float(y))), 0, (90, 255, 140), -1)
    return picture


def _fitted(picture: Image) -> Image:
    height, width = picture.shape[:2]
    scale = PICTURE_PX / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)


def _spread(count: int) -> list[int]:
    return [int(row) for row in np.linspace(0, count - 1, min(count, SHEET_PICTURES))]


def _write_sheet(rows: Sequence[int], pictures: Iterator[Image], target: Path) -> None:
    cells = []
    for row, picture in zip(rows, pictures, strict=True):
        cell = np.zeros((PICTURE_PX, PICTURE_PX, 3), np.uint8)
        small = _fitted(picture)
        cell[: small.shape[0], : small.shape[1]] = small
        cv2.putText(cell, str(row), (3, 12), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (255, 255, 0), 1)
        cells.append(cell)
    sheet = tiled(cells, columns=SHEET_COLUMNS)
    cv2.imwrite(str(target), cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))


def _write_video(pictures: Iterator[Image], target: Path) -> None:
    with av.open(str(target), "w") as container:
        stream = container.add_stream("libx264", rate=VIDEO_RATE)
        stream.pix_fmt = "yuv420p"
        for number, picture in enumerate(pictures):
            if not number:
                # libx264 refuses odd sides
                stream.height, stream.width = (side - side % 2 for side in picture.shape[:2])
            cut = np.ascontiguousarray(picture[: stream.height, : stream.width])
            frame = av.VideoFrame.from_ndarray(cut, format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def _write_plot(
    plot: Callable[[Any, Store, Artifact], None], store: Store, artifact: Artifact, target: Path
) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 4), layout="constrained")
    axes = figure.add_subplot()
    plot(axes, store, artifact)
    axes.set_title(f"{artifact.kind} {artifact.key[:12]}")
    figure.savefig(target, dpi=100)


def _plot_mel(axes: Any, store: Store, artifact: Artifact) -> None:
    mel = artifact.read("mel", 0, 80 * 60)
    axes.imshow(mel.T, origin="lower", aspect="auto", extent=(0, len(mel) / 80, 0, 80))
    axes.set(xlabel="time [s]", ylabel="mel band")


def _plot_waveform(axes: Any, store: Store, artifact: Artifact) -> None:
    samples, rate = artifact.read("sample"), artifact.attributes["rate_hz"]
    step = max(1, len(samples) // 4000)
    blocks = samples[: len(samples) // step * step].reshape(-1, step)
    times = np.arange(len(blocks)) * step / rate
    axes.fill_between(times, blocks.min(1), blocks.max(1), linewidth=0.2)
    axes.set(xlabel="time [s]", ylabel="amplitude", ylim=(-1, 1))


def _plot_timeline(axes: Any, store: Store, artifact: Artifact) -> None:
    video = artifact.attributes["video"]
    tick = video["time_base_num"] / video["time_base_den"]
    times = artifact.read("pts") * tick
    axes.plot(times[1:], np.diff(times) * 1000, ".-", linewidth=0.5, markersize=2)
    for cut in times[artifact.read("scene_start")][1:]:
        axes.axvline(cut, color="tab:red", linewidth=0.8)
    axes.set(xlabel="time [s]", ylabel="to the next frame [ms]; cuts in red", ylim=(0, None))


def _plot_motion(axes: Any, store: Store, artifact: Artifact) -> None:
    inputs = artifact.manifest.inputs
    frames, clip = store.get(*inputs["output_frames"]), store.get(*inputs["timeline"])
    video = clip.attributes["video"]
    times = frames.read("pts") * (video["time_base_num"] / video["time_base_den"])
    axes.plot(times, 100 * opening(artifact.read("mouth")), label="asked for by the speech")
    axes.set(xlabel="time [s]", ylabel="mouth opening [% of face height]", ylim=(0, None))
    mel = store.get(*inputs["mel"]).read("mel")
    loud = axes.twinx()
    loud.plot(np.arange(len(mel)) / 80, mel.mean(1), color="tab:orange", linewidth=0.6, alpha=0.7)
    loud.set(ylabel="mean log-mel of the speech", ylim=(-4, 4))
    axes.legend(loc="upper right")


def _plot_lenders(axes: Any, store: Store, artifact: Artifact) -> None:
    axes.plot(artifact.read("first"), ".", markersize=2, label="frame that lends its mouth")
    axes.set(xlabel="output frame", ylabel="source frame")
    axes.legend(loc="upper right")


_PICTURES: dict[str, Draw] = {
    "crops": _crops,
    "render": _render,
    "faces": _meshes,
    "landmarks": _meshes,
    "face_fit": _face_fit,
    "dubbed": _dubbed,
}
_PLOTS: dict[str, Callable[[Any, Store, Artifact], None]] = {
    "mel": _plot_mel,
    "waveform": _plot_waveform,
    "timeline": _plot_timeline,
    "motion": _plot_motion,
    "lenders": _plot_lenders,
}

DRAWN = frozenset({*_PICTURES, *_PLOTS})
"""Kinds that there is a drawing of."""
