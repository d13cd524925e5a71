"""VideoReTalking's networks and steps, and GANimation's generator."""

import re

import numpy as np
import torch

from models.video_retalking import alignment, steps
from tests.goldens import fill
from tests.goldens.golden import load, tensor


def test_golden_vrt_dnet() -> None:
    golden = load("vrt_dnet")
    network = golden.network()
    seen: dict[str, torch.Tensor] = {}
    network.mapping_net.register_forward_hook(lambda *call: seen.update(descriptor=call[-1]))
    image = tensor(golden.inputs["image"]) / 127.5 - 1
    found = network(image, tensor(golden.inputs["coeff"]))
    golden.compare({**found, **seen})


def test_golden_ganimation_generator() -> None:
    golden = load("ganimation_generator")
    image = tensor(golden.inputs["image"]) / 127.5 - 1
    found = golden.network()(image, tensor(golden.inputs["aus"]))
    golden.compare({"color": found.color, "attention": found.attention, "fake": found.over(image)})


def test_golden_vrt_lnet() -> None:
    golden = load("vrt_lnet")
    network = golden.network()
    seen: dict[str, torch.Tensor] = {}
    network.audio_encoder.register_forward_hook(lambda *call: seen.update(audio=call[-1]))
    network.encoder.register_forward_hook(lambda *call: seen.update(encoder_last=call[-1][-1]))
    faces = _lower_half_masked(tensor(golden.inputs["faces"]) / 255)
    image = network(tensor(golden.inputs["mel"]), faces)
    golden.compare({"image": image, **seen})


def test_golden_vrt_enet() -> None:
    golden = load("vrt_enet")
    network = golden.network()
    mel = tensor(golden.inputs["mel"])
    faces = _lower_half_masked(tensor(golden.inputs["faces"]) / 255)
    target = tensor(golden.inputs["target"]) / 255
    image, low_res = network(mel, faces, target, noise=[torch.zeros(1)] * len(network.noise_sides))
    noise = [
        torch.from_numpy(
            fill._bell(golden.manifest["seed"], f"noise:{k}", (len(mel), 1, side, side))
        ).float()
        for k, side in enumerate(network.noise_sides)
    ]
    noisy = network.enlarge(low_res, faces[:, 3:], noise=noise)  # of the same small faces
    golden.compare({"image": image, "image_with_noise": noisy, "low_res": low_res})


def _lower_half_masked(faces: torch.Tensor) -> torch.Tensor:
    faces[:, :3, faces.shape[2] // 2 :] = 0
    return faces


def test_golden_vrt_steps() -> None:
    golden = load("vrt_steps")
    given, tolerance = golden.inputs, golden.manifest["tolerance"]
    for name in golden.outputs:
        if found := re.fullmatch(r"laplacian(\d+)", name):
            blended = steps.laplacian_blend(
                given["a"], given["b"], given["mask"], levels=int(found[1])
            )
            golden.equal(name, blended[::2, ::2], **tolerance["laplacian"])
        elif found := re.fullmatch(r"mask_postprocess_(\d+)", name):
            soft = steps.soften_mask(_mask_of_notes(golden.manifest["notes"], int(found[1])))
            golden.equal(name, soft[::4, ::4], **tolerance["window"])
        elif found := re.fullmatch(r"crop_ratio_frame(\d+)", name):
            frame = int(found[1])
            ratio = steps.crop_scale_ratio(
                given["semantics"][frame : frame + 1], given["semantics"]
            )
            golden.equal(name, ratio, **tolerance["window"])
        elif found := re.fullmatch(r"window_frame(\d+)(?:_ratio(\d+))?", name):
            ratio = golden.outputs[f"crop_ratio_frame{found[2]}"] if found[2] else np.ones(1)
            windows = steps.coefficient_windows(
                given["semantics"], [int(found[1])], scale_ratios=ratio
            )
            golden.equal(name, windows[0], **tolerance["window"])
        else:
            raise AssertionError(f"nothing computes {name}")


def _mask_of_notes(notes: list[str], side: int) -> np.ndarray:
    """The notes alone say where the mask of that side has ones."""
    pattern = rf"a {side} x {side} mask with ones in rows (\d+)..(\d+), columns (\d+)..(\d+)"
    found = re.search(pattern, " ".join(notes))
    assert found, "the notes describe no such mask"
    top, bottom, left, right = map(int, found.groups())
    mask = np.zeros((side, side), np.float32)
    mask[top : bottom + 1, left : right + 1] = 1
    return mask


def test_golden_vrt_alignment() -> None:
    golden = load("vrt_alignment")
    image, landmarks = golden.inputs["image"], golden.inputs["landmarks68"]
    tolerance = golden.manifest["tolerance"]
    cut = alignment.ffhq_cut(np.rint(landmarks), (image.shape[1], image.shape[0]))
    golden.equal("ffhq_crop", cut.outer)
    golden.equal("ffhq_box", cut.inner, **tolerance["quad"])
    quad = alignment.face_quads(landmarks)
    golden.equal("quad", quad, **tolerance["quad"])
    face = alignment.crop_face(image, quad)
    golden.equal("crop256_stride2", face[::2, ::2], **tolerance["crop256"])
    coefficients = alignment.face_coefficients(quad)
    # The quad is a square, so the last two are 0; the reference holds its solver's rounding there,
    # about 1e-18, which no relative tolerance fits.
    floor = np.array([0.0] * 6 + [1e-12] * 2)
    golden.equal("coefficients", coefficients, atol=floor, **tolerance["coefficients"])
    pasted = alignment.paste_face(image, 255 - face, coefficients)
    golden.equal("pasted_rgb_stride2", pasted[::2, ::2], **tolerance["crop256"])
