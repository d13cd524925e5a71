"""What GANimation does to the brows of persons it has never seen, measured by the face mesh.

    python -m benchmarks.action_units --data clips.parquet --store FOLDER [--sheet OUT.png] FILE...

Each FILE is a generator of `dubflow train ganimation`. Faces are cut, changed and put back as in
dubbing, but whole and not only their upper halves; then the mesh is read off the frame again.
Figures are changes against the frame as it is, as means over faces, and the share of faces whose
brows come nearer to their eyes.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.command import table
from benchmarks.trained import arguments, networks
from flows.training.index_data import seen_clip
from models.faces.mesh.align import estimate_pose
from models.ganimation.action_units import MEASURES, UNITS, action_units, face_measures
from models.ganimation.generator import Generator
from models.video_retalking.settings import PUBLISHED_CROPS
from models.video_retalking.speaker import acted
from models.wav2lip.steps import paste_face
from stores.artifacts.store import Store
from stores.dataset_index import ClipPart, read_parts
from stores.media.read import read_frames
from stores.weights.trained import read_header
from tasks.engine.open_run import open_run
from tasks.methods.ganimation_faces import ganimation_faces
from tasks.methods.vrt_render import vrt_crops
from tasks.source.landmarks import mean_face
from tasks.source.mesh_detector import FaceMeshDetector, RgbView
from tasks.source.timeline import load_timeline

Bytes = NDArray[np.uint8]
Floats = NDArray[np.float32]

OWN = "own units"
SHOWN: Mapping[str, dict[int, float]] = {
    "all 0 (sad)": {},
    "AU 4 at 0.3 (angry)": {4: 0.3},
    "AU 4 at 1": {4: 1.0},
    "AU 1 and 2 at 0.5": {1: 0.5, 2: 0.5},
    "AU 5 at 0.2 (surprise)": {5: 0.2},
    "AU 5 at 1": {5: 1.0},
}
_FIGURES = ("inner_brow", "outer_brow", "brow_gap", "lids")
_SHEET_ROWS = 10
_SHEET_PX = 160


@dataclass(frozen=True)
class Face:
    """A face of a clip.

    Attributes:
        frame: BGR.
        crop: As dubbing cuts it, BGR.
        box: Of the crop in the frame.
        units: Its own, (17,).
    """

    frame: Bytes
    crop: Bytes
    box: NDArray[np.int64]
    units: Floats


def faces_of(part: ClipPart, store: Store, every: int, *, rest: str) -> Iterator[Face]:
    """Faces of a part of a clip, so many frames apart.

    Args:
        rest: What units are relative to: mean_face, or else the part's median.
    """
    keys = {kind: part.keys[kind] for kind in ("timeline", "landmarks")}
    seen = seen_clip(store, part.digest, part.path, **keys)
    crops = vrt_crops(seen, settings=PUBLISHED_CROPS)
    faces = ganimation_faces(seen, side=32)
    valid, measures = (faces.read(name, part.start, part.stop) for name in ("valid", "measures"))
    if not valid.any():
        return
    usual = np.median(measures[valid], axis=0)
    (mean,) = face_measures(mean_face()[None])
    units = action_units(measures, mean if rest == "mean_face" else usual)
    wanted = {*(part.start + np.flatnonzero(valid)[::every]).tolist()}
    clip = load_timeline(seen.timeline)
    for row, frame in enumerate(read_frames(part.path, clip, part.start, part.stop), part.start):
        if row in wanted:
            (crop,), (box,) = (crops.read(name, row, row + 1) for name in ("face", "box"))
            picture = np.ascontiguousarray(frame.rgb()[..., ::-1])
            yield Face(picture, crop, box, units[row - part.start])


def measured(detector: FaceMeshDetector, frame: Bytes, box: NDArray[np.int64]) -> Floats | None:
    """Measures of the face in a box (6,); None where the mesh does not find it.

    Args:
        frame: BGR. The detector has seen the same face before.
    """
    meshes, _ = detector.detect(RgbView(np.ascontiguousarray(frame[..., ::-1])))
    middle = (box[:2] + box[2:]) / 2
    for mesh in meshes:
        if (np.abs(mesh[:, :2].mean(0) - middle) < (box[2:] - box[:2]) / 2).all():
            pose = estimate_pose(mesh[None], mean_face())
            found: Floats = face_measures(pose.to_canonical(mesh[None]))[0]
            return found
    return None


def versions(face: Face, network: Generator) -> dict[str, Bytes]:
    """The crop with each set of units."""
    rows = [face.units]
    for units in SHOWN.values():
        rows.append(np.array([units.get(unit, 0.0) for unit in UNITS], np.float32))
    crops = torch.from_numpy(face.crop)[None].expand(len(rows), -1, -1, -1)
    made = acted(network, crops, torch.from_numpy(np.stack(rows))).numpy()
    return dict(zip((OWN, *SHOWN), made, strict=True))


def figures(
    face: Face, made: Mapping[str, Bytes], detector: FaceMeshDetector
) -> dict[str, list[float]] | None:
    """By version: relative changes of _FIGURES, and the mean change of the crop [levels]."""
    detector.reset()
    for _ in range(2):  # the region follows the mesh of the picture before
        before = measured(detector, face.frame, face.box)
    if before is None:
        return None
    found = {}
    for name, crop in made.items():
        after = measured(detector, paste_face(face.frame, crop, face.box), face.box)
        if after is None:
            return None
        changes = [float(after[k] / before[k] - 1) for k in map(MEASURES.index, _FIGURES)]
        levels = np.abs(crop.astype(np.float32) - face.crop).mean()
        found[name] = [*changes, float(levels)]
    return found


@torch.no_grad()
def main() -> None:
    """Print a table for each file; draw the sheet."""
    parser = arguments(__doc__, "generators")
    parser.add_argument("--every", type=int, default=25, help="frames from one face to the next")
    parser.add_argument("--sheet", type=Path, help="picture of some faces: as is, then versions")
    chosen = parser.parse_args()
    store = Store(chosen.store)
    parts = read_parts(chosen.data, splits=[chosen.split])
    for path, network in networks(chosen.files, Generator, store).items():
        found: dict[str, list[list[float]]] = defaultdict(list)
        shown = []
        told = read_header(Path(path)).trained_on
        rest = str(told.get("action_units")) if isinstance(told, dict) else ""
        with open_run(store), closing(FaceMeshDetector(max_faces=1)) as detector:
            each_part = (faces_of(part, store, chosen.every, rest=rest) for part in parts)
            for face in chain.from_iterable(each_part):
                made = versions(face, network)
                changes = figures(face, made, detector)
                if changes is not None:
                    shown.append(np.hstack([_small(each) for each in (face.crop, *made.values())]))
                    for name, numbers in changes.items():
                        found[name].append(numbers)
        rows = []
        for name, each in found.items():
            means, lower = np.mean(each, axis=0), np.mean([row[0] < 0 for row in each])
            percents = [f"{100 * value:+.1f}" for value in means[:-1]]
            rows.append([name, *percents, f"{100 * lower:.0f}", f"{means[-1]:.1f}"])
        heads = [f"{path}, {len(shown)} faces", *(f"{name} [%]" for name in _FIGURES)]
        table([*heads, "inner brow lower [% of faces]", "change [levels]"], rows)
        if chosen.sheet and shown:
            some = np.linspace(0, len(shown) - 1, min(_SHEET_ROWS, len(shown))).astype(int)
            cv2.imwrite(str(chosen.sheet), np.vstack([shown[number] for number in some]))


def _small(crop: Bytes) -> Bytes:
    return cv2.resize(crop, (_SHEET_PX, _SHEET_PX), interpolation=cv2.INTER_AREA)  # type: ignore[return-value]


if __name__ == "__main__":
    main()
