"""E-Net's data: faces that are restored before it learns from them."""

from pathlib import Path
from typing import Any

import pytest
import torch

from flows.recipes.video_retalking_enet import open_faces
from stores.artifacts.store import Store
from stores.dataset_index import read_parts
from stores.errors import MissingWeights
from tasks.training.dataset import BlockDataset, WindowLoader
from tests.flows.methods.test_video_retalking import NAMES, add_small
from tests.flows.recipes.test_video_retalking_dnet import job_of
from tests.flows.test_train import Make, index, make, store, trained_files
from tests.published_weights import write_registry

__all__ = ["index", "make", "store", "trained_files"]  # fixtures
pytestmark = [pytest.mark.dub, pytest.mark.long]
MISSING = r"gpen_bfr_512.* missing: .*; or set restore_targets=none"


def blocks(make: Make, enhancer: str) -> BlockDataset:
    settings = make("video_retalking.enet", None, {"restore_targets": enhancer})
    loader = open_faces(job_of(settings)).training(0, 1)
    assert isinstance(loader, WindowLoader)
    found: Any = loader._blocks
    assert isinstance(found, BlockDataset)
    return found


@pytest.mark.slow
def test_faces_are_restored_once_and_kept(
    make: Make, index: Path, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stand-in darkens stripes of what GPEN would sharpen."""
    with pytest.raises(MissingWeights, match=MISSING):
        blocks(make, "gpen")
    kept, plain = Store(store), blocks(make, "none")
    prepared = {key for kind, key in kept.committed() if kind == "face_crops"}
    monkeypatch.setenv("DUBFLOW_WEIGHTS", str(write_registry(tmp_path / "own.yaml", *NAMES)))
    add_small(kept, tmp_path, monkeypatch)
    restored = blocks(make, "gpen")
    before, after = plain[0], restored[0]
    for name in before.keys() - {"face"}:
        assert torch.equal(before[name], after[name]), name
    change = (before["face"].int() - after["face"].int()).abs().amax((0, 1)).numpy()
    points = after["landmarks"].mean(0)[:, :2].numpy() * change.shape[0]
    assert change[tuple(points.mean(0).astype(int)[::-1])] > 20, "in the face"
    assert change[:, 0].max() <= 3, "beside it no more than a JPEG that is written again"
    keys = {block.segment.keys["face_crops"] for block in restored._blocks}
    assert len(keys) == len(read_parts(index)) and not keys & prepared
    monkeypatch.setattr("tasks.methods.restored_crops.enhanced", None)  # nothing is made again
    assert blocks(make, "gpen").fingerprint() == restored.fingerprint()
