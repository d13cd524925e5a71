"""GANimation's training data: which faces, and whose action units."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from flows.recipes.ganimation import open_faces
from flows.training.openface import COLUMNS, openface_units
from models.ganimation.action_units import UNITS, action_units, face_measures
from models.video_retalking.settings import PUBLISHED_CROPS
from stores.artifacts.source import Source
from stores.artifacts.store import Store
from stores.dataset_index import read_parts
from stores.errors import InputError
from tasks.engine.open_run import open_run
from tasks.methods.vrt_render import vrt_crops
from tasks.source.landmarks import mean_face
from tasks.source.seen import Seen
from tasks.training.dataset import WindowLoader
from tests.flows.recipes.test_video_retalking_dnet import job_of
from tests.flows.test_train import Make, index, make, store, trained_files

__all__ = ["index", "make", "store", "trained_files"]  # fixtures

HEAD = ["frame", "face_id", "timestamp", "confidence", "success", *COLUMNS]


def write_csv(path: Path, rows: int, *, head: list[str] = HEAD, intensity: float = 2.5) -> Path:
    """As OpenFace does, with spaces behind the commas; the face is lost in the second frame."""
    lines = [", ".join(head)]
    for row in range(rows):
        told = {"frame": row + 1, "success": int(row != 1), "AU04_r": intensity}
        lines.append(", ".join(str(told.get(name, 0)) for name in head))
    path.write_text("\n".join(lines) + "\n")
    return path


def test_openface_tells_units_in_fifths(tmp_path: Path) -> None:
    units, known = openface_units(write_csv(tmp_path / "a.csv", 3), frames=4)
    assert known.tolist() == [True, False, True, False]
    wanted = np.zeros(17)
    wanted[UNITS.index(4)] = 0.5
    np.testing.assert_allclose(units[[0, 2]], [wanted, wanted])
    above, _ = openface_units(write_csv(tmp_path / "b.csv", 1, intensity=5.5), frames=1)
    assert above.max() == 1


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda path: None, "there is no .*; run OpenFace's FeatureExtraction"),
        (lambda path: write_csv(path, 9), "line 6: frame 5 of 4"),
        (lambda path: write_csv(path, 2, head=HEAD[:-1]), "no column AU45_r"),
        (lambda path: write_csv(path, 2, intensity="?"), "line 2: a cell is no number"),  # type: ignore[arg-type]
        (lambda path: path.write_bytes(b"\xff\xfe"), "no text in UTF-8"),
        (lambda path: path.write_text(""), "no column frame"),
    ],
)
def test_another_table_is_refused_in_one_line(tmp_path: Path, write: Any, message: str) -> None:
    path = tmp_path / "clip.csv"
    write(path)
    with pytest.raises(InputError, match=message) as error:
        openface_units(path, frames=4)
    assert "\n" not in str(error.value)


@pytest.mark.long
@pytest.mark.dub
def test_faces_are_those_of_dubbing_with_units_from_the_persons_median(
    make: Make, store: Path, tmp_path: Path
) -> None:
    settings = make("ganimation")
    data = open_faces(job_of(settings))
    loader = data.training(0, 1)
    assert isinstance(loader, WindowLoader)
    blocks: Any = loader._blocks
    part, rows = blocks._blocks[0]
    kept = Store(str(store))
    (clip,) = [p for p in read_parts(settings.data, splits=["train"]) if p.row == part.row]
    faces = kept.get("ganimation_faces", part.faces)
    timeline, landmarks = (kept.get(k, clip.keys[k]) for k in ("timeline", "landmarks"))
    with open_run(kept):
        seen = Seen(Source.of(clip.path), timeline, landmarks, None)
        crops = vrt_crops(seen, settings=PUBLISHED_CROPS)
    block = {name: tensor.numpy() for name, tensor in blocks[0].items()}
    row = int(rows[3])
    dubbed = cv2.resize(crops.read("face", row, row + 1)[0], (32, 32))
    np.testing.assert_array_equal(block["face"][3].transpose(1, 2, 0)[..., ::-1], dubbed)
    measures = faces.read("measures", part.start, part.stop)[part.valid]
    wanted = action_units(measures, np.median(measures, axis=0))  # one clip a person
    np.testing.assert_array_equal(block["units"], wanted[: len(rows)])
    assert 0 < block["units"].max() <= 1
    assert data.facts["action_units"] == "person"
    absolute = settings.settings | {"rest": "mean_face"}
    other_rest = open_faces(job_of(settings.model_copy(update={"settings": absolute})))
    loader = other_rest.training(0, 1)
    assert isinstance(loader, WindowLoader)
    units = loader._blocks[0]["units"].numpy()
    wanted = action_units(measures, face_measures(mean_face()[None])[0])
    np.testing.assert_array_equal(units, wanted[: len(rows)])
    sample = blocks.cut(block, 3, np.zeros(0, np.int64))
    assert (sample["face"].shape, sample["units"].shape) == ((3, 32, 32), (17,))

    own = settings.settings | {"openface": str(tmp_path)}
    with pytest.raises(InputError, match="there is no"):
        open_faces(job_of(settings.model_copy(update={"settings": own})))
    for each in range(3):
        write_csv(tmp_path / f"{each}.csv", 54)
    told = open_faces(job_of(settings.model_copy(update={"settings": own})))
    assert told.facts["action_units"] == "openface" and told.key != data.key
    loader = told.training(0, 1)
    assert isinstance(loader, WindowLoader)
    other: Any = loader._blocks
    assert 1 not in other._blocks[0][1], "where OpenFace lost the face"
    assert (other[0]["units"][:, UNITS.index(4)] == 0.5).all()
