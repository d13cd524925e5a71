"""Pictures that an artifact keeps as JPEG read like any other array."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import zarr

from stores.artifacts.artifact import Artifact
from stores.artifacts.builder import Derivation
from stores.artifacts.jpegs import JpegRows
from stores.artifacts.schema import ArraySpec, Schema
from stores.artifacts.store import Store
from stores.errors import DamagedArtifact

ROWS, SIDE, SHARD = 11, 48, 4

PICTURES = Schema(
    "pictures",
    {
        "photo": ArraySpec(
            ("frame", "y", "x", "rgb"), "uint8", chunk=4, shard=SHARD, jpeg_quality=95
        )
    },
    {"y": SIDE, "x": SIDE, "rgb": 3},
)


def photos() -> np.ndarray:
    """Smooth pictures; rows 4 to 8 are black: a whole piece and the beginning of the next."""
    noise = np.random.default_rng(3).normal(0, 1, (ROWS, SIDE, SIDE, 3)).astype(np.float32)
    smooth = np.stack([cv2.GaussianBlur(each, (0, 0), 4) for each in noise])
    found = np.clip(130 + 400 * smooth, 0, 255).astype(np.uint8)
    found[4:9] = 0
    return found


@pytest.fixture(params=["by shards", "whole"])
def kept(tmp_path: Path, request: pytest.FixtureRequest) -> tuple[Artifact, np.ndarray]:
    store, given = Store(str(tmp_path / "store")), photos()
    builder = store.builder(Derivation.of(PICTURES, 1, {}, {}), {"frame": ROWS})
    builder.prepare()
    if request.param == "whole":
        builder.write_whole({"photo": given})
    else:
        for shard, start in enumerate(range(0, ROWS, SHARD)):
            builder.write(shard, {"photo": given[start : start + SHARD]}, seconds=0)
    return builder.commit({}, seconds=0), given


def test_any_rows_come_back_within_a_few_levels(kept: tuple[Artifact, np.ndarray]) -> None:
    artifact, given = kept
    for start, stop in [(0, ROWS), (3, 5), (9, 11), (2, 2), (8, 40)]:
        found = artifact.read("photo", start, stop)
        assert found.shape == given[start:stop].shape and found.dtype == np.uint8
        if len(found):
            off = np.abs(found.astype(int) - given[start:stop])
            assert off.max() <= 8 and off.mean() < 1.0
    assert not artifact.read("photo", 4, 9).any(), "black stays black"
    rows = np.array([10, 0, 10])
    np.testing.assert_array_equal(artifact.read_rows("photo", rows), artifact.read("photo")[rows])


def test_plain_zarr_finds_the_files_and_what_they_are(kept: tuple[Artifact, np.ndarray]) -> None:
    artifact, _ = kept
    group = zarr.open_group(artifact.file(""), mode="r")["photo"]
    assert isinstance(group, zarr.Group)
    assert group.attrs["encoding"] == "jpeg" and group.attrs["shape"] == [ROWS, SIDE, SIDE, 3]
    piece = group["000002"]
    assert isinstance(piece, zarr.Array)
    sizes = piece.attrs["bytes_of_rows"]
    assert isinstance(sizes, list) and sizes[0] == 0 and len(sizes) == 3
    data = np.asarray(piece[:], np.uint8)
    first = cv2.cvtColor(cv2.imdecode(data[: int(sizes[1])], 1), cv2.COLOR_BGR2RGB)  # type: ignore[call-overload]
    np.testing.assert_array_equal(first, artifact.read("photo", 9, 10)[0])


def test_a_layout_says_what_the_pictures_are(kept: tuple[Artifact, np.ndarray]) -> None:
    layout = kept[0].layout("photo")
    assert layout is not None
    assert (layout.dims, layout.shape) == (("frame", "y", "x", "rgb"), (ROWS, SIDE, SIDE, 3))


def test_damage_in_a_picture_is_found(kept: tuple[Artifact, np.ndarray]) -> None:
    artifact, _ = kept
    file = artifact.file("photo/000000/c/0")
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 4
    file.write_bytes(data)
    with pytest.raises(DamagedArtifact, match="photo/000000"):
        artifact.read("photo", 0, 1)


def test_pieces_are_kept_for_those_who_come_back_alone(kept: tuple[Artifact, np.ndarray]) -> None:
    artifact, _ = kept
    for row in (0, 5, 10, 1):
        artifact.read("photo", row, row + 1)
    rows = artifact._arrays["photo"]
    assert isinstance(rows, JpegRows)
    assert set(rows._pieces) == {0, 1, 2}
    for start in range(0, ROWS, 2):
        artifact.read("photo", start, start + 2)
    assert set(rows._pieces) == {2}, "who reads on forgets what lies behind"
