"""Polishing: slow colours of a rendered mouth put right by a small network, its detail untouched.

What the renderer borrows fits in shape, but light, teeth and tongue are of another moment. The
network sees the mouth on 64 x 64 px, those of the frames before and after, four more of the same
person warped to the same lips, and where the lips are. It says how much of each to take over, and
what else to add. That is enlarged and added to the mouth at its own resolution: everything finer
than a 64th of the square stays as it was filmed.

Convention: pictures are (side, side, 3) RGB, those of networks (channel, side, side).
"""

from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import Float, Float32, UInt8
from numpy.typing import NDArray

from models.arrays import Mesh, Mouth, Numbers, Transform, Transforms
from models.exemplar.lenders import NEAR
from models.exemplar.settings import PolishSize
from models.faces.crop.crop import cut, pixel_matrix
from models.faces.crop.lower_face import LowerFace
from models.faces.crop.rendered import Rendered
from models.faces.crop.warp import Box, active_box, part_of_field, rasterise, remap
from models.faces.mesh.align import Pose
from models.faces.mesh.indices import INNER_LIP, MOUTH, OUTER_LIP

MOUTH_SIDE = 64
"""Side of the network's pictures [px]."""

MOUTH_SPAN = 0.64
"""Side of the square that they show [face heights]."""

MOUTH_CENTRE = (0.0, 0.47, -0.13)
"""Its centre, canonical: between the lips."""

REFERENCES = NEAR
"""Other mouths of the person that the network sees."""

INPUTS = 3 * (3 + REFERENCES) + 3
"""Channels that the network takes."""

OUTPUTS = REFERENCES + 3
"""Channels that it gives: shares of the references, then colours."""

SMOOTHING = (0.25, 0.5, 0.25)
"""What is added is smoothed so along both axes, or it would cancel the finest detail it sees."""

_GRID = 32
_OUTER = [MOUTH.index(point) for point in OUTER_LIP]
_INNER = [MOUTH.index(point) for point in INNER_LIP]
_COLOUR_UNIT = np.float32(0.25)
_SUBPIXEL_BITS = 4

SmallMouth = UInt8[np.ndarray, "64 64 3"]
SmallMask = UInt8[np.ndarray, "64 64"]
References = UInt8[np.ndarray, "reference 64 64 3"]
Contours = UInt8[np.ndarray, "2 64 64"]
Differences = Float32[np.ndarray, "reference 3 64 64"]


def mouth_squares(pose: Pose, transforms: Transforms) -> Transforms:
    """Crop px → px of the network's pictures, upright and of one face size.

    Args:
        pose: the head's, in every frame.
        transforms: frame px → crop px; zeros where there is no face, and then in the result too.
    """
    centre = np.broadcast_to(np.array(MOUTH_CENTRE, np.float32), (len(pose.scale), 1, 3))
    at = pose.to_image(centre)[:, 0, :2]
    at = np.einsum("fij,fj->fi", transforms[:, :, :2], at) + transforms[:, :, 2]
    roll = np.arctan2(pose.rotation[:, 1, 0], pose.rotation[:, 0, 0])
    size = MOUTH_SPAN * pose.scale * np.hypot(transforms[:, 0, 0], transforms[:, 1, 0])
    zoom = np.where(size > 0, MOUTH_SIDE / np.maximum(size, 1e-6), 0)
    c, s = np.cos(roll) * zoom, np.sin(roll) * zoom
    linear = np.stack([np.stack([c, s], -1), np.stack([-s, c], -1)], axis=1)
    offset = MOUTH_SIDE / 2 - np.einsum("fij,fj->fi", linear, at)
    offset *= (zoom > 0)[:, None]
    return np.asarray(np.concatenate([linear, offset[:, :, None]], axis=2), np.float32)


def small_mouth(crop: UInt8[np.ndarray, "size size 3"], square: Transform) -> SmallMouth:
    """The network's picture of a crop.

    Args:
        crop: RGB.
        square: one row of `mouth_squares`.
    """
    return cut(crop, square, MOUTH_SIDE)


def small_mask(mask: UInt8[np.ndarray, "size size"], square: Transform) -> SmallMask:
    """The same of a mask."""
    small = cv2.warpAffine(mask, pixel_matrix(square), (MOUTH_SIDE, MOUTH_SIDE))
    return np.asarray(small, np.uint8)


def moved_points(points: Mesh, displacement: Mouth, to_crop: Transform) -> Numbers:
    """Where the lips' and jaw's points are drawn [crop px], (57, 2).

    Args:
        points: the frame's own landmarks [crop px].
        displacement: canonical, one row of `mouth_displacement`.
        to_crop: one row of `canonical_to_crop`.
    """
    return np.asarray(points[list(MOUTH), :2] + displacement @ to_crop.T)


def contours(points: Float[np.ndarray, "57 2"], square: Transform) -> Contours:
    """What lies within the outer lips, and within the inner ones: 0 outside, 255 inside.

    Args:
        points: of `moved_points`.
        square: one row of `mouth_squares`.
    """
    placed = points @ square[:, :2].T + square[:, 2] - 0.5
    fixed = np.rint(placed * (1 << _SUBPIXEL_BITS)).astype(np.int32)
    drawn = np.zeros((2, MOUTH_SIDE, MOUTH_SIDE), np.uint8)
    for picture, rows in zip(drawn, (_OUTER, _INNER), strict=True):
        cv2.fillPoly(picture, [fixed[rows]], (255,), cv2.LINE_AA, _SUBPIXEL_BITS)
    return drawn


def warped_references(
    mesh: LowerFace,
    target: Mesh,
    displacement: Mouth,
    to_crop: Transform,
    square: Transform,
    lent: Sequence[tuple[SmallMouth, Mesh]],
) -> References:
    """Other mouths of the person, warped to the lips that are drawn.

    Args:
        mesh: of the lower face.
        target: the frame's own landmarks [crop px].
        displacement: canonical, one row of `mouth_displacement`.
        to_crop: one row of `canonical_to_crop`.
        square: one row of `mouth_squares`.
        lent: pictures of `small_mouth`, each with its landmarks [its px].
    """
    moved = target[mesh.points, :2] + (mesh.spread @ displacement) @ to_crop.T
    moved = np.asarray(moved @ square[:, :2].T + square[:, 2], np.float32)
    inner = (mesh.triangles < len(mesh.points)).all(1)
    raster = rasterise(
        moved,
        mesh.triangles[inner],
        depth=target[mesh.points, 2],
        size=MOUTH_SIDE,
        grid=_GRID,
    )
    columns = [points[mesh.points, :2] - moved for _, points in lent]
    values = raster.interpolate(np.concatenate(columns, axis=1))
    box = Box(0, MOUTH_SIDE, 0, MOUTH_SIDE)
    return np.stack(
        [
            remap(picture, part_of_field(cv2.merge([x, y]), box, MOUTH_SIDE), box, sharp=False)
            for (picture, _), x, y in zip(lent, values[::2], values[1::2], strict=True)
        ]
    )


def differences(patch: SmallMouth, references: References, mask: SmallMask) -> Differences:
    """What the references have more than the mouth, 0..1; 0 where either shows nothing."""
    red, green, blue = (references[..., colour] for colour in range(3))
    seen = (mask > 0) & ((red | green | blue) > 0)
    more = references.astype(np.float32) - patch
    more *= seen[..., None] / np.float32(255)
    return np.ascontiguousarray(more.transpose(0, 3, 1, 2))


def network_inputs(
    patch: SmallMouth,
    before: SmallMouth,
    after: SmallMouth,
    more: Differences,
    lips: Contours,
    mask: SmallMask,
) -> Float32[np.ndarray, "24 64 64"]:
    """What the network takes, whatever the skin's colour.

    Args:
        patch: The rendered mouth.
        before: The same of the frame before; the frame's own where there is none.
        after: Of the frame after.
        more: Of `differences`.
        lips: Of `contours`.
        mask: The mouth's.
    """
    seen = (mask > 0)[..., None].astype(np.float32) / 255
    level = patch[mask > 127].mean(0) if (mask > 127).any() else np.zeros(3)
    own = patch.astype(np.float32)
    parts = [4 * (own - level.astype(np.float32)), 8 * (before - own), 8 * (after - own)]
    found = np.empty((INPUTS, MOUTH_SIDE, MOUTH_SIDE), np.float32)
    for number, picture in enumerate(parts):
        found[3 * number : 3 * number + 3] = (picture * seen).transpose(2, 0, 1)
    found[9:-3] = 8 * more.reshape(-1, MOUTH_SIDE, MOUTH_SIDE)
    found[-3:-1] = lips
    found[-1] = mask
    found[-3:] *= np.float32(1 / 255)
    found[-3:] -= np.float32(0.5)
    return found


def correction(
    output: Float32[np.ndarray, "7 64 64"], more: Differences, mask: SmallMask
) -> Float32[np.ndarray, "64 64 3"]:
    """What is added to the mouth [levels].

    Args:
        output: Of the network.
        more: Of `differences`.
        mask: The mouth's.
    """
    added = _COLOUR_UNIT * output[REFERENCES:]
    added += np.einsum("ryx,rcyx->cyx", output[:REFERENCES], more)
    added *= mask.astype(np.float32)
    slow = cv2.sepFilter2D(
        np.ascontiguousarray(added.transpose(1, 2, 0)),
        cv2.CV_32F,
        *(np.array(SMOOTHING, np.float32),) * 2,
        borderType=cv2.BORDER_CONSTANT,
    )
    return np.asarray(slow, np.float32)


def polished(
    rendered: Rendered, added: Float32[np.ndarray, "64 64 3"], square: Transform
) -> Rendered:
    """The mouth with a correction, which is enlarged smoothly.

    Args:
        rendered: In its crop.
        added: Of `correction` [levels].
        square: one row of `mouth_squares`.
    """
    box = active_box(rendered.mask, margin=0)
    if box is None:
        return rendered
    matrix = pixel_matrix(square)
    matrix[:, 2] += matrix[:, :2] @ np.array([box.x0, box.y0])
    more = cv2.warpAffine(
        added,
        matrix,
        (box.x1 - box.x0, box.y1 - box.y0),
        flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP,
    )
    patch = rendered.patch.copy()
    cv2.add(box.of(patch), more, dst=box.of(patch), dtype=cv2.CV_8U)
    return Rendered(patch, rendered.mask, rendered.own_shift)


class PolishNetwork:
    """The trained network, run by OpenCV: three sizes down and up again, all 3 x 3 convolutions.

    OpenCV reads Darknet's format, a list of layers and one of numbers, which are written here.
    Not to be used by two threads at once.

    Args:
        weights: State dict of `polish_network.Polish`, any float.
        size: Its channels.
    """

    def __init__(self, weights: dict[str, NDArray[np.floating]], size: PolishSize) -> None:
        layers = [f"[net]\nwidth={MOUTH_SIDE}\nheight={MOUTH_SIDE}\nchannels={INPUTS}\n"]
        numbers: list[NDArray[np.float32]] = []

        def convolve(name: str, *, stride: int = 1, activation: str = "leaky") -> None:
            kernel, bias = (np.asarray(weights[f"{name}.{n}"], np.float32) for n in _PARTS)
            layers.append(
                f"[convolutional]\nbatch_normalize=0\nfilters={len(bias)}\nsize=3\n"
                f"stride={stride}\npad=1\nactivation={activation}\n"
            )
            numbers.extend([bias, kernel.ravel()])

        def enlarge(beside: int) -> None:
            layers.append(f"[upsample]\nstride=2\n\n[route]\nlayers=-1,{beside}\n")

        convolve("fine")  # 0
        convolve("middle.0", stride=2)  # 1
        convolve("middle.1")  # 2
        convolve("coarse.0", stride=2)
        for number in range(1, size.coarse_layers):
            convolve(f"coarse.{number}")
        enlarge(2)
        convolve("up_middle")
        enlarge(0)
        convolve("up_fine")
        convolve("out", activation="linear")
        version = np.array([0, 2, 0], np.int32).tobytes() + np.zeros(1, np.int64).tobytes()
        told = version + np.concatenate(numbers).tobytes()
        self._network = cv2.dnn.readNetFromDarknet(
            np.frombuffer("\n".join(layers).encode(), np.uint8), np.frombuffer(told, np.uint8)
        )

    def __call__(self, inputs: Float32[np.ndarray, "24 64 64"]) -> Float32[np.ndarray, "7 64 64"]:
        self._network.setInput(inputs[None])
        return np.asarray(self._network.forward()[0], np.float32)


_PARTS = ("weight", "bias")
