"""The StyleGAN2 talking face on clips that it has not learned from, driven both ways.

    python -m benchmarks.stylegan2_face --data clips.parquet --store FOLDER [--split validation]
        [--clips 12] [--seconds 4] FILE...

Each FILE is one of `dubflow train stylegan2.face`; the ablations of the paper are files trained
with other settings. All is measured in the aligned squares of prepared clips, one part of each, of
frames whose face is turned by no more than 45 degrees; sound is put in step where preparation is
sure of the lag. Who it is says one frame of the clip, the most frontal and closed one.

First table, against the true frames: the clip's own speech or video drives, eyes and contour are
the clip's own. `holes` are pixels of the skin off a 9 x 9 median by more than 25 levels, a frame;
sharpness (CPBD, variance of the luma's Laplacian) is of pictures enlarged to 256 px. Beside it the
still frame and the true ones, as they are.

Second table: `eyes` and `yaw`, of the mesh network on what was drawn, are correlations with a
driver of another person, and how far they deviate with speech and `face: still` as a share of what
the clip's own do; `opening` is the correlation of the drawn mouth's opening with that of who spoke,
and with that of who did not; `mouth/eyes` is how much more other speech changes the mouth region.

Third table: how much of the mouth's opening a ridge regression reads out of features (R² on clips
that it has not seen, opening and features about each clip's mean): of the identity's feature, of
its finest map, of the rest of the face, and of the lips for comparison.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from benchmarks.command import table
from benchmarks.trained import arguments
from models.faces.crop.masks import face_mask
from models.faces.mesh.align import estimate_pose, pose_descriptor
from models.faces.mesh.indices import LIPS, MOUTH
from models.metrics.correlation import correlation
from models.metrics.cpbd import cpbd
from models.metrics.similarity import psnr, ssim
from models.quality.picture import turn_degrees
from models.speech_to_lips.neutral import opening
from models.stylegan2_face.alignment import EYE_BOX, EYES, MOUTH_BOX, SIDE, box_in, placed
from models.stylegan2_face.driving import still_frame
from models.stylegan2_face.network import TalkingFace
from models.stylegan2_face.settings import SquareSettings
from models.stylegan2_face.speaker import Listener, Looker, Portrayer, as_network
from models.stylegan2_face.speech import first_steps, windows
from models.tensors import ImageBytes
from stores.artifacts.artifact import Artifact
from stores.artifacts.source import Source
from stores.artifacts.store import Store
from stores.dataset_index import ClipPart, read_parts
from tasks.engine.device_settings import DeviceSettings
from tasks.engine.open_run import open_run
from tasks.inference.runner import Runner
from tasks.methods.stylegan2 import size_of
from tasks.source.face_squares import face_squares
from tasks.source.landmarks import load_frontal, mean_face
from tasks.source.mesh_detector import MESH_SIZE, MeshNetwork, mesh_network, mesh_region
from tasks.source.timeline import load_timeline
from tasks.speech.davs_cepstra import davs_cepstra
from tasks.training.dataset import WindowSettings
from tasks.weights.networks import load_network, trained_weights

Floats = NDArray[np.float32]
Pictures = NDArray[np.uint8]

HOLE_LEVELS = 25
JUDGED_FRAMES = 12
"""Of a clip, evenly spread, that pictures are compared on."""
LEAST_FRAMES = 25
EACH = ("PSNR [dB]", "SSIM", "CPBD", "Laplacian")
PICTURES = (*EACH, *(f"mouth {name}" for name in EACH), "holes")
MOTION = (
    *("eyes", "yaw", "eyes, by speech", "yaw, by speech"),
    *("opening", "opening, other speech", "mouth/eyes"),
)
PROBES = ("identity", "finest map", "rest", "lips")
LEAST_MOTION = {"eyes": 0.02, "yaw": 0.02}
"""Deviations [ratio, rad] of a driver that is judged: of less, the reader's noise is read."""
RIDGES = (1e-2, 1e-1, 1.0, 10.0)
"""Strengths, of features of unit mean square; the best one is told."""


@dataclass(frozen=True)
class Clip:
    """What is seen and heard in a part.

    Attributes:
        faces: (frame, side, side, 3) aligned.
        points: (frame, 478, 2) their meshes [px of the square].
        cepstra: (frame, 20, 12) heard about each frame.
        opening: (frame,) of the mouth.
        still: Row of the frame that says who it is.
    """

    faces: Pictures
    points: Floats
    cepstra: Floats
    opening: Floats
    still: int


def read_clip(part: ClipPart, store: Store, weights: Artifact, seconds: float) -> Clip | None:
    """The first seconds of a part, cut as a network was trained; None if it shows too little."""
    size = size_of(weights)
    clock, seen = (store.get(kind, part.keys[kind]) for kind in ("timeline", "landmarks"))
    cut = SquareSettings(align=size.align, side=size.side)
    squares = face_squares(Source.of(part.path), clock, landmarks=seen, settings=cut)
    times = load_timeline(clock).seconds
    rows = np.arange(part.start, part.stop)
    rows = rows[load_frontal(seen)[rows] & (times[rows] < times[rows[0]] + seconds)]
    if len(rows) < LEAST_FRAMES:
        return None
    kind = "mfcc" if size.mfcc == "psf" else "waveform"
    sound = store.get(kind, part.keys[kind])
    heard = sound if kind == "mfcc" else davs_cepstra(sound)
    sure = part.lag_confidence >= (WindowSettings.model_validate({}).sure_lag or 0.0)
    moments = times[rows] - (part.lag_seconds if sure else 0.0)
    meshes = seen.read_rows("landmarks", rows)[:, :, :2]
    opened = opening(seen.read_rows("mouth", rows))
    turned = turn_degrees(seen.read_rows("rotation", rows))
    still = still_frame(turned, opened, np.ones(len(rows), bool))
    return Clip(
        squares.read_rows("face", rows),
        placed(meshes, squares.read_rows("transform", rows)),
        windows(heard.read("mfcc"), first_steps(moments)),
        opened,
        still,
    )


class _Person(nn.Module):
    """Identity of faces: feature and finest map (batch, number)."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        assert isinstance(network, TalkingFace)
        self.network = network

    def forward(self, faces: ImageBytes) -> Tensor:
        who = self.network.identity(as_network(faces))
        return torch.cat([who.feature, who.finest.flatten(1)], 1)


class Face:
    """A trained network, block by block.

    Args:
        weights: Of it.
    """

    def __init__(self, weights: Artifact) -> None:
        network, size = load_network(weights), size_of(weights)
        makers = (Looker, Listener, partial(Portrayer, noise="fixed"), _Person)
        self._runners = [Runner(make(network), DeviceSettings()) for make in makers]
        self._lips, self._who = size.features, 8 * size.identity_width

    def see(self, faces: Pictures) -> tuple[Floats, Floats]:
        """Lip feature and the rest's."""
        lips, rest = np.split(self._run(0, faces), [self._lips], axis=1)
        return lips, rest

    def hear(self, cepstra: Floats) -> Floats:
        """Lip feature of speech."""
        return self._run(1, cepstra)

    def draw(self, person: Pictures, lips: Floats, rest: Floats) -> Pictures:
        """Faces of that person (side, side, 3)."""
        count = len(lips)
        faces = np.broadcast_to(person, (count, *person.shape))
        return self._run(2, lips, rest, np.arange(count), faces)

    def identity(self, faces: Pictures) -> tuple[Floats, Floats]:
        """Feature and finest map (frame, number) of who is seen."""
        feature, finest = np.split(self._run(3, faces), [self._who], axis=1)
        return feature, finest

    def _run(self, number: int, *given: NDArray[Any]) -> NDArray[Any]:
        blocks = (
            [each[start : start + 64] for each in given] for start in range(0, len(given[0]), 64)
        )
        return np.concatenate(list(self._runners[number].map(blocks)))


def holes(picture: Pictures, skin: NDArray[np.bool_]) -> int:
    """Pixels of the skin that stand out of their surroundings."""
    off = cv2.absdiff(picture, cv2.medianBlur(picture, 9)).max(-1)
    return int(np.count_nonzero((off > HOLE_LEVELS) & skin))


def skin_of(points: Floats, side: int) -> NDArray[np.bool_]:
    """(side, side) the face without eyes and mouth.

    Args:
        points: (478, 2) [px of the square].
    """
    inside = face_mask(points, side) > 128
    parts = np.zeros((side, side), np.uint8)
    for group in (*EYES, LIPS):
        cv2.fillConvexPoly(parts, cv2.convexHull(np.rint(points[list(group)]).astype(int)), (1,))
    wide = max(3, side // 16) | 1
    return inside & (cv2.dilate(parts, np.ones((wide, wide), np.uint8)) == 0)


def figures(made: Pictures, true: Pictures, skin: NDArray[np.bool_]) -> list[float]:
    """Those of PICTURES, of one frame."""
    found = []
    for rows, columns in ((slice(None), slice(None)), box_in(len(made), MOUTH_BOX)):
        one, other = (np.ascontiguousarray(each[rows, columns]) for each in (made, true))
        zoom = SIDE / len(made)
        gray = cv2.cvtColor(one, cv2.COLOR_RGB2GRAY)
        gray = cv2.resize(gray, None, None, zoom, zoom, cv2.INTER_CUBIC)
        found += [min(psnr(one, other), 99.0), ssim(one, other), cpbd(np.asarray(gray, np.uint8))]
        found.append(float(cv2.Laplacian(gray, cv2.CV_64F).var()))
    return [*found, holes(made, skin)]


def eye_opening(points: Floats) -> Floats:
    """(frame,) aspect ratio of the eyes, their mean: height over width.

    Args:
        points: (frame, 478, 2 or 3).
    """
    found = []
    for group in EYES:
        outer, up, upper, inner, lower, low = (points[:, n, :2] for n in group)
        heights = np.linalg.norm(up - low, axis=1) + np.linalg.norm(upper - lower, axis=1)
        found.append(heights / (2 * np.linalg.norm(outer - inner, axis=1)))
    return np.asarray(np.mean(found, 0), np.float32)


def read_faces(network: MeshNetwork, faces: Pictures, near: Floats) -> dict[str, Floats]:
    """Eyes, yaw and opening (frame,) of faces in squares; NaN where none is found.

    Args:
        near: (frame, 478, 2) where a face like it lies, by which the mesh network looks.
    """
    meshes, found = np.repeat(mean_face()[None], len(faces), 0), np.zeros(len(faces), bool)
    for row, face in enumerate(faces):
        region = mesh_region(near[row])
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        size = (MESH_SIZE, MESH_SIZE)
        cut = cv2.warpAffine(face, region, size, flags=flags, borderMode=cv2.BORDER_REPLICATE)
        points, _ = network(np.asarray(cut, np.uint8))
        if points is not None and np.isfinite(points).all():
            meshes[row], found[row] = points, True
    pose = estimate_pose(meshes, mean_face())
    told = {
        "eyes": eye_opening(meshes),
        "yaw": pose_descriptor(pose)[:, 0],
        "opening": opening(pose.to_canonical(meshes)[:, list(MOUTH)]),
    }
    return {name: np.where(found, each, np.float32(np.nan)) for name, each in told.items()}


def together(one: Floats, other: Floats) -> float:
    """Correlation of two series where both are known; NaN where they tell too little."""
    known = np.isfinite(one) & np.isfinite(other)
    return correlation(one[known], other[known]) if known.sum() > LEAST_FRAMES // 2 else np.nan


def followed(made: Floats, driver: Floats, least: float) -> float:
    """Correlation with a driver; NaN where it moves less than that."""
    return together(made, driver) if np.nanstd(driver) >= least else np.nan


def judged(face: Face, clip: Clip) -> dict[str, list[list[float]]]:
    """PICTURES of some frames, by what drives the still frame's face; of it, and of the truth."""
    rows = np.linspace(0, len(clip.faces) - 1, JUDGED_FRAMES).astype(int)
    true, person = clip.faces[rows], clip.faces[clip.still]
    lips, rest = face.see(true)
    shown = {
        "speech": face.draw(person, face.hear(clip.cepstra[rows]), rest),
        "video": face.draw(person, lips, rest),
        "the still frame": np.broadcast_to(person, true.shape),
        "the true frames": true,
    }
    skins = [skin_of(clip.points[row], len(person)) for row in rows]
    return {
        name: [figures(*each) for each in zip(made, true, skins, strict=True)]
        for name, made in shown.items()
    }


def picture_rows(found: Sequence[dict[str, list[list[float]]]]) -> Iterator[list[str]]:
    """Rows of the first table."""
    for drive in found[0]:
        means = np.mean([numbers for each in found for numbers in each[drive]], 0)
        yield [drive, *(f"{value:.3f}" if 0 < value < 1 else f"{value:.1f}" for value in means)]


def motion(face: Face, clips: Sequence[Clip], network: MeshNetwork) -> list[str]:
    """Numbers of the second table: the median over clips."""
    found = []
    own = [read_faces(network, clip.faces, clip.points) for clip in clips]
    look: Callable[[Pictures, Floats], dict[str, Floats]] = partial(read_faces, network)
    for number, clip in enumerate(clips):
        other, seen = clips[number - 1], own[number - 1]
        person = clip.faces[clip.still]
        lips, rest = face.see(other.faces)
        by_video = look(face.draw(person, lips, rest), other.points)
        _, still = face.see(person[None])
        count = min(len(clip.cepstra), len(other.cepstra))
        both = [each.cepstra[:count] for each in (clip, other)]
        quiet = np.repeat(still, count, 0)
        made, strange = (face.draw(person, face.hear(each), quiet) for each in both)
        near = np.repeat(clip.points[clip.still][None], count, 0)
        by_speech = look(made, near)
        spoken, unspoken = (each["opening"][:count] for each in (own[number], seen))
        changed = np.abs(made.astype(np.float32) - strange)
        mouth, eyes = (changed[:, *box_in(len(person), box)].mean() for box in (MOUTH_BOX, EYE_BOX))
        found.append(
            [
                *(followed(by_video[n], seen[n], LEAST_MOTION[n]) for n in ("eyes", "yaw")),
                *(np.nanstd(by_speech[n]) / np.nanstd(own[number][n]) for n in ("eyes", "yaw")),
                *(together(by_speech["opening"], each) for each in (spoken, unspoken)),
                mouth / max(float(eyes), 1e-6),
            ]
        )
    return [f"{value:.2f}" for value in np.nanmedian(found, 0)]


def betrayed(features: Sequence[Floats], openings: Sequence[Floats], *, folds: int = 4) -> float:
    """R² of the opening, as a ridge regression reads it out of other clips' features.

    Args:
        features: (frame, number) of each clip.
        openings: (frame,) of each.
        folds: In each, another share of the clips is read.
    """
    x = np.concatenate([each - each.mean(0) for each in features]).astype(np.float64)
    y = np.concatenate([each - each.mean() for each in openings]).astype(np.float64)
    x /= max(float(np.sqrt((x**2).sum(1).mean())), 1e-9)
    fold = np.repeat(np.arange(len(features)) % folds, [len(each) for each in features])
    alike, found = x @ x.T, []
    for strength in RIDGES:
        said = np.zeros_like(y)
        for number in range(folds):
            known, asked = fold != number, fold == number
            inner = alike[np.ix_(known, known)] + strength * np.eye(known.sum())
            said[asked] = alike[np.ix_(asked, known)] @ np.linalg.solve(inner, y[known])
        found.append(1 - float(((y - said) ** 2).sum() / (y**2).sum()))
    return max(found)


def betrayals(face: Face, clips: Sequence[Clip]) -> list[str]:
    """Numbers of the third table."""
    seen = [[*face.identity(clip.faces), *face.see(clip.faces)[::-1]] for clip in clips]
    openings = [clip.opening for clip in clips]
    return [f"{betrayed(kind, openings):.2f}" for kind in zip(*seen, strict=True)]


def main() -> None:
    """Print the tables."""
    parser = arguments(__doc__, "talking faces")
    parser.add_argument("--clips", type=int, default=12, help="so many, of different persons first")
    parser.add_argument("--seconds", type=float, default=4.0, help="of each")
    chosen = parser.parse_args()
    store = Store(chosen.store)
    parts = one_each(read_parts(chosen.data, splits=[chosen.split]))
    rows, probes = [], []
    with open_run(store), closing(mesh_network()) as network:
        for path in chosen.files:
            weights = trained_weights(Path(path), store=store)
            read = (read_clip(part, store, weights, chosen.seconds) for part in parts)
            clips = list(islice((clip for clip in read if clip is not None), chosen.clips))
            face = Face(weights)
            print(f"\n{path}: {len(clips)} clips")
            table(["", *PICTURES], picture_rows([judged(face, clip) for clip in clips]))
            rows.append([path, *motion(face, clips, network)])
            probes.append([path, *betrayals(face, clips)])
    table(["", *MOTION], rows)
    table(["", *PROBES], probes)


def one_each(parts: Sequence[ClipPart]) -> list[ClipPart]:
    """Parts in an order that shows another person each time, as long as there are any."""
    seen: dict[str, int] = {}
    turns = []
    for part in parts:
        seen[part.person] = seen.get(part.person, -1) + 1
        turns.append(seen[part.person])
    return [parts[n] for n in np.argsort(turns, kind="stable")]


if __name__ == "__main__":
    main()
