"""Wav2Lip's steps of inference around its generator: boxes, network input, paste.

Convention: a box is (x1, y1, x2, y2) in whole pixels, x2 and y2 excluded; frames, crops and
predictions are BGR. Facts from the inference script of the public repository Rudrabha/Wav2Lip.
"""

import cv2
import numpy as np
import torch
from jaxtyping import Float32, Int64, Real, UInt8
from numpy.typing import NDArray
from torch import Tensor

from models.arrays import Boxes, Picture, SizedCrop
from models.tensors import ImageBytes, Images
from models.wav2lip.generator import SIZE
from models.wav2lip.settings import PADS, SMOOTHING


def pad_boxes(
    detections: Real[np.ndarray, "frame 4"],
    frame_size: tuple[int, int],
    *,
    pads: tuple[int, int, int, int] = PADS,
) -> Boxes:
    """Detections grown by the pads and clipped to the frame.

    Args:
        detections: x1, y1, x2, y2 [px]; fractions are cut off.
        frame_size: Height and width of the frames [px].
        pads: Top, bottom, left, right [px].
    """
    top, bottom, left, right = pads
    height, width = frame_size
    whole = _boxes(np.trunc(np.maximum(detections, 0)).astype(np.int64))
    low = np.maximum(whole[:, :2] - (left, top), 0)
    high = np.minimum(whole[:, 2:] + (right, bottom), (width, height))
    return np.concatenate([low, high], axis=1)


def smooth_boxes(boxes: Boxes, *, window: int = SMOOTHING) -> Boxes:
    """Each box becomes the mean of itself and those after it, fractions cut off.

    The published procedure writes into the array that it reads: boxes nearer to the end than the
    window take the mean of the last `window` boxes, some of which are smoothed already. With fewer
    boxes than the window its slice starts at a negative index, so that the last ones only (two of
    three boxes, say) are averaged. Both are kept, for results equal to published ones.

    Args:
        boxes: Of the whole clip [px], cut to as many frames as will be generated.
        window: Frames averaged.
    """
    smoothed = _boxes(boxes).copy()
    count = len(smoothed)
    for frame in range(count):
        first = frame if frame + window <= count else count - window
        smoothed[frame] = np.mean(smoothed[first:][:window], axis=0)
    return smoothed


def source_frames(chunks: int, frames: int) -> Int64[np.ndarray, " {chunks}"]:
    """The frame under each mel chunk: frames repeat from the first when they run out."""
    if frames < 1:
        raise ValueError("there must be a frame to speak")
    return np.arange(chunks) % frames


def crop_face(frame: Picture, box: Int64[np.ndarray, "4"], *, size: int = SIZE) -> SizedCrop:
    """The box of a frame, resized bilinearly to a square, whatever its aspect."""
    x1, y1, x2, y2 = _checked(frame, box)
    resized = cv2.resize(frame[y1:y2, x1:x2], (size, size))
    return np.asarray(resized, np.uint8)


def network_faces(crops: ImageBytes) -> Float32[Tensor, "batch 6 height width"]:
    """Crops → the generator's second argument, on the device of the crops.

    Returns:
        Each crop with its lower half zeroed, then whole, 0..1.
    """
    if crops.dtype != torch.uint8 or crops.ndim != 4 or crops.shape[-1] != 3:
        raise ValueError(
            f"crops are (batch, height, width, 3) uint8, got {tuple(crops.shape)} {crops.dtype}"
        )
    whole = crops.permute(0, 3, 1, 2).float() / 255
    hidden = whole.clone()
    hidden[:, :, whole.shape[2] // 2 :] = 0
    return torch.cat((hidden, whole), dim=1)


def as_bytes(predictions: Images) -> ImageBytes:
    """The generator's predictions, 0..1, as images of 8 bits.

    Fractions are cut off, not rounded, as in the published procedure.
    """
    return (predictions.float() * 255).clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1)


def paste_face(
    frame: Picture, face: UInt8[np.ndarray, "face_height face_width 3"], box: Int64[np.ndarray, "4"]
) -> Picture:
    """A copy of the frame with the face, resized bilinearly, in the box; no blending.

    Args:
        frame: BGR.
        face: BGR.
        box: Where the face goes, x1, y1, x2, y2 [px].
    """
    x1, y1, x2, y2 = _checked(frame, box)
    pasted = frame.copy()
    pasted[y1:y2, x1:x2] = cv2.resize(face, (x2 - x1, y2 - y1))
    return pasted


def _boxes(boxes: NDArray[np.int64]) -> NDArray[np.int64]:
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise ValueError(f"boxes are (frame, 4), got {boxes.shape}")
    return boxes


def _checked(frame: NDArray[np.uint8], box: NDArray[np.int64]) -> tuple[int, int, int, int]:
    height, width = frame.shape[:2]
    x1, y1, x2, y2 = (int(side) for side in box)
    if not (0 <= x1 < x2 <= width and 0 <= y1 < y2 <= height):
        raise ValueError(f"box {(x1, y1, x2, y2)} is empty or leaves the {width} x {height} frame")
    return x1, y1, x2, y2
