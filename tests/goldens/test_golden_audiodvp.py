"""Goldens of AudioDVP."""

import numpy as np
import torch

from models.audiodvp.critic import adversarial_loss
from models.audiodvp.face_model import FaceModel, clip_matrix, landmark_loss, landmark_weights
from models.audiodvp.regressor import MEAN
from models.deep3d.basis import FaceBasis
from models.rasterizer.interpolation import rasterize
from models.rasterizer.visibility import visible_triangles
from tests.goldens.golden import load, tensor


def test_golden_audiodvp_atnet() -> None:
    golden = load("audiodvp_atnet")
    golden.compare({"features": golden.network()(tensor(golden.inputs["mfcc"]))})


def test_golden_audiodvp_expression() -> None:
    golden = load("audiodvp_expression")
    network = golden.network(window=golden.manifest["constructor"]["Nw"])
    golden.compare({"delta": network(tensor(golden.inputs["feature"]))})


def test_golden_audiodvp_nfr_generator() -> None:
    golden = load("audiodvp_nfr_generator")
    about = golden.manifest["constructor"]
    network = golden.network(
        inputs=about["input_nc"], outputs=about["output_nc"], width=about["ngf"]
    )
    stored = tensor(golden.inputs["windows"])
    repeats = golden.manifest["outputs"]["image"]["shape"][-1] // stored.shape[-1]
    windows = stored.repeat_interleave(repeats, 2).repeat_interleave(repeats, 3)
    golden.compare({"image": network(windows / 127.5 - 1)})


def test_golden_audiodvp_nfr_discriminator() -> None:
    golden = load("audiodvp_nfr_discriminator")
    about = golden.manifest["constructor"]
    network = golden.network(inputs=about["input_nc"], width=about["ndf"])
    prediction = network(tensor(golden.inputs["pair"]) / 127.5 - 1)
    golden.compare(
        {
            "prediction": prediction,
            "loss_real": adversarial_loss(prediction, real=True),
            "loss_fake": adversarial_loss(prediction, real=False),
        }
    )


def test_golden_audiodvp_resnet50_vggface2() -> None:
    golden = load("audiodvp_resnet50_vggface2")
    image = tensor(golden.inputs["image"]) / 255
    golden.compare({"pooled": golden.network()(image - torch.tensor(MEAN)[:, None, None])})


def test_golden_audiodvp_face_model() -> None:
    golden = load("audiodvp_face_model")
    constants = golden.part("const")
    assert np.allclose(clip_matrix(), constants["clip_transform"][0], rtol=1e-6, atol=1e-6)
    assert np.array_equal(landmark_weights(), constants["landmark_weights"])
    model = FaceModel(FaceBasis.from_arrays(load("deep3d_face_model").part("basis")))
    given = {name: torch.from_numpy(array) for name, array in golden.inputs.items()}
    coefficients = ("alpha", "delta", "beta", "rotation", "translation", "gamma")

    produced = model(*(given[name] for name in coefficients))._asdict()
    produced["landmark_loss"] = landmark_loss(given["landmarks_a"], given["landmarks_b"])
    assert set(produced) == set(golden.outputs)
    allowed = golden.manifest["tolerance"]
    for name, value in produced.items():
        in_pixels = name in {"screen", "landmarks"}
        atol = allowed["screen"]["atol"] if in_pixels else allowed["atol"]
        golden.equal(name, value, atol=atol, rtol=allowed["rtol"])


def test_vertices_are_drawn_in_their_colours() -> None:
    """Each vertex of the golden face, moved to a pixel's centre, if nothing lies before it."""
    golden = load("audiodvp_face_model")
    basis = FaceBasis.from_arrays(load("deep3d_face_model").part("basis"))
    clip, color = (torch.from_numpy(golden.outputs[name])[0] for name in ("clip", "color"))
    number, side = len(clip), 64
    moved = clip.expand(number, -1, -1).clone()
    offset = 1 / side - clip[:, :2] / clip[:, 3:]  # each to the pixel below and right of the middle
    moved[..., :2] += offset[:, None] * clip[:, 3:]
    visible = visible_triangles(moved, basis.triangles, side)
    drawn = rasterize(moved, basis.triangles, color.expand(number, -1, -1), side).image
    shown = torch.full((number * side**2,), -1).index_copy(0, visible.pixel, visible.triangle)
    shown = shown.reshape(number, side, side)[:, side // 2, side // 2]
    seen = (basis.triangles[shown] == torch.arange(number)[:, None]).any(1) & (shown >= 0)
    assert seen.sum() > number / 4
    pixel = drawn[:, :, side // 2, side // 2]
    torch.testing.assert_close(pixel[seen], color[seen].clamp(0, 1), atol=1e-4, rtol=0)
