"""The exemplar method's own stages: which frames lend their mouth, and the mouths made of them."""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.exemplar.bank import bank_runs
from models.exemplar.lenders import Bank, choose_donors
from models.exemplar.render import MouthRenderer, canonical_to_crop, mix_donors, mouth_displacement
from models.exemplar.settings import LenderSettings, RenderSettings
from models.faces.crop.crop import to_crop
from models.faces.crop.rendered import SHIFT_GRID
from models.faces.occlusion import mouth_interior, opacity
from stores.artifacts.artifact import Artifact
from stores.artifacts.schema import ArraySpec, Schema
from stores.errors import SettingsError
from tasks.engine.stage import Blocks, Made, Plan, Shard, stage
from tasks.result.output_frames import scene_starts
from tasks.result.render import RENDER, render_rows
from tasks.source.crops import CROPS
from tasks.source.landmarks import LANDMARKS, load_pose, mean_face
from tasks.source.timeline import load_timeline

LENDERS = Schema(
    "lenders",
    {
        "first": ArraySpec(("frame",), "int32", "", "source frame that lends its mouth"),
        "second": ArraySpec(("frame",), "int32", "", "cross-faded with this one"),
        "weight": ArraySpec(("frame",), "float32", "", "share of the second, 0..1"),
        "opacity": ArraySpec(("frame",), "float32", "", "0: left as it is, 1: mouth made anew"),
    },
    {},
    "A way through the speaker's own frames, one row per output frame.",
)


@stage(LENDERS, version=2)
def lenders(
    motion: Artifact,
    landmarks: Artifact,
    *,
    crops: Artifact,
    visibility: Artifact,
    timeline: Artifact,
    output_frames: Artifact,
    settings: LenderSettings,
    render: RenderSettings,
    exclude_within_s: float | None = None,
) -> Made:
    """Choose the source frame that lends its mouth to each output frame.

    Raises:
        SettingsError: `exclude_within_s` leaves some frame without a lender.
    """
    clip = load_timeline(timeline)
    source = output_frames.read("source_frame")
    free = visibility.read("free")
    donors = np.flatnonzero(crops.read("in_bank") & free).astype(np.int32)
    count = len(source)
    if len(donors) == 0:
        nothing = np.zeros(count, np.int32)
        none = np.zeros(count, np.float32)
        return Made({"first": nothing, "second": nothing, "weight": none, "opacity": none})
    pose = load_pose(landmarks)
    bank = Bank(
        mouth=landmarks.read("mouth")[donors],
        pose=pose.at(donors),
        time_s=clip.seconds[donors],
        run=bank_runs(donors, clip.scene_start),
        quality=visibility.read("quality")[donors],
        interior=mouth_interior(crops.read("look")[donors], mean_face()),
    )
    scene_start = scene_starts(clip.scene_start, source)
    try:
        rows = choose_donors(
            motion.read("mouth"),
            bank,
            target_pose=pose.at(source),
            scene_start=scene_start,
            neutral=motion.read("neutral"),
            settings=settings,
            target_time_s=clip.seconds[source],
            exclude_within_s=exclude_within_s,
        )
    except ValueError as error:
        raise SettingsError(f"exclude_within_s: {error}") from error
    mix = mix_donors(rows, bank.run, scene_start=scene_start, fade_frames=render.fade_frames)
    shown = opacity(free[source], scene_start=scene_start, fade_frames=render.occlusion_fade_frames)
    return Made(
        {
            "first": donors[mix.first],
            "second": donors[mix.second],
            "weight": mix.weight,
            "opacity": shown,
        },
        {"bank_frames": len(donors)},
    )


def _plan_render(lenders: Artifact, motion: Artifact, crops: Artifact) -> Plan:
    size = int(crops.attributes["crop_size_px"])
    return Plan(sizes={"y": size, "x": size}, attributes={"notes": _notes(lenders, motion)})


def _notes(lenders: Artifact, motion: Artifact) -> list[str]:
    notes = list(motion.attributes.get("notes", []))
    bank = lenders.attributes.get("bank_frames", 0)
    if bank < 50:
        notes.append(f"only {bank} source frames show a free mouth; a longer source looks better")
    return notes


@stage(RENDER, version=1, rows="output_frames", plan=_plan_render)
def exemplar_render(
    lenders: Artifact,
    motion: Artifact,
    *,
    landmarks: Artifact,
    crops: Artifact,
    output_frames: Artifact,
    settings: RenderSettings,
    shards: Sequence[Shard],
) -> Blocks:
    """Warp the borrowed mouths to the predicted ones."""
    size = int(crops.attributes["crop_size_px"])
    renderer = MouthRenderer(mean_face(), size=size)
    source = output_frames.read("source_frame")
    pose, mouths = load_pose(landmarks), landmarks.read("mouth")
    transforms = crops.read("transform")
    neutral = motion.read("neutral")
    first, second = lenders.read("first"), lenders.read("second")
    weight, shown = lenders.read("weight"), lenders.read("opacity")
    rows_of = _LenderRows(landmarks, crops, transforms)
    for shard in shards:
        part = slice(shard.start, shard.stop)
        frames, count = source[part], shard.stop - shard.start
        share = weight[part, None, None]
        moved = mouth_displacement(
            motion.read("mouth", shard.start, shard.stop),
            (1 - share) * mouths[first[part]] + share * mouths[second[part]],
            mouths[frames],
            neutral=neutral,
            settings=settings,
        )
        linear = canonical_to_crop(pose.at(frames), transforms[frames])
        patch = np.zeros((count, size, size, 3), np.uint8)
        mask = np.zeros((count, size, size), np.uint8)
        shift = np.zeros((count, SHIFT_GRID, SHIFT_GRID, 2), np.float32)
        for row, frame in enumerate(range(shard.start, shard.stop)):
            if shown[frame] == 0:
                continue
            shares = [(first[frame], 1 - weight[frame]), (second[frame], weight[frame])]
            rendered = renderer.render(
                rows_of.points(int(source[frame])),
                moved[row],
                linear[row],
                donors=[(*rows_of.crop(int(f)), float(w)) for f, w in shares if w > 0],
                opacity=float(shown[frame]),
            )
            patch[row], mask[row], shift[row] = rendered.patch, rendered.mask, rendered.own_shift
        yield render_rows(
            patch=patch,
            mask=mask,
            transform=transforms[frames],
            valid=shown[part] > 0,
            own_shift=shift,
        )


class _LenderRows:
    """Crops and landmarks of source frames, in crop px."""

    def __init__(
        self, landmarks: Artifact, crops: Artifact, transforms: NDArray[np.float32]
    ) -> None:
        def points(start: int, stop: int) -> NDArray[np.float32]:
            meshes = landmarks.read("landmarks", start, stop)
            return to_crop(meshes, transforms[start : start + len(meshes)])

        self._crops = _Chunks(partial(crops.read, "crop"), CROPS.arrays["crop"].chunk, kept=16)
        self._points = _Chunks(points, LANDMARKS.arrays["landmarks"].chunk, kept=128)

    def crop(self, frame: int) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        """Crop (size, size, 3) uint8 RGB and landmarks (478, 3) float32 [crop px]."""
        return self._crops.row(frame), self._points.row(frame)

    def points(self, frame: int) -> NDArray[np.float32]:
        """Landmarks (478, 3) float32 [crop px]."""
        return self._points.row(frame)


class _Chunks:
    """Rows of a stored array, read by the chunk; lenders follow the source, so few chunks serve.

    Args:
        read: gives the rows [start, stop), or as many of them as there are.
        rows: rows of a chunk.
        kept: chunks held in memory.
    """

    def __init__(self, read: Callable[[int, int], NDArray[Any]], rows: int, *, kept: int) -> None:
        self._read, self._rows, self._kept = read, rows, kept
        self._chunks: OrderedDict[int, NDArray[Any]] = OrderedDict()

    def row(self, index: int) -> NDArray[Any]:
        number, place = divmod(index, self._rows)
        if number in self._chunks:
            self._chunks.move_to_end(number)
        else:
            start = number * self._rows
            self._chunks[number] = self._read(start, start + self._rows)
            if len(self._chunks) > self._kept:
                self._chunks.popitem(last=False)
        return np.asarray(self._chunks[number][place])
