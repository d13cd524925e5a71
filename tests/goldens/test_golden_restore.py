"""StyleGAN2 and what restores faces with it: GPEN, GFPGAN, their parser."""

import importlib.util
import re

import numpy as np
import pytest
from torch import Tensor, nn

from models.restore import align
from tests.goldens.golden import Golden, load, tensor


def taken(module: nn.Module) -> list[Tensor]:
    """Outputs of a module, call by call, from now on."""
    outputs: list[Tensor] = []
    module.register_forward_hook(lambda module, inputs, output: outputs.append(output))
    return outputs


def noted(golden: Golden, pattern: str) -> str:
    """What the golden's notes say, where a number stands nowhere else."""
    found = re.search(pattern, " ".join(golden.manifest["notes"]))
    assert found, pattern
    return found[1]


def enlarged_face(golden: Golden) -> Tensor:
    """`image128`, 0..255, every pixel repeated to the size of the output, -1..1."""
    image = tensor(golden.inputs["image128"])
    times = golden.manifest["outputs"]["image"]["shape"][2] // image.shape[2]
    return image.repeat_interleave(times, 2).repeat_interleave(times, 3) / 127.5 - 1


def test_golden_stylegan2_generator64() -> None:
    golden = load("stylegan2_generator64")
    network = golden.network()
    z, z2, mean = (tensor(golden.inputs[name]) for name in ("z", "z2", "mean_latent"))
    image, latents = network([z], return_latents=True, randomize_noise=False)
    second_from = int(noted(golden, r"z2 from (\d+)"))
    mixed, _ = network([z, z2], inject_index=second_from, randomize_noise=False)
    share = float(noted(golden, r"mean \+ ([\d.]+)"))
    truncated, _ = network([z], truncation=share, truncation_latent=mean, randomize_noise=False)
    golden.compare({"image": image, "w": latents[:, 0], "mixed": mixed, "truncated": truncated})


def test_golden_stylegan2_discriminator64() -> None:
    golden = load("stylegan2_discriminator64")
    network = golden.network()
    image = tensor(golden.inputs["image"]) / 127.5 - 1
    features = taken(network.convs)
    score = network(image)
    # What they make of an image does not depend on the others.
    network.convs.forward = lambda image: features[0][: len(image)]
    first4 = network(image[:4])
    golden.compare({"score": score, "features": features[0], "score_first4": first4})


def test_golden_gpen_bfr_512() -> None:
    golden = load("gpen_bfr_512")
    network = golden.network()
    codes = taken(network.final_linear)
    image, _ = network(enlarged_face(golden))
    golden.compare({"image": image, "latent": codes[0]})


@pytest.mark.parametrize("package", ["gfpgan", "spandrel"])
def test_golden_gfpgan_v1clean_512(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} does not install here")
    if package == "spandrel":
        monkeypatch.setattr(importlib.util, "find_spec", {"gfpgan": None}.__getitem__)
    golden = load("gfpgan_v1clean_512")
    face = enlarged_face(golden)
    image, heads = golden.network()(face, randomize_noise=False)
    golden.compare({"image": image} | {f"rgb{head.shape[2]}": head for head in heads})


def compare_labels(golden: Golden, produced: dict[str, Tensor], logits: str) -> None:
    """Compares outputs, and labels wherever the two best logits differ by more than 1e-3."""
    golden.compare(produced, all_outputs=False)
    assert set(golden.outputs) == {*produced, "labels"}
    best = produced[logits].topk(2, dim=1)
    clear = (best.values[:, 0] - best.values[:, 1] > 1e-3).numpy()
    labels = best.indices[:, 0].numpy()
    golden.equal("labels", np.where(clear, labels, golden.outputs["labels"]))


def test_golden_parsenet() -> None:
    golden = load("parsenet")
    mask, image = golden.network()(tensor(golden.inputs["image"]) / 127.5 - 1)
    compare_labels(golden, {"mask": mask, "image": image}, "mask")


def test_golden_face_restore_steps() -> None:
    golden = load("face_restore_steps")
    allowed = {name: tolerance["atol"] for name, tolerance in golden.manifest["tolerance"].items()}
    frame, points = golden.inputs["image_rgb"], golden.inputs["landmarks5"]
    size = len(golden.inputs["labels"])
    np.testing.assert_allclose(align.FFHQ_POINTS, golden.part("const")["ffhq_template_512"], rtol=0)

    gpen = align.gpen_affine(points, size)
    golden.equal("gpen_reference_points", align.gpen_points(size), 1e-4)
    golden.equal("gpen_inverse", align.inverse(gpen), allowed["gpen_inverse"])
    crop = align.crop_face(frame, gpen, size)
    golden.equal("gpen_crop_bgr_stride4", crop[::4, ::4, ::-1], allowed["cropped"])

    affine = align.ffhq_affine(points, size)
    golden.equal("affine", affine, allowed["affine"])
    crop = align.crop_face(frame, affine, size, border=align.FFHQ_BORDER)
    golden.equal("cropped_bgr_stride4", crop[::4, ::4, ::-1], allowed["cropped"])

    mask = align.paste_mask(golden.inputs["labels"])
    pasted = align.paste_face(frame, 255 - crop, affine, mask)
    golden.equal("pasted_bgr_stride2", pasted[::2, ::2, ::-1], allowed["pasted"])
