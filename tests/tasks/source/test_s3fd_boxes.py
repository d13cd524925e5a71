"""face-alignment's detector in place of mediapipe's, with weights that nobody trained."""

import numpy as np
import torch

from models.published import build
from tasks.source.mesh_detector import FaceMeshDetector, RgbView
from tasks.source.s3fd_boxes import SfdBoxes
from tests.models.exemplar_scene import texture


def test_boxes_are_in_frame_pixels_largest_first() -> None:
    torch.manual_seed(0)
    network = build("s3fd").eval()
    with torch.no_grad():  # any network finds something if it leans towards faces
        network.conv4_3_norm_mbox_conf.bias += torch.tensor([0.0, 3.0])
    boxes = SfdBoxes(network)(texture(320, 1280))
    assert boxes
    assert all(box.shape == (4,) and box.dtype == np.float32 for box in boxes)
    assert max(box[2] for box in boxes) > 640, "boxes are scaled back to the frame"
    areas = [float((b[2] - b[0]) * (b[3] - b[1])) for b in boxes]
    assert areas == sorted(areas, reverse=True)


def test_boxes_found_elsewhere_lead_to_meshes(frames: list[np.ndarray]) -> None:
    found: list[int] = []

    def find(rgb: np.ndarray) -> list[np.ndarray]:
        found.append(1)
        return [np.array([150, 120, 255, 260], np.float32)]

    detector = FaceMeshDetector(find_boxes=find)
    landmarks, _ = detector.detect(RgbView(frames[0]))
    plain = FaceMeshDetector()
    expected, _ = plain.detect(RgbView(frames[0]))
    detector.close()
    plain.close()
    assert found
    assert np.abs(landmarks - expected).max() < 3
