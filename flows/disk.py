"""What a dub will take on the disk, told before it is made."""

import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from flows.cues.lines import cues_of
from flows.cues.sound import speech_files
from flows.dub_inputs import files_of
from flows.settings import DubSettings
from models.exemplar.settings import CropSettings
from stores.artifacts.source import Source
from stores.artifacts.store import Store
from stores.media.glance import glance
from stores.media.source import probe
from stores.overview import Overview
from tasks.source.faces import DETECTION_SIDE_PX
from tasks.source.mesh_detector import FaceMeshDetector, FrameView

_GLANCES = 5
_FRAME_BYTES = 12_000
"""Of meshes and tables, for each frame."""
_CROP_SIDE = 1.2
"""Of the square that is cut out, in widths of the face."""
_MAX_CROP_PX = CropSettings().max_size
"""Of that square, for a face of any size."""
_PICTURE_BYTES = 0.9
"""Of the crop and the new mouth together, for each px of that square."""
_ENCODED_BYTES = 0.04
"""Of the encoded picture at quality 17, for each px of a frame; half as much 6 steps further."""
_STILL_RATE = 25.0
"""Frames per second of a dubbed picture."""
_SOUND_BYTES = 130_000
"""Of a sound and its features, for each second."""


@dataclass(frozen=True)
class DiskNeed:
    """Estimated bytes: within a factor of two for most videos.

    Attributes:
        store: That the artifacts of the dub take, those that are there already among them.
        stored: How much of that is there already, at most: what was made of these files alone, not
            all of which need be of the same settings.
        output: That the dubbed file takes.
        free: Where the store lies; None where that is not known.
    """

    store: int
    stored: int
    output: int
    free: int | None


def disk_need(settings: DubSettings) -> DiskNeed:
    """Look at a few frames of the video, and at what the store has of the same files.

    Raises:
        MediaError: video or speech can't be read.
    """
    frames, width, height, face = _seen(settings.video)
    seconds = probe(settings.video).seconds or 0.0
    speech = sum(probe(path).seconds or 0.0 for path in speech_files(cues_of(settings)))
    rate = frames / seconds if seconds else _STILL_RATE
    out_seconds = _output_seconds(settings, seconds, speech)
    encoded = _ENCODED_BYTES * width * height * 2 ** ((17 - settings.encode.crf) / 6)
    picture = _FRAME_BYTES + _PICTURE_BYTES * min(_CROP_SIDE * face, _MAX_CROP_PX) ** 2
    output = out_seconds * (rate * encoded + _SOUND_BYTES / 5)
    store = max(frames, out_seconds * rate) * picture + output + out_seconds * rate * encoded
    store += _SOUND_BYTES * (seconds + speech)
    opened = Store(settings.store)
    stored = min(round(store), stored_bytes(opened, files_of(settings)))
    return DiskNeed(round(store), stored, round(output), _free(opened))


def _output_seconds(settings: DubSettings, video: float, speech: float) -> float:
    """Length of the output, as far as headers tell."""
    sync = settings.sync
    if not video:
        return speech
    taken = max(0.0, min(video, sync.end_seconds or video) - (sync.start_seconds or 0.0))
    lengths = {"silence": taken, "cut_off": min(taken, speech)}
    return lengths.get(sync.mode, speech)


def _seen(video: Path) -> tuple[int, int, int, float]:
    """Frames, their size, and the width of the widest face [px], 0 if none is seen."""
    detector, widths, count = FaceMeshDetector(max_faces=1), [0.0], 1
    width = height = 0
    try:
        for frame in glance(video, _GLANCES):
            view = FrameView(frame, DETECTION_SIDE_PX)
            count, width, height = frame.index + 1, frame.width, frame.height
            detector.reset()
            found, _ = detector.detect(view)
            widths += [float(np.ptp(mesh[:, 0])) * width / view.width for mesh in found]
    finally:
        detector.close()
    return count, width, height, max(widths)


def stored_bytes(store: Store, files: Iterable[Path]) -> int:
    """Of the artifacts that were made of none but these files.

    Raises:
        MediaError: one of them can't be read.
    """
    overview, keys = Overview.of(store), {Source.of(f).key for f in files if f.is_file()}
    made_of = {item: overview.source_keys(item) for item in overview.rows}
    return overview.size(item for item, used in made_of.items() if used and used <= keys)


def _free(store: Store) -> int | None:
    if "://" in store.url:
        return None
    folder = Path(store.url)
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free
