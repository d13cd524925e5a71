"""How near IP-LAP's renderer comes to real faces of persons it has never seen.

    python -m benchmarks.faces --data clips.parquet --store FOLDER [--sheet OUT.png] FILE...

Each FILE is a renderer of `dubflow train ip_lap.renderer`. It is given the true landmarks of a
moment and reference pictures of the same clip, from the most closed to the most open mouth, none
from within 1 s of it. Judged is the lower half of the 128 x 128 face; the upper half, which it is
given, is the true one in every row. Beside it: one of those references as it is, whose jaw and
lips lie nearest to the true ones, and the mean of all.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.command import table
from benchmarks.trained import arguments, networks
from flows.recipes.ip_lap_renderer import judged_windows
from models.ip_lap.landmarks import CONTENT
from models.ip_lap.perceptual import PerceptualLoss
from models.ip_lap.references import choose_references, lip_distance
from models.ip_lap.renderer import Renderer
from models.ip_lap.sketch import SIZE
from models.ip_lap.windows import MIDDLE, TICKS_PER_SECOND
from models.metrics.similarity import psnr, ssim
from stores.artifacts.store import Store
from stores.dataset_index import read_parts
from tasks.training.dataset import BlockDataset, WindowSettings, cut_sample
from tasks.training.ip_lap import CROP_PX, boxes_of, crop_px, shares
from tasks.training.ip_lap_renderer import RendererRecipe, RendererSettings, render
from tasks.training.recipe import Batch, Sample

Bytes = NDArray[np.uint8]

APART = TICKS_PER_SECOND
"""References are so many ticks from the face that is made, or more."""
COUNTS = (3, 10)
"""References that the renderer is given."""
NEAREST, MEAN = f"nearest of {COUNTS[-1]} references, as it is", f"mean of {COUNTS[-1]} references"
_SHEET_ROWS = 12


@dataclass(frozen=True)
class Moment:
    """A face to be made.

    Attributes:
        block: Arrays of the part of a clip that it lies in.
        tick: Which of its ticks.
        windows: What is around it.
    """

    block: dict[str, NDArray[Any]]
    tick: int
    windows: WindowSettings

    def sample(self, count: int) -> Sample | None:
        """What a training's loader would give; None where other moments are too few."""
        ticks = np.arange(len(self.block["landmarks"]))
        usable = np.abs(ticks - self.tick) >= APART
        if usable.sum() < COUNTS[-1]:
            return None
        others = choose_references(lip_distance(self.block["mouth"]), usable, count)
        sample = cut_sample(self.block, self.tick - MIDDLE, others, self.windows)
        sample["row"] = np.zeros((), np.int64)
        return {name: torch.from_numpy(array)[None] for name, array in sample.items()}


def moments(blocks: BlockDataset, windows: WindowSettings, every: int) -> Iterator[Moment]:
    """Moments of all parts of clips, so many ticks apart."""
    for number in range(len(blocks)):
        block = {name: tensor.numpy() for name, tensor in blocks[number].items()}
        for tick in range(MIDDLE, len(block["landmarks"]) - MIDDLE, every):
            yield Moment(block, tick, windows)


def made_faces(
    moment: Moment, recipe: RendererRecipe, renderers: dict[str, Renderer]
) -> dict[str, Tensor] | None:
    """Faces (3, SIZE, SIZE) BGR in 0..1 by who made them; the true one has no name."""
    made: dict[str, Tensor] = {}
    for count in COUNTS:
        if (sample := moment.sample(count)) is None:
            return None
        batch, nearest = recipe.batch(sample, torch.device("cpu"), None), _nearest(sample)
        for name, renderer in renderers.items():
            generated, _ = render({"renderer": renderer}, batch)
            made[f"{name}, {count} references"] = generated[0].float()
    made[NEAREST] = batch["references"][0, nearest]
    made[MEAN] = batch["references"][0].mean(dim=0)
    made[""] = batch["face"][0, 0]
    return {name: _lower_half_of(face, batch) for name, face in made.items()}


def _nearest(sample: Sample) -> int:
    """The reference whose jaw and lips lie nearest, as shares of the boxes."""
    settings = RendererSettings.model_validate({})
    points = [crop_px(sample[name]) for name in ("landmarks", "reference_landmarks")]
    seen, shown = (shares(p, boxes_of(p, settings.crops))[0, ..., -len(CONTENT) :] for p in points)
    return int(np.square(shown - seen[MIDDLE]).sum(axis=(1, 2)).argmin())


def _lower_half_of(face: Tensor, batch: Batch) -> Tensor:
    half = SIZE // 2
    return torch.cat([batch["face"][0, 0, :, :half], face[:, half:].clamp(0, 1)], dim=1)


def _levels(face: Tensor) -> Bytes:
    """(SIZE, SIZE, 3) RGB."""
    return (face.permute(1, 2, 0).flip(2) * 255).round().to(torch.uint8).numpy()


class Judge:
    """Figures of made faces beside the true ones."""

    def __init__(self, perceptual: PerceptualLoss) -> None:
        self._perceptual = perceptual
        self._found: dict[str, list[tuple[float, float, float]]] = defaultdict(list)

    def add(self, made: dict[str, Tensor]) -> None:
        """Judge all that was made of one moment."""
        true = made[""]
        wanted = self._perceptual.features(true[None])
        below = slice(SIZE // 2, None)
        for name, face in made.items():
            if name:
                ours, theirs = _levels(face)[below], _levels(true)[below]
                off = self._perceptual(
                    self._perceptual.features(face[None]),
                    wanted,
                    style_weight=self._perceptual.model.style_weight,
                )
                self._found[name].append((psnr(ours, theirs), ssim(ours, theirs), float(off)))

    def report(self) -> None:
        """Print a table."""
        rows = []
        for name, found in self._found.items():
            signal, alike, off = np.mean(found, axis=0)
            rows.append([name, f"{signal:.2f}", f"{alike:.3f}", f"{off:.2f}"])
        faces = len(next(iter(self._found.values())))
        table([f"{faces} faces", "PSNR [dB]", "SSIM", "perceptual loss"], rows)


@torch.no_grad()
def main() -> None:
    """Print the table; draw the sheet."""
    parser = arguments(__doc__, "renderers")
    parser.add_argument("--every", type=int, default=40, help="ticks from one face to the next")
    parser.add_argument("--sheet", type=Path, help="picture of some faces: true, then each row's")
    chosen = parser.parse_args()
    store = Store(chosen.store)
    renderers = networks(chosen.files, Renderer, store)
    settings = RendererSettings.model_validate({"crop_px": round(CROP_PX)})
    recipe = RendererRecipe(settings, chosen.store)
    perceptual = recipe.frozen()["perceptual"]
    assert isinstance(perceptual, PerceptualLoss)
    judge = Judge(perceptual)
    segments = read_parts(chosen.data, splits=[chosen.split])
    windows = judged_windows(settings)
    shown = []
    for moment in moments(BlockDataset(segments, chosen.store, windows), windows, chosen.every):
        made = made_faces(moment, recipe, renderers)
        if made is not None:
            judge.add(made)
            shown.append(np.hstack([_levels(made[name]) for name in ("", *filter(None, made))]))
    judge.report()
    if chosen.sheet:
        some = np.linspace(0, len(shown) - 1, min(_SHEET_ROWS, len(shown))).astype(int)
        sheet = np.vstack([shown[number] for number in some])
        cv2.imwrite(str(chosen.sheet), np.ascontiguousarray(sheet[..., ::-1]))


if __name__ == "__main__":
    main()
