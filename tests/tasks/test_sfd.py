"""face-alignment's detector in place of mediapipe's, with weights that nobody trained."""

from pathlib import Path

import numpy as np
import pytest
import torch
from face_alignment.detection.sfd.net_s3fd import s3fd

from stores.errors import MissingWeights
from tasks.face_mesh import FaceMeshDetector
from tasks.sfd import SfdBoxes
from tests.models.exemplar_scene import texture


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "s3fd.pth"
    torch.save(s3fd().state_dict(), path)
    return path


def test_published_layout_loads_and_gives_boxes_in_frame_pixels(weights: Path) -> None:
    boxes = SfdBoxes(weights)(texture(240, 320))
    assert all(box.shape == (4,) and box.dtype == np.float32 for box in boxes)
    areas = [float((b[2] - b[0]) * (b[3] - b[1])) for b in boxes]
    assert areas == sorted(areas, reverse=True)


def test_boxes_found_elsewhere_lead_to_meshes(frames: list[np.ndarray]) -> None:
    found: list[int] = []

    def find(rgb: np.ndarray) -> list[np.ndarray]:
        found.append(1)
        return [np.array([150, 120, 255, 260], np.float32)]

    detector = FaceMeshDetector(find_boxes=find)
    landmarks, _ = detector.detect(frames[0])
    plain = FaceMeshDetector()
    expected, _ = plain.detect(frames[0])
    detector.close()
    plain.close()
    assert found
    assert np.abs(landmarks - expected).max() < 3


def test_pickled_code_is_not_run(tmp_path: Path) -> None:
    bomb, mark = tmp_path / "bomb.pth", tmp_path / "mark"

    class Bomb:
        def __reduce__(self) -> tuple[object, tuple[object, ...]]:
            return (Path.touch, (mark,))

    torch.save({"x": Bomb()}, bomb)
    with pytest.raises(MissingWeights):
        SfdBoxes(bomb)
    assert not mark.exists()
