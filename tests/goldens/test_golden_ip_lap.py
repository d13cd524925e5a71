"""IP-LAP against its goldens."""

import numpy as np
from torch import Tensor, nn

from models.ip_lap import landmarks, sketch
from models.ip_lap.landmark_generator import LandmarkGenerator
from models.ip_lap.losses import gram_matrix, landmark_loss, velocity_loss
from models.ip_lap.paste import face_contour_mask, keep_contour
from models.ip_lap.perceptual import rendering_losses
from models.ip_lap.renderer import Renderer
from models.ip_lap.windows import WINDOW
from tests.goldens.golden import load, tensor


def test_golden_ip_lap_landmark_generator() -> None:
    golden = load("ip_lap_landmark_generator")
    network = golden.network()
    assert isinstance(network, LandmarkGenerator)
    embeddings: dict[str, Tensor] = {}

    def keep(name: str, encoder: nn.Module) -> None:
        encoder.register_forward_hook(lambda _, __, out: embeddings.update({name: out.flatten(1)}))

    keep("mel_embedding", network.mel_encoder)
    keep("pose_embedding", network.pose_encoder)
    keep("ref_embedding", network.ref_encoder)
    names = ("mel", "pose", "ref_pose", "ref_content")
    content = network(*(tensor(golden.inputs[name]) for name in names))
    golden.compare({"content": content, **embeddings})


def test_golden_ip_lap_renderer() -> None:
    golden = load("ip_lap_renderer")
    network = golden.network()
    assert isinstance(network, Renderer)
    warped: list[Tensor] = []
    network.flow_module.register_forward_hook(lambda _, __, out: warped.extend(out[:2]))
    names = ("face", "target_sketches", "ref_faces", "ref_sketches")
    images = [tensor(golden.inputs[name]) / 255 for name in names]
    generated, reference = network(*images, tensor(golden.inputs["mel"]))
    face, perceptual = images[0].squeeze(1), network.perceptual
    assert perceptual is not None
    warp_loss, generation_loss = rendering_losses(perceptual, generated, reference, face)
    golden.compare(
        {
            "generated": generated,
            "warped_reference": reference,
            "warp_loss": warp_loss.reshape(1),
            "generation_loss": generation_loss.reshape(1),
            "warped_h1": warped[0],
            "warped_h2": warped[1],
        }
    )


def test_golden_ip_lap_discriminator() -> None:
    golden = load("ip_lap_discriminator")
    scales = golden.network()(tensor(golden.inputs["image"]) / 255)
    golden.compare(
        {
            f"scale{scale}_layer{layer}": features
            for scale, layers in enumerate(scales)
            for layer, features in enumerate(layers)
        }
    )


def test_golden_ip_lap_indices() -> None:
    manifest = load("ip_lap_indices").manifest
    assert list(landmarks.POSE) == manifest["pose"]
    assert list(landmarks.JAW) == manifest["jaw"]
    assert list(landmarks.LIPS) == manifest["lip"]
    assert list(landmarks.CONTENT) == manifest["content"]
    assert list(landmarks.FULL) == manifest["full"]
    lines = [tuple(pair) for pairs in manifest["connections"].values() for pair in pairs]
    assert len(landmarks.CONNECTIONS) == manifest["n_connections"]
    assert {frozenset(line) for line in landmarks.CONNECTIONS} == set(map(frozenset, lines))
    constants = manifest["constants"]
    assert constants["T"] == WINDOW
    assert constants["image_size"] == sketch.SIZE
    assert constants["line_colour_bgr"] == [sketch.GREY] * 3


def test_golden_ip_lap_losses() -> None:
    golden = load("ip_lap_losses")
    tolerance = golden.manifest["tolerance"]
    prediction, target = tensor(golden.inputs["prediction"]), tensor(golden.inputs["target"])
    golden.equal("l1", landmark_loss(prediction, target), **tolerance)
    golden.equal("velocity", velocity_loss(prediction, target), **tolerance)
    golden.equal("gram", gram_matrix(tensor(golden.inputs["feature"])), **tolerance)


def test_golden_ip_lap_paste() -> None:
    golden = load("ip_lap_paste")
    source, generated = golden.inputs["source"], golden.inputs["generated"]
    y1, _, x1, _ = golden.inputs["box_y1_y2_x1_x2"]
    points = golden.inputs["landmarks68_in_crop"] + np.array([x1, y1], np.float32)
    mask = face_contour_mask(points, source.shape[:2])
    golden.equal("mask", mask)
    golden.equal(
        "result", keep_contour(source, generated, mask), **golden.manifest["tolerance"]["result"]
    )


def test_golden_ip_lap_sketch() -> None:
    golden = load("ip_lap_sketch")
    for case in range(len(golden.inputs) // 2):
        points = golden.inputs[f"landmarks{case}"]
        height, width = golden.inputs[f"crop_size{case}"].tolist()
        golden.equal(f"canvas{case}", sketch.draw_canvas(points, (height, width)))
        drawn = sketch.draw_sketch(points, (height, width))
        golden.equal(f"sketch{case}", drawn, **golden.manifest["tolerance"]["sketch"])
