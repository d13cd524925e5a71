"""The exemplar method's own stages: which frames lend their mouth, and the mouths made of them."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from models.exemplar.bank import bank_runs
from models.exemplar.lenders import NEAR, Bank, NothingLeft, choose_donors
from models.exemplar.render import mix_donors
from models.exemplar.settings import LenderSettings, RenderSettings
from models.faces.crop.rendered import SHIFT_GRID
from models.faces.occlusion import mouth_interior, opacity
from stores.artifacts.artifact import Artifact
from stores.artifacts.schema import ArraySpec, Schema
from stores.errors import SettingsError
from tasks.engine.stage import Blocks, Made, Plan, Shard, stage
from tasks.methods.borrowed_mouths import BorrowedMouths
from tasks.result.output_frames import scene_starts
from tasks.result.render import RENDER, render_rows
from tasks.source.landmarks import load_pose, mean_face
from tasks.source.pictures import photographs
from tasks.source.timeline import load_timeline

LOW_REACH = 0.8
"""A smaller share of wanted mouths within the source's reach is told."""

LENDERS = Schema(
    "lenders",
    {
        "first": ArraySpec(("frame",), "int32", "", "source frame that lends its mouth"),
        "second": ArraySpec(("frame",), "int32", "", "cross-faded with this one"),
        "weight": ArraySpec(("frame",), "float32", "", "share of the second, 0..1"),
        "opacity": ArraySpec(("frame",), "float32", "", "0: left as it is, 1: mouth made anew"),
        "near": ArraySpec(("frame", "near"), "int32", "", "source frames of mouths most like it"),
    },
    {"near": NEAR},
    "A way through the speaker's own frames, one row per output frame.",
)


@stage(LENDERS, version=4)
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
        near = np.zeros((count, NEAR), np.int32)
        borrowed = {"first": nothing, "second": nothing, "weight": none, "near": near}
        return Made(borrowed | {"opacity": none})
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
        choice = choose_donors(
            motion.read("mouth"),
            bank,
            target_pose=pose.at(source),
            scene_start=scene_start,
            neutral=motion.read("neutral"),
            settings=settings,
            target_time_s=clip.seconds[source],
            exclude_within_s=exclude_within_s,
        )
    except NothingLeft as error:
        raise SettingsError(f"exclude_within_s: {error}") from error
    mix = mix_donors(choice.rows, bank.run, scene_start=scene_start, fade_frames=render.fade_frames)
    shown = opacity(free[source], scene_start=scene_start, fade_frames=render.occlusion_fade_frames)
    return Made(
        {
            "first": donors[mix.first],
            "second": donors[mix.second],
            "weight": mix.weight,
            "near": donors[choice.near],
            "opacity": shown,
        },
        {"bank_frames": len(donors), "in_reach": choice.in_reach(shown > 0)},
    )


def _plan_render(lenders: Artifact, motion: Artifact, crops: Artifact) -> Plan:
    size = int(crops.attributes["crop_size_px"])
    told = {"notes": _notes(lenders, motion), "in_reach": lenders.attributes.get("in_reach")}
    return Plan(sizes={"y": size, "x": size}, attributes=told)


def _notes(lenders: Artifact, motion: Artifact) -> list[str]:
    notes = list(motion.attributes.get("notes", []))
    bank, reach = lenders.attributes.get("bank_frames", 0), lenders.attributes.get("in_reach")
    if bank < 50:
        notes.append(f"only {bank} source frames show a free mouth; a longer source looks better")
    elif reach is not None and reach < LOW_REACH:
        notes.append(
            f"the source shows only {100 * reach:.0f} % of the mouths that the speech asks for, or "
            "nearly alike ones, and the rest is stretched from other shapes: give a longer source, "
            "in which more is said"
        )
    return notes


EXEMPLAR_RENDER = replace(
    RENDER,
    arrays={**RENDER.arrays, "patch": photographs("y", "x", "rgb", doc=RENDER.arrays["patch"].doc)},
)


@stage(EXEMPLAR_RENDER, version=3, rows="output_frames", plan=_plan_render)
def exemplar_render(
    lenders: Artifact,
    motion: Artifact,
    *,
    landmarks: Artifact,
    timeline: Artifact,
    crops: Artifact,
    mouths: Artifact | None,
    output_frames: Artifact,
    settings: RenderSettings,
    model: str | None,
    shards: Sequence[Shard],
) -> Blocks:
    """Warp the borrowed mouths to the predicted ones, and polish them.

    Args:
        mouths: `small_mouths`; None: they are not polished.
        model: `polish_key()`, so that the result follows the weights; None without.
    """
    made = BorrowedMouths(
        lenders,
        motion,
        landmarks=landmarks,
        timeline=timeline,
        crops=crops,
        mouths=mouths,
        output_frames=output_frames,
        settings=settings,
    )
    for shard in shards:
        made.begin(shard.start, shard.stop)
        count = shard.stop - shard.start
        patch = np.zeros((count, made.size, made.size, 3), np.uint8)
        mask = np.zeros((count, made.size, made.size), np.uint8)
        shift = np.zeros((count, SHIFT_GRID, SHIFT_GRID, 2), np.float32)
        shown = made.shown[shard.start : shard.stop] > 0
        for row in np.flatnonzero(shown).tolist():
            frame = shard.start + row
            mouth = made.rendered(frame) if mouths is None else made.polished(frame)
            patch[row], mask[row], shift[row] = mouth.patch, mouth.mask, mouth.own_shift
        yield render_rows(
            patch=patch,
            mask=mask,
            transform=made.transforms[made.source[shard.start : shard.stop]],
            valid=shown,
            own_shift=shift,
        )
