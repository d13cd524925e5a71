"""S3FD, FAN, LPIPS, FID, SSIM, PSNR and CPBD against the published code."""

import numpy as np
import torch
from torch import nn

from models.faces.detection import boxes, s3fd
from models.faces.landmarks import decode
from models.metrics import cpbd, fid, similarity
from tests.goldens.golden import Golden, load, tensor


def _outputs_of(network: nn.Module, names: dict[str, str]) -> dict[str, torch.Tensor]:
    """Fills with the outputs of those submodules (name in the golden → submodule) as it runs."""
    found: dict[str, torch.Tensor] = {}
    for name, module in names.items():
        network.get_submodule(module).register_forward_hook(
            lambda _module, _inputs, output, name=name: found.update({name: output})
        )
    return found


def test_golden_s3fd() -> None:
    golden = load("s3fd")
    image = s3fd.network_input(tensor(golden.inputs["image"]), convention="face-alignment")
    maps = golden.network()(image)
    names = [f"{kind}{level}" for level in range(len(boxes.STRIDES)) for kind in ("class", "box")]
    golden.compare(dict(zip(names, maps, strict=True)))


def test_golden_s3fd_syncnet() -> None:
    golden = load("s3fd_syncnet")
    image = s3fd.network_input(tensor(golden.inputs["image"]), convention="syncnet")
    found = golden.network()(image)
    golden.compare({"boxes": found.offsets, "confidence": found.confidence, "priors": found.priors})


def test_golden_s3fd_decode() -> None:
    golden = load("s3fd_decode")
    maps = [
        torch.from_numpy(golden.inputs[f"{kind}{level}"])
        for level in range(len(boxes.STRIDES))
        for kind in ("class", "box")
    ]
    (candidates,) = boxes.candidates(maps)
    (kept,) = boxes.faces(maps)
    after_nms = candidates[boxes.suppress(candidates, 0.3)]
    got = {"candidates": candidates, "after_nms": after_nms, "kept": kept}
    assert set(got) == set(golden.outputs)
    tolerance = golden.manifest["tolerance"]
    for name, rows in got.items():
        golden.equal(name, rows, tolerance["atol"], tolerance["rtol"])


def test_golden_fan_2dfan4() -> None:
    golden = load("fan_2dfan4")
    heatmaps = golden.network()(tensor(golden.inputs["image"]) / 255)
    golden.compare({f"heatmap{number}": maps for number, maps in enumerate(heatmaps)})


def test_golden_fan_decode() -> None:
    golden = load("fan_decode")
    tolerance = golden.manifest["tolerance"]
    face_boxes = golden.inputs["boxes"]
    centres, scales = decode.square_of_box(face_boxes)
    compared = set()
    for face, (centre, scale) in enumerate(zip(centres, scales, strict=True)):
        np.testing.assert_allclose(centre, golden.inputs[f"center{face}"], rtol=1e-12)
        np.testing.assert_allclose(scale, golden.inputs[f"scale{face}"], rtol=1e-12)
        crop = decode.crop(golden.inputs["image"], centre, float(scale))
        golden.equal(f"crop{face}_stride2", crop[::2, ::2], tolerance["crop"]["atol"])

        points, scores = decode.peaks(_bumps(golden.inputs[f"peaks{face}"]))
        atol = tolerance["points_heatmap"]["atol"]
        golden.equal(f"points_heatmap{face}", points, atol)
        golden.equal(f"scores{face}", scores, atol)

        exact = decode.to_frame(points, centre, np.asarray(scale))
        whole = np.trunc(exact)
        want = golden.outputs[f"points_image{face}"]
        either = np.abs(exact - np.round(exact)) <= 1e-6  # the reference's own rounding decides
        either &= np.abs(whole - want) <= 1
        golden.equal(f"points_image{face}", np.where(either, want, whole))
        names = ("crop{}_stride2", "points_heatmap{}", "scores{}", "points_image{}")
        compared |= {name.format(face) for name in names}
    assert compared == set(golden.outputs)


def _bumps(peaks: np.ndarray) -> np.ndarray:
    """Heatmaps (k, 64, 64) with a Gaussian at each of the points (k, 2) x, y."""
    y, x = np.mgrid[:64, :64]
    off_x, off_y = x - peaks[:, 0, None, None], y - peaks[:, 1, None, None]
    return np.exp(-(off_x**2 + off_y**2) / 4).astype(np.float32)


def _compare_lpips(golden: Golden) -> None:
    network = golden.network()
    a, b = (tensor(golden.inputs[name]) for name in ("a", "b"))
    distance, layers = network(a / 127.5 - 1, b / 127.5 - 1, retPerLayer=True)
    got = {f"layer{number}": share for number, share in enumerate(layers)}
    distance_01 = network(a / 255, b / 255, normalize=True)
    network.spatial = True
    spatial = network(a / 127.5 - 1, b / 127.5 - 1)
    golden.compare(got | {"distance": distance, "distance_01": distance_01, "spatial": spatial})
    state = network.state_dict()
    for key, value in golden.part("const").items():  # the package carries the published layers
        np.testing.assert_array_equal(state[key], value)


def test_golden_lpips_alex() -> None:
    _compare_lpips(load("lpips_alex"))


def test_golden_lpips_vgg() -> None:
    _compare_lpips(load("lpips_vgg"))


def test_golden_fid_inception_v3() -> None:
    golden = load("fid_inception_v3")
    network = golden.network()
    blocks = {"block0": "maxpool1", "block1": "maxpool2", "block2": "Mixed_6e"}
    found = _outputs_of(network, blocks)
    features = network(tensor(golden.inputs["image"]) / 255)
    golden.compare({**found, "pool3": features, "logits": network.get_submodule("fc")(features)})


def test_golden_fid() -> None:
    golden = load("fid")
    tolerance = golden.manifest["tolerance"]
    cases = sum(name.startswith("features_a") for name in golden.inputs)
    assert 2 * cases == len(golden.outputs)
    for case in range(cases):
        a = fid.statistics(golden.inputs[f"features_a{case}"])
        b = fid.statistics(golden.inputs[f"features_b{case}"])
        given = [golden.inputs[f"{kind}_{case}"] for kind in ("mu1", "sigma1", "mu2", "sigma2")]
        for ours, theirs in zip((*a, *b), given, strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-12)
        allowed = {"atol": 0, **tolerance.get(f"case{case}", {"rtol": tolerance["rtol"]})}
        golden.equal(f"distance{case}", fid.frechet_distance(*a, *b), **allowed)
        # nought up to rounding, of a sum of numbers as large as the spread
        spread = 2 * float(np.trace(a[1]))
        allowed["atol"] = max(allowed["atol"], 1e-10 * spread)
        golden.equal(f"distance_same{case}", fid.frechet_distance(*a, *a), **allowed)


def test_golden_ssim_psnr() -> None:
    golden = load("ssim_psnr")
    atol = golden.manifest["tolerance"]["atol"]
    a, gray_a = golden.inputs["a"], golden.inputs["gray_a"]
    cases = sum(name.startswith("b") for name in golden.inputs)
    assert 4 * cases == len(golden.outputs)
    for case in range(cases):
        b, gray_b = golden.inputs[f"b{case}"], golden.inputs[f"gray_b{case}"]
        golden.equal(f"psnr{case}", similarity.psnr(b, a), atol)
        golden.equal(f"ssim_uniform7_{case}", similarity.ssim(b, a), atol)
        golden.equal(f"ssim_gaussian_{case}", similarity.ssim(b, a, window="gaussian"), atol)
        golden.equal(f"ssim_gray_uniform7_{case}", similarity.ssim(gray_b, gray_a), atol)


def test_golden_cpbd() -> None:
    golden = load("cpbd")
    atol = golden.manifest["tolerance"]["cpbd"]["atol"]
    compared = set()
    for case in range(len(golden.inputs["sigmas"])):
        gray = golden.inputs[f"gray{case}"]
        image = gray.astype(np.float64)
        sobel, canny = cpbd.sobel_edges(image), cpbd.canny_edges(image)
        widths = cpbd.edge_widths(image, sobel)
        histogram = np.bincount(widths.ravel(), minlength=64)[:64]
        golden.equal(f"sobel_count{case}", np.count_nonzero(sobel))
        golden.equal(f"canny_count{case}", np.count_nonzero(canny))
        golden.equal(f"edge_width_histogram{case}", histogram)
        golden.equal(f"cpbd{case}", cpbd.cpbd(gray), atol)
        names = ("sobel_count", "canny_count", "edge_width_histogram", "cpbd")
        compared |= {f"{name}{case}" for name in names}
        for name, edges in (("sobel", sobel), ("canny", canny)):
            if f"{name}{case}" in golden.outputs:
                golden.equal(f"{name}{case}", np.packbits(edges))
                compared.add(f"{name}{case}")
    assert compared == set(golden.outputs)
