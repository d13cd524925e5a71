"""The lower face that the neural face renderer draws: masks, render, and windows of renders.

Training and dubbing take masks and renders from `lower_face` alone, so that the network sees the
same border in both (the public AudioDVP masks a whole face in one and draws a part in the other).
"""

from dataclasses import replace
from typing import NamedTuple

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, Int64, Shaped
from torch import Tensor
from torch.nn import functional

from models.arrays import FrameMask, Mask
from models.audiodvp.expression import WINDOW
from models.audiodvp.face_model import IMAGE_SIZE, FaceModel
from models.face_fit.coefficients import Coefficients
from models.faces.smooth import valid_runs
from models.rasterizer.interpolation import rasterize
from models.rasterizer.visibility import visible_triangles

OPENS = 0
"""Expression coefficient that opens the mouth where it is negative."""
DILATION = 4
"""How far the mask goes beyond the lower face [px of the fit]."""
_DRAWN_IN, _BLURRED, _SIGMA = 9, 2, 4.0
"""Of the mask for pasting [px of the fit]: the public code erodes 3x3 nine times, then blurs
5x5, with sigma 4 by an argument in another's place."""
_WIDEST_SHARE = 0.01
_ROOM = 1.1


class LowerFace(NamedTuple):
    """A lower face as the camera sees it.

    Attributes:
        render: RGB in 0..1; 0 outside the mask.
        mask: 1 where the lower face may be, else 0.
    """

    render: Float[Tensor, "batch 3 side side"]
    mask: Float[Tensor, "batch 1 side side"]


@torch.no_grad()
def lower_face(
    model: FaceModel,
    fit: Coefficients,
    *,
    opened: float,
    side: int,
    zoom: float,
    delta: Float[Tensor, "batch 64"] | None = None,
) -> LowerFace:
    """The lower face and its mask as the fit's camera sees them, at any size.

    The mask does not depend on the expression that is drawn: it covers the lower face with the
    mouth at rest and with the mouth wide open, and a little more. All of the face is drawn in it.

    Args:
        model: The face that the coefficients belong to.
        fit: Of the frames that are shown.
        opened: First expression coefficient of a mouth wide open.
        side: Of the pictures [px].
        zoom: Sides of the fit's square in a side of the pictures, which show its middle.
        delta: Expression to draw; the fit's own if None.
    """
    wide = fit.delta.clone()
    wide[:, OPENS] = opened
    mask = fit.delta.new_zeros(len(fit.delta), 1, side, side)
    for shape in (wide, torch.zeros_like(wide)):
        clip = _closer(replace(fit, delta=shape).face(model).clip, zoom)
        visible = visible_triangles(clip, model.lower_triangles, side)
        mask = torch.maximum(mask, visible.image(mask.new_ones(len(visible.pixel), 1)))
    reach = round(DILATION * zoom * side / IMAGE_SIZE)
    mask = functional.max_pool2d(mask, 2 * reach + 1, 1, reach)
    face = (fit if delta is None else replace(fit, delta=delta)).face(model)
    drawn = rasterize(_closer(face.clip, zoom), model.triangles, face.color, side)
    return LowerFace(drawn.image * mask, mask)


def _closer(clip: Float[Tensor, "batch vertex 4"], zoom: float) -> Float[Tensor, "batch vertex 4"]:
    """The camera's view with its middle enlarged."""
    return clip * clip.new_tensor([zoom, zoom, 1, 1])


def widest(delta: Float[np.ndarray, "frame 64"], valid: FrameMask) -> float:
    """First expression coefficient of a mouth that is open a tenth wider than it ever is.

    Args:
        delta: Expressions of a clip.
        valid: There is a fit.
    """
    opening = delta[valid, OPENS]
    return _ROOM * min(0.0, float(np.quantile(opening, _WIDEST_SHARE))) if len(opening) else 0.0


class Windows(NamedTuple):
    """The frames that are seen with each frame.

    Attributes:
        row: Frames in order of time, the middle one being the frame itself.
        inside: Whether there is such a frame; its render is taken as 0 if not.
    """

    row: Int64[np.ndarray, "frame window"]
    inside: Bool[np.ndarray, "frame window"]


def windows(valid: FrameMask, scene_start: FrameMask, window: int = WINDOW) -> Windows:
    """Windows about every frame, which no cut and no frame without a face interrupts.

    Args:
        valid: There is a render.
        scene_start: The frame is the first after a cut.
        window: Frames seen; odd.
    """
    if window % 2 == 0:
        raise ValueError(f"a window of {window} frames has no middle")
    frame = np.arange(len(valid))[:, None]
    row = frame + np.arange(window) - window // 2
    inside = np.zeros(row.shape, bool)
    for start, stop in valid_runs(valid, scene_start):
        part = row[start:stop]
        inside[start:stop] = (part >= start) & (part < stop)
    return Windows(np.where(inside, row, frame), inside)


def window_images(
    renders: Shaped[Tensor, "batch window 3 height width"],
    inside: Bool[Tensor, "batch window"],
    lent: Shaped[Tensor, "batch 3 height width"] | None = None,
) -> Float[Tensor, "batch channel height width"]:
    """Pictures as the network takes them: RGB -1..1, frame after frame; 0 where there is none.

    Args:
        renders: RGB 0..255.
        inside: There is such a frame.
        lent: RGB 0..255, the frame with a borrowed mouth, which comes last.
    """
    scaled = (renders.float() / 127.5 - 1) * inside[..., None, None, None]
    whole = scaled.flatten(1, 2)
    return whole if lent is None else torch.cat([whole, lent.float() / 127.5 - 1], 1)


def paste_mask(mask: Mask, zoom: float) -> Mask:
    """Where a made lower face is pasted: the mask drawn in and softened, as published.

    Args:
        mask: 255 where the lower face may be, else 0.
        zoom: As of `lower_face`.
    """
    scale = zoom * len(mask) / IMAGE_SIZE
    inwards, reach = (2 * round(each * scale) + 1 for each in (_DRAWN_IN, _BLURRED))
    drawn = cv2.erode(mask, np.ones((inwards, inwards), np.uint8))
    return np.asarray(cv2.GaussianBlur(drawn, (reach, reach), _SIGMA * scale), np.uint8)
