"""Making of the shipped face basis, from clips.

    python -m benchmarks.face_basis --clips DIR -o models/face_basis/face_basis.safetensors

Of the persons in the manifest's split `train`, frames of up to three clips each are looked at, five
minutes in all. Figures are of the split `validation`, of which nothing is used.
"""

import argparse
import json
from collections import defaultdict, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from benchmarks.clips import clip_rows
from benchmarks.weights import keep_arrays
from models.deep3d.alignment import STANDARD_POINTS
from models.deep3d.basis import N_EXPRESSION, N_IDENTITY
from models.deep3d.geometry import harmonics, vertex_normals
from models.face_basis.albedo import albedos
from models.face_basis.components import Components, Mirror, coefficients, components, turned
from models.face_basis.own import LANDMARKS, N_POINTS, Surface
from models.faces.mesh.align import Pose, estimate_pose
from models.faces.mesh.indices import (
    INNER_LIP,
    LIPS,
    LOWER_INNER_LIP,
    OUTER_LIP,
    UPPER_INNER_LIP,
)
from models.speech_to_lips.neutral import CLOSED_FRACTION
from stores.media.read import read_frames
from stores.media.scanning import scan
from tasks.inference.threads import one_thread
from tasks.source.faces import DETECTION_SIDE_PX
from tasks.source.landmarks import mean_face, mirrored_points
from tasks.source.mesh_detector import FaceMeshDetector, RgbView

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

N_TEXTURES = 40
CLIPS, FRAMES, EVERY = 3, 500, 5
"""Of a person, the longest; of a clip, the first; of frames, one in so many."""
PICTURES, APART = 4, 25
"""Of a clip, so many frames give colours, so many frames apart."""
MAX_TURN_DEG, MAX_PICTURE_TURN_DEG = 30.0, 20.0
"""Of faces that give shapes, and of those that give colours."""
FACE_PX = 188
"""Height of a face whose px are as far apart as the vertices: larger ones are scaled down."""
NOISE = 0.002
"""Of the points of a mesh [face heights]."""
TO_BASIS = np.array([1.0, -1.0, -1.0])
"""Canonical axes → those of a basis."""

RIGHT_EYE = (33, 246, 161, 160, 159, 158, 157, 173, 133, 155, 154, 153, 145, 144, 163, 7)
RIGHT_BROW = (46, 53, 52, 65, 55, 70, 63, 105, 66, 107)


@dataclass(frozen=True)
class Picture:
    """The colours of a face.

    Attributes:
        person: Whose.
        colors: (vertex, 3) RGB in 0..255.
        normals: (vertex, 3) in the pose.
    """

    person: str
    colors: Floats
    normals: Floats


@dataclass(frozen=True)
class Faces:
    """What clips show.

    Attributes:
        person: Of each shape.
        shapes: (shape, 468, 3) without pose, in the axes of a basis [face heights].
        pictures: Some of the same frames.
    """

    person: NDArray[np.str_]
    shapes: Floats
    pictures: list[Picture]

    def by_person(self) -> list[Floats]:
        """The shapes of each person."""
        return [self.shapes[self.person == person] for person in np.unique(self.person)]


def triangles() -> Ints:
    """Of the 468 points: mediapipe's, mirror-symmetric, facing outward, with the eyes filled."""
    from mediapipe.tasks.python.vision import FaceLandmarksConnections

    known = FaceLandmarksConnections.FACE_LANDMARKS_TESSELATION
    edges = {tuple(sorted((each.start, each.end))) for each in known}
    around = defaultdict(set)
    for a, b in edges:
        around[a].add(b)
        around[b].add(a)
    cliques = [(a, b, c) for a, b in sorted(edges) for c in sorted(around[a] & around[b]) if c > b]
    number: dict[tuple[int, ...], int] = defaultdict(int)
    for clique in cliques:
        for edge in combinations(clique, 2):
            number[edge] += 1
    # one on each side of the nose is no triangle, but the border of three
    real = [c for c in cliques if any(number[edge] < 3 for edge in combinations(c, 2))]
    side = mean_face()[:, 0]
    # The left half is the right one's mirror image, not mediapipe's own:
    # findings/face_mesh_is_not_its_mirror_image.sh.
    half = [list(c) for c in real if side[list(c)].max() <= 0]
    upper, lower = RIGHT_EYE[:9], (RIGHT_EYE[0], *RIGHT_EYE[:7:-1])
    for i in range(8):
        a, b, c, d = upper[i], upper[i + 1], lower[i + 1], lower[i]
        half += [t for t in ([a, b, c], [a, c, d]) if len(set(t)) == 3]
    return facing(np.array([*half, *mirror_points()[np.array(half)]]), mean_face() * TO_BASIS)


def facing(found: Ints, points: Floats) -> Ints:
    """The triangles (triangle, 3) of a connected surface, all turned so that most face +z."""
    beside = defaultdict(list)
    for number, triangle in enumerate(found):
        for edge in combinations(sorted(triangle), 2):
            beside[edge].append(number)
    found, left, queue = found.copy(), set(range(1, len(found))), deque([0])
    while queue:
        one = found[queue.popleft()].tolist()
        for edge in zip(one, [*one[1:], one[0]], strict=True):
            for number in left.intersection(beside[tuple(sorted(edge))]):
                other = found[number].tolist()
                if edge in zip(other, [*other[1:], other[0]], strict=True):
                    found[number] = found[number, ::-1]
                left.remove(number)
                queue.append(number)
    a, b, c = points[found].swapaxes(0, 1)
    return found if np.cross(b - a, c - a)[:, 2].sum() > 0 else found[:, ::-1].copy()


def mirror_points() -> Ints:
    """Each of the 468 points' partner."""
    return mirrored_points()[:N_POINTS].astype(np.int64)


def look(folder: Path, split: str, surface: Surface) -> Faces:
    """The faces in some frames of some clips of each person."""
    detector = FaceMeshDetector(max_faces=1)
    person, shapes, pictures = [], [], []
    by_person = defaultdict(list)
    for row in clip_rows(folder, split, seconds=0):
        by_person[row["person"]].append(row)
    for name, rows in sorted(by_person.items()):
        rows.sort(key=lambda row: (-float(row["seconds"]), row["file"]))
        for row in rows[:CLIPS]:
            taken = 0
            for number, image, mesh in meshes(folder / row["file"], detector):
                pose = estimate_pose(mesh[None], mean_face())
                turn = np.degrees(np.arctan2(pose.rotation[0, :2, 2], pose.rotation[0, 2, 2]))
                if np.abs(turn).max() > MAX_TURN_DEG:
                    continue
                person.append(name)
                shapes.append(pose.to_canonical(mesh[None])[0, :N_POINTS] * TO_BASIS)
                wanted = taken < PICTURES and number >= taken * APART
                if wanted and np.abs(turn).max() < MAX_PICTURE_TURN_DEG:
                    taken += 1
                    pictures.append(picture(name, image, mesh, pose, surface))
    detector.close()
    return Faces(np.array(person), np.array(shapes), pictures)


def meshes(
    path: Path, detector: FaceMeshDetector
) -> Iterator[tuple[int, NDArray[np.uint8], NDArray[np.float32]]]:
    """Number, picture (RGB) and mesh [its px] of frames with a face."""
    detector.reset()
    clock = scan(path)
    for number, frame in enumerate(read_frames(path, clock, 0, min(len(clock), FRAMES))):
        if number % EVERY == 0:
            image = frame.rgb(DETECTION_SIDE_PX)
            found, _ = detector.detect(RgbView(image))
            if len(found):
                yield number, image, np.asarray(found[0], np.float32)


def picture(
    person: str, image: NDArray[np.uint8], mesh: NDArray[np.float32], pose: Pose, surface: Surface
) -> Picture:
    """The colours of the face that a mesh lies on."""
    shrink = 1 / max(1, int(pose.scale[0] / FACE_PX))
    small = cv2.resize(image, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA)
    scale = np.array([small.shape[1] / image.shape[1], small.shape[0] / image.shape[0]])
    vertices = surface.through(mesh[:N_POINTS].astype(np.float64))
    x, y = (vertices[:, :2] * scale - 0.5).astype(np.float32).T
    colors = cv2.remap(small, x[:, None], y[:, None], cv2.INTER_LINEAR)[:, 0]
    return Picture(person, colors.astype(np.float64), normals_of(vertices * TO_BASIS, surface))


def normals_of(vertices: Floats, surface: Surface) -> Floats:
    """Unit normals (vertex, 3)."""
    found = vertex_normals(
        torch.from_numpy(vertices[None]),
        torch.from_numpy(surface.triangles),
        vertex_triangles=torch.from_numpy(surface.vertex_triangles),
        by_area=True,
    )
    return found[0].numpy()


def neutral(shapes: Floats) -> Floats:
    """The face (468, 3) with a closed, relaxed mouth, as `neutral_mouth` finds it."""
    gap = opening(shapes)
    count = max(1, round(CLOSED_FRACTION * len(gap)))
    closed = np.sort(shapes[np.argsort(gap, kind="stable")[:count]], axis=0)
    trim = count // 4
    return np.asarray(closed[trim : count - trim].mean(0))


def opening(shapes: Floats) -> Floats:
    """Distance (shape,) between the middle inner-lip points."""
    gap = shapes[..., LOWER_INNER_LIP, :2] - shapes[..., UPPER_INNER_LIP, :2]
    return np.asarray(np.linalg.norm(gap, axis=-1))


@dataclass(frozen=True)
class Shapes:
    """What a basis says of shapes.

    Attributes:
        mean: (468, 3) [face heights].
        identity: Of neutral faces about the mean.
        expression: Of a face about its own neutral.
    """

    mean: Floats
    identity: Components
    expression: Components

    @classmethod
    def of(cls, persons: Sequence[Floats], mirror: Mirror) -> "Shapes":
        """From the shapes of each person, who count by the square root of how many there are."""
        neutrals = np.stack([neutral(shapes) for shapes in persons])
        mean = (neutrals.mean(0) + mirror(neutrals.mean(0))) / 2
        identity = components(neutrals - mean, np.ones(len(neutrals)), mirror, N_IDENTITY)
        pairs = list(zip(persons, neutrals, strict=True))
        offsets = np.concatenate([shapes - own for shapes, own in pairs])
        weights = np.concatenate([np.full(len(shapes), len(shapes) ** -0.5) for shapes in persons])
        expression = components(offsets, weights, mirror, N_EXPRESSION)
        opened = np.concatenate([opening(shapes) - opening(own) for shapes, own in pairs])
        found = coefficients(offsets, expression, noise=NOISE)
        root = np.sqrt(weights)[:, None]
        terms = np.concatenate([found, np.ones_like(root)], 1)
        slope = np.linalg.lstsq(terms * root, opened * root[:, 0], rcond=None)[0][:-1]
        return cls(mean, identity, turned(expression, -slope))

    def errors(self, shapes: Floats) -> tuple[Floats, Floats]:
        """How far off the nearest face of the basis is from each of a person's shapes.

        Returns:
            Of the neutral face (468,), and of all shapes (shape, 468) [face heights].
        """
        own = neutral(shapes)
        identity = coefficients((own - self.mean)[None], self.identity, noise=NOISE)
        base = self.mean + np.tensordot(identity[0], self.identity.offset, 1)
        expression = coefficients(shapes - base, self.expression, noise=NOISE)
        again = base + np.tensordot(expression, self.expression.offset, 1)
        return np.linalg.norm(base - own, axis=-1), np.linalg.norm(again - shapes, axis=-1)


def regions(found: Ints) -> dict[str, NDArray[np.uint8]]:
    """Points (468,) of the whole face but its border, and of the even skin in it."""
    sides = np.sort(found[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2))
    edges, number = np.unique(sides, axis=0, return_counts=True)
    lips, grown = np.isin(np.arange(N_POINTS), INNER_LIP), -1
    while lips.sum() != grown:  # all that the outer contour surrounds
        grown = lips.sum()
        inside = edges[lips[edges].any(1) & ~np.isin(edges, OUTER_LIP).any(1)]
        lips[inside] = True
    front, skin = np.ones(N_POINTS, np.uint8), np.ones(N_POINTS, np.uint8)
    right = [*RIGHT_EYE, *RIGHT_BROW]
    front[np.setdiff1d(edges[number == 1], INNER_LIP)] = 0
    skin[[*right, *mirror_points()[right], *OUTER_LIP, *np.flatnonzero(lips)]] = 0
    return {"front": front, "skin": skin * front}


def colors_of(
    pictures: Sequence[Picture],
    surface: Surface,
    mean: Floats,
    skin: NDArray[np.uint8],
    mirror: Ints,
) -> tuple[Floats, Components]:
    """Mean and components of persons' albedo, RGB in 0..255."""
    vertices = surface.through(mean)
    across = cKDTree(vertices).query(vertices * np.array([-1, 1, 1]))[1]
    normals = np.stack([one.normals for one in pictures])
    found = albedos(
        np.stack([one.colors for one in pictures]),
        harmonics(torch.from_numpy(normals)).numpy(),
        np.clip((normals[..., 2] - 0.2) / 0.3, 0, 1),
        person=np.unique([one.person for one in pictures], return_inverse=True)[1],
        skin=surface.within(skin),
        mirror=across,
    )
    both = Mirror(across, (1, 1, 1))
    average = (found.mean(0) + both(found.mean(0))) / 2
    return average, components(found - average, np.ones(len(found)), both, N_TEXTURES)


def print_figures(shapes: Shapes, persons: Sequence[Floats]) -> None:
    """How well the basis describes faces of persons that it was not made from."""
    found = [shapes.errors(person) for person in persons]
    every = np.concatenate([errors for _, errors in found]) * 100
    print(f"{len(every)} faces of {len(persons)} persons; error in % of face height\n")
    print("| | median | 95th percentile |\n|---|---|---|")
    neutral_only = np.concatenate([errors for errors, _ in found]) * 100
    rows = {"all points": every, "lips": every[:, list(LIPS)], "neutral faces": neutral_only}
    for name, errors in rows.items():
        print(f"| {name} | {np.median(errors):.2f} | {np.quantile(errors, 0.95):.2f} |")


def main(given: Sequence[str] | None = None) -> None:
    """Make the basis, write it, and print its figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--clips", type=Path, required=True, help="folder with a manifest.csv")
    parser.add_argument("-o", "--output", type=Path, required=True, help=".safetensors")
    chosen = parser.parse_args(given)
    one_thread()
    found, mirror = triangles(), mirror_points()
    surface = Surface(found)
    faces = look(chosen.clips, "train", surface)
    shapes = Shapes.of(faces.by_person(), Mirror(mirror, (-1, 1, 1)))
    about = regions(found)
    mean_color, color = colors_of(faces.pictures, surface, shapes.mean, about["skin"], mirror)
    eyes = shapes.mean[list(LANDMARKS[36:48])].reshape(2, 6, 3).mean(1)
    unit = np.linalg.norm(STANDARD_POINTS[1] - STANDARD_POINTS[0]) / np.linalg.norm(
        eyes[1] - eyes[0]
    )
    arrays = {
        "triangles": found.astype(np.int32),
        "mean_shape": (shapes.mean * unit).astype(np.float32),
        "identity": (shapes.identity.offset * unit).astype(np.float16),
        "expression": (shapes.expression.offset * unit).astype(np.float16),
        "mean_texture": mean_color.astype(np.float16),
        "texture": color.offset.astype(np.float16),
        **about,
    }
    counts = {
        "persons": len(faces.by_person()),
        "faces": len(faces.shapes),
        "pictures": len(faces.pictures),
    }
    keep_arrays(chosen.output, arrays, made_of=counts)
    print(f"wrote {chosen.output}: {json.dumps(counts)}")
    print_figures(shapes, look(chosen.clips, "validation", surface).by_person())


if __name__ == "__main__":
    main()
