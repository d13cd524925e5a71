"""Goldens of ArcFace, Deep3DFaceRecon and AudioDVP."""

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from models.deep3d import alignment, losses
from models.deep3d.basis import FaceBasis
from models.deep3d.face_model import Camera, FaceModel, split
from tests.goldens.golden import Golden, load, tensor


def output_of(network: nn.Module) -> list[torch.Tensor]:
    """A list to which every output of a module is added when it runs."""
    seen: list[torch.Tensor] = []
    network.register_forward_hook(lambda module, inputs, output: seen.append(output))
    return seen


def arcface(name: str) -> None:
    golden = load(name)
    about = golden.manifest["constructor"]
    network = golden.network(
        layers=about["layers"], num_features=about["num_features"], dropout=about["dropout"]
    )
    embedding = network((tensor(golden.inputs["image"]) / 255 - 0.5) / 0.5)
    golden.compare({"embedding": embedding, "normalised": functional.normalize(embedding)})


def test_golden_arcface_r50() -> None:
    arcface("arcface_r50")


def test_golden_arcface_r100() -> None:
    arcface("arcface_r100")


def test_golden_deep3d_recon_resnet50() -> None:
    golden = load("deep3d_recon_resnet50")
    network = golden.network()
    pooled = output_of(network.get_submodule("backbone"))
    coefficients = network(tensor(golden.inputs["image"]) / 255)
    golden.compare({"coefficients": coefficients, "pooled": pooled[0]})


def test_golden_deep3d_face_model() -> None:
    golden = load("deep3d_face_model")
    about = golden.manifest["camera"]
    camera = Camera(
        focal=about["focal"],
        centre=about["centre"],
        distance=about["distance"],
        near=about["near"],
        far=about["far"],
    )
    assert np.isclose(camera.field_of_view_degrees, about["fov_degrees"])
    constants = golden.part("const")
    assert np.allclose(camera.clip_matrix(), constants["ndc_projection"], rtol=1e-6)
    assert np.allclose(camera.intrinsics(), constants["perspective"], rtol=1e-6)
    model = FaceModel(FaceBasis.from_arrays(golden.part("basis")), camera)
    given = {name: torch.from_numpy(array) for name, array in golden.inputs.items()}

    face = model(given["coefficients"])
    parts = split(given["coefficients"])
    produced = face._asdict() | {
        "clip_coordinates": model.clip_coordinates(face.camera),
        "photo_loss": losses.photo_loss(given["photo_a"], given["photo_b"], given["photo_mask"]),
        "landmark_loss": losses.landmark_loss(given["lm_a"], given["lm_b"]),
        "feature_loss": losses.feature_loss(given["feature_a"], given["feature_b"]),
        "regularisation_loss": losses.regularisation_loss(parts),
        "gamma_loss": losses.gamma_loss(parts.light),
        "reflectance_loss": losses.reflectance_loss(face.albedo, model.skin),
    }
    compare(golden, produced, pixels="projection", in_pixels={"projection", "landmarks"})


def compare(
    golden: Golden, produced: dict[str, torch.Tensor], *, pixels: str, in_pixels: set[str]
) -> None:
    """All outputs of a step golden; those in pixels have their own tolerance."""
    assert set(produced) == set(golden.outputs)
    allowed = golden.manifest["tolerance"]
    for name, value in produced.items():
        atol = allowed[pixels]["atol"] if name in in_pixels else allowed["atol"]
        golden.equal(name, value, atol=atol, rtol=allowed["rtol"])


def test_golden_deep3d_alignment() -> None:
    golden = load("deep3d_alignment")
    allowed = golden.manifest["tolerance"]
    standard = golden.part("const")["standard_5_points"]
    assert np.allclose(alignment.STANDARD_POINTS, standard, rtol=1e-6)
    got = alignment.align(golden.inputs["image"], golden.inputs["landmarks68"], standard=standard)
    matrix = alignment.arcface_transform(got.landmarks, len(got.image))
    golden.equal("transform", got.transform, **allowed["transform"])
    golden.equal("image", got.image, **allowed["image"])
    golden.equal("landmarks68", got.landmarks, **allowed["landmarks68"])
    golden.equal("arcface_matrix", matrix, **allowed["transform"])
