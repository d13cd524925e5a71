"""Meta Talk's second half: the face drawn with the wanted expression, and a photo made of it."""

from collections.abc import Callable, Iterator, Sequence
from itertools import compress, islice
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Bool, UInt8
from numpy.typing import NDArray
from torch import Tensor, nn

from models.audiodvp.face_model import IMAGE_SIZE, FaceModel
from models.faces.crop.crop import to_crop
from models.faces.crop.masks import lower_face_mask
from models.faces.occlusion import opacity
from models.faces.settings import BlendSettings
from models.meta_talk.hd_crop import crop_transforms
from models.meta_talk.lower_face import (
    Windows,
    lower_face,
    paste_mask,
    window_images,
    windows,
)
from models.meta_talk.settings import NeuralRendererSize
from stores.artifacts.artifact import Artifact
from stores.artifacts.source import Source
from stores.media.read import FrameReader
from tasks.engine.device_settings import Precision
from tasks.engine.stage import Blocks, Plan, Shard, stage
from tasks.methods.meta_talk_faces import basis_of, load_fit
from tasks.result.composite import composed, frames_in_order
from tasks.result.output_frames import scene_starts
from tasks.result.render import RENDER, render_rows
from tasks.source.area import crop_of
from tasks.source.timeline import load_timeline

Rows = NDArray[np.int64]
Pictures = NDArray[np.uint8]
Paste = Literal["soft", "published"]

FADE_FRAMES = 4
"""Frames over which the own mouth fades in before something hides it."""
HALF_PRECISION_TOLERANCE = 1.5
"""Root mean square difference from float32 that half precision may make [levels]."""
_AT_ONCE = 8
"""Pictures of 256 px that are worked on together; fewer of larger ones."""


def _plan_render(side: int, paste: Paste) -> Plan:
    told = {"paste": "unmatched"} if paste == "published" else {}
    return Plan(sizes={"y": side, "x": side}, attributes=told)


@stage(RENDER, version=1, rows="output_frames", plan=_plan_render, network=True)
def meta_talk_render(
    video: Source,
    timeline: Artifact,
    *,
    person: Artifact,
    fit: Artifact,
    expression: Artifact,
    landmarks: Artifact,
    visibility: Artifact,
    output_frames: Artifact,
    lent: Artifact | None,
    weights: Artifact,
    side: int,
    zoom: float,
    opened: float,
    paste: Paste,
    precision: Precision,
    shards: Sequence[Shard],
) -> Blocks:
    """Draw each frame's lower face with the wanted expression, and make a photo of it.

    Args:
        expression: `meta_talk_expression`.
        lent: A `render` of the exemplar method with the same mouths, if the network takes one.
        weights: Of the neural face renderer.
        side: Of the crop [px], as in the network's training.
        zoom: Sides of the fit's square in a side of the crop, likewise.
        opened: First expression coefficient of the widest mouth, likewise.
        paste: soft: jaw and mouth, blended in like every method's; published: the whole mask.
    """
    from tasks.inference.shared import network_runner

    clip, source = load_timeline(timeline), output_frames.read("source_frame")
    reader = FrameReader(video.path, clip)
    starts = scene_starts(clip.scene_start, source)
    valid = fit.read("valid")[source]
    shown = opacity(
        valid & visibility.read("free")[source], scene_start=starts, fade_frames=FADE_FRAMES
    )
    transforms = crop_transforms(fit.read("transform"), side, zoom)[source]
    transforms[shown == 0] = 0

    def borrowed(shard: Shard) -> Iterator[Pictures]:
        assert lent is not None
        frames = frames_in_order(reader, source[shard.start : shard.stop])
        dubbed = composed(frames, lent, shard, BlendSettings())
        for frame, transform in zip(dubbed, transforms[shard.start : shard.stop], strict=True):
            yield crop_of(frame, transform, side)

    inputs = _Inputs(
        _Drawn(person, fit, expression, source, side=side, zoom=zoom, opened=opened),
        windows(valid, starts, _window(weights)),
        shown > 0,
        None if lent is None else borrowed,
        at_once=max(1, _AT_ONCE * IMAGE_SIZE**2 // side**2),
    )
    runner = network_runner(
        "meta_talk_render",
        weights,
        Photographer,
        precision=precision,
        tolerance=HALF_PRECISION_TOLERANCE,
        usable=shown > 0,
        block=inputs.apart,
    )
    made = runner.map(each for shard in shards for each in inputs.blocks(shard))
    for shard in shards:
        part = slice(shard.start, shard.stop)
        patch = np.zeros((shard.stop - shard.start, side, side, 3), np.uint8)
        mask = np.zeros((shard.stop - shard.start, side, side), np.uint8)
        points = to_crop(landmarks.read_rows("landmarks", source[part]), transforms[part])
        for rows in inputs.parts(shard):
            for row, picture in zip(rows - shard.start, next(made), strict=True):
                patch[row] = picture[:3].transpose(1, 2, 0)
                whole = paste_mask(picture[3], zoom)
                if paste == "soft":
                    whole = np.minimum(whole, lower_face_mask(points[row], side))
                mask[row] = np.rint(whole * shown[part][row]).astype(np.uint8)
        yield render_rows(patch=patch, mask=mask, transform=transforms[part], valid=shown[part] > 0)


class _Inputs:
    """What the renderer is given for each output frame, block by block.

    Args:
        drawn: Lower faces.
        around: Which of them are seen with each frame.
        shown: (frame,) whether the frame is rendered.
        borrowed: Gives the pictures (side, side, 3) that are lent to each frame of a shard; None
            if the network takes none.
        at_once: Frames of a block.
    """

    def __init__(
        self,
        drawn: "_Drawn",
        around: Windows,
        shown: NDArray[np.bool_],
        borrowed: Callable[[Shard], Iterator[Pictures]] | None,
        *,
        at_once: int,
    ) -> None:
        self._drawn, self._around, self._shown = drawn, around, shown
        self._borrowed, self._at_once = borrowed, at_once

    def parts(self, shard: Shard) -> Iterator[Rows]:
        """The rendered frames of a shard, a block at a time."""
        rows = shard.start + np.flatnonzero(self._shown[shard.start : shard.stop])
        for first in range(0, len(rows), self._at_once):
            yield rows[first : first + self._at_once]

    def blocks(self, shard: Shard) -> Iterator[tuple[NDArray[Any], ...]]:
        """Windows, which of them there are, masks, and what is lent, of each block of a shard."""
        lent = None
        if self._borrowed is not None:
            lent = compress(self._borrowed(shard), self._shown[shard.start : shard.stop])
        for rows in self.parts(shard):
            renders, mask = self._drawn.windows(self._around.row[rows])
            block = renders, self._around.inside[rows], mask
            if lent is None:
                yield block
            else:
                pictures = np.stack(list(islice(lent, len(rows)))).transpose(0, 3, 1, 2)
                yield *block, pictures * (mask[:, None] > 0)

    def apart(self, rows: Rows) -> list[NDArray[Any]]:
        """Frames from anywhere as one block."""
        each = [block for row in rows.tolist() for block in self.blocks(Shard(0, row, row + 1))]
        return [np.concatenate(arrays) for arrays in zip(*each, strict=True)]


class _Drawn:
    """Lower faces of output frames, drawn as they are asked for, in ascending order.

    Args:
        source: (frame,) source frames that are shown.
        drawing: What `lower_face` is to draw: `side`, `zoom`, `opened`.
    """

    def __init__(
        self,
        person: Artifact,
        fit: Artifact,
        expression: Artifact,
        source: Rows,
        **drawing: Any,
    ) -> None:
        self._model = FaceModel(basis_of(person))
        self._person, self._fit, self._expression = person, fit, expression
        self._source, self._drawing = source, drawing
        self._kept: dict[int, tuple[Pictures, Pictures]] = {}

    def windows(self, rows: Rows) -> tuple[Pictures, Pictures]:
        """Renders (frame, window, 3, side, side) RGB, and masks (frame, side, side), 0 or 255.

        Args:
            rows: (frame, window) output frames, the frame itself in the middle.
        """
        wanted = np.unique(rows)
        self._kept = {row: self._kept[row] for row in wanted.tolist() if row in self._kept}
        for row in wanted.tolist():
            if row not in self._kept:
                self._kept[row] = self._draw(row)
        renders = np.stack(
            [np.stack([self._kept[row][0] for row in each]) for each in rows.tolist()]
        )
        middle = rows[:, rows.shape[1] // 2].tolist()
        return renders, np.stack([self._kept[row][1] for row in middle])

    def _draw(self, row: int) -> tuple[Pictures, Pictures]:
        """Render (3, side, side) and mask (side, side) of a frame.

        Each is drawn alone: products of several round differently than those of one.
        """
        rows = np.array([row])
        delta = torch.from_numpy(self._expression.read_rows("delta", rows))
        fit = load_fit(self._person, self._fit, self._source[rows])
        face = lower_face(self._model, fit, delta=delta, **self._drawing)
        render = (face.render[0] * 255).round().byte().numpy()
        return render, (face.mask[0, 0] * 255).byte().numpy()


class Photographer(nn.Module):
    """The neural face renderer as it is run: bytes in, bytes out, the mask beside the photo.

    Args:
        network: Of `models.meta_talk.renderer`.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(
        self,
        renders: UInt8[Tensor, "batch window 3 side side"],
        inside: Bool[Tensor, "batch window"],
        mask: UInt8[Tensor, "batch side side"],
        lent: UInt8[Tensor, "batch 3 side side"] | None = None,
    ) -> UInt8[Tensor, "batch 4 side side"]:
        """Photos, RGB, and their masks."""
        made = self.network(window_images(renders, inside, lent)).float().clamp(-1, 1)
        photo = ((made + 1) * 127.5).round().to(torch.uint8)
        return torch.cat([photo, mask[:, None]], 1)


def _window(weights: Artifact) -> int:
    """Renders that a network sees."""
    size = weights.manifest.parameters.get("trained", {})
    return NeuralRendererSize.model_validate(size).window
