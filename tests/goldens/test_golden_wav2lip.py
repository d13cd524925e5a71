"""Wav2Lip and SyncNet: networks, steps, metrics and features equal the published ones."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

from models.wav2lip.steps import (
    as_bytes,
    crop_face,
    network_faces,
    pad_boxes,
    paste_face,
    smooth_boxes,
    source_frames,
)
from tests.goldens.golden import load, tensor


@contextmanager
def outputs_of(**modules: nn.Module) -> Iterator[dict[str, Tensor]]:
    """What the modules return while the context is open, by name."""
    caught: dict[str, Tensor] = {}

    def keep(name: str, output: Tensor) -> None:
        caught[name] = output

    handles = [
        module.register_forward_hook(lambda _module, _inputs, out, name=name: keep(name, out))
        for name, module in modules.items()
    ]
    yield caught
    for handle in handles:
        handle.remove()


def test_golden_wav2lip_generator() -> None:
    golden = load("wav2lip_generator")
    network = golden.network()
    mel, faces = tensor(golden.inputs["mel"]), tensor(golden.inputs["faces"]) / 255
    with outputs_of(
        audio_embedding=network.audio_encoder,
        face_encoder_block3=network.face_encoder_blocks[3],
        face_embedding=network.face_encoder_blocks[-1],
    ) as inner:
        image = network(mel, faces)
    sequence = golden.manifest["outputs"]["image_5d"]["shape"]
    batch, times = sequence[0], sequence[2]
    sequences = network(
        mel[: batch * times].unflatten(0, (batch, times)),
        faces[: batch * times].unflatten(0, (batch, times)).transpose(1, 2),
    )
    golden.compare({"image": image, "image_5d": sequences[..., ::4, ::4], **inner})


def test_golden_wav2lip_steps() -> None:
    golden = load("wav2lip_steps")
    tolerance = golden.manifest["tolerance"]
    height, width = (int(side) for side in golden.inputs["frame_size_h_w"])
    frames, predictions = golden.inputs["frames"], golden.inputs["predictions_u8"]
    padded = pad_boxes(golden.inputs["detections"], (height, width))
    golden.equal("padded_boxes", padded)
    golden.equal("smoothed_boxes", smooth_boxes(padded))
    few = len(golden.outputs["smoothed_boxes_first3_only"])
    golden.equal("smoothed_boxes_first3_only", smooth_boxes(padded[:few]))

    boxes = smooth_boxes(padded)[: len(frames)]
    source = source_frames(len(predictions), len(frames))
    golden.equal("coordinates_y1_y2_x1_x2", boxes[source][:, [1, 3, 0, 2]])
    size = golden.outputs["batch_images_u8"].shape[1]
    crops = [crop_face(frames[i], boxes[i], size=size) for i in source]
    batch = network_faces(torch.from_numpy(np.stack(crops)))
    in_bytes = (batch * 255).round().permute(0, 2, 3, 1)
    golden.equal("batch_images_u8", in_bytes, **tolerance["batch"])
    assert torch.equal(batch, in_bytes.permute(0, 3, 1, 2) / 255)

    faces = as_bytes(tensor(predictions).permute(0, 3, 1, 2) / 255).numpy()
    count = len(golden.outputs["pasted_frames_first3"])
    pasted = [paste_face(frames[i], faces[i], boxes[i]) for i in source[:count]]
    golden.equal("pasted_frames_first3", np.stack(pasted), **tolerance["pasted"])
