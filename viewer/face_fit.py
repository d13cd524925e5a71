"""Pictures of a fitted face model beside what it was fitted to."""

from collections.abc import Iterator, Sequence
from functools import cache

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import load_file

from models.audiodvp.face_model import FaceModel
from models.face_basis.own import basis_of
from models.face_fit.basis import as_fitted, published
from models.face_fit.coefficients import Coefficients, render
from models.face_fit.photometric import SIDE
from stores.artifacts.artifact import Artifact
from stores.artifacts.store import Store
from stores.shipped import shipped_file

Image = NDArray[np.uint8]

_LANDMARK_COLOUR, _PHOTO_COLOUR, _NOW = (90, 255, 140), (255, 160, 60), (255, 255, 255)


@cache
def _own_model() -> FaceModel:
    file = shipped_file("models/face_basis/face_basis.safetensors")
    return FaceModel(as_fitted("own", basis_of(load_file(file), levels=1)))


def _model(person: Artifact) -> FaceModel:
    """The model that the person was fitted with."""
    if person.attributes["basis"] == "own":
        return _own_model()
    file = Store(person.store_url).get(*person.manifest.inputs["basis"])
    basis = published({name: file.read(name) for name in file.array_names})
    return FaceModel(as_fitted(person.attributes["basis"], basis))


def fitted_faces(
    fit: Artifact, person: Artifact, rows: Sequence[int]
) -> Iterator[tuple[Image, Image, Image, Image]]:
    """Four squares a frame: the picture and the render; the render in the picture, and errors.

    Errors are those of the landmarks (green) and of the colours (orange), each up to the largest
    of the clip. Where nothing was fitted there is black.
    """
    graph = _graph([fit.read("landmark_error"), fit.read("photo_error")])
    last = max(1, fit.sizes["frame"] - 1)
    for row, (face, mask) in zip(rows, rendered_faces(fit, person, rows), strict=True):
        picture = fit.read("picture", row, row + 1)[0]
        shown = graph.copy()
        x = round(row * (SIDE - 1) / last)
        cv2.line(shown, (x, 0), (x, SIDE - 1), _NOW, 1)
        yield picture, face, np.where(mask, face, picture), shown


def rendered_faces(
    fit: Artifact, person: Artifact, rows: Sequence[int]
) -> Iterator[tuple[Image, NDArray[np.bool_]]]:
    """The fitted model in the fit's squares: (SIDE, SIDE, 3) RGB, and (SIDE, SIDE, 1) where it is.

    Zeros where nothing was fitted.
    """
    model = _model(person)
    who = {name: torch.from_numpy(person.read(name)) for name in ("alpha", "beta")}
    for row in rows:
        face, mask = np.zeros((SIDE, SIDE, 3), np.uint8), np.zeros((SIDE, SIDE, 1), bool)
        if fit.read("valid", row, row + 1)[0]:
            names = ("delta", "gamma", "rotation", "translation")
            frame = {name: torch.from_numpy(fit.read(name, row, row + 1)) for name in names}
            with torch.no_grad():
                drawn = render(model, Coefficients(**who, **frame), SIDE)
            face = (drawn.image[0].permute(1, 2, 0) * 255).to(torch.uint8).numpy()
            mask = drawn.mask[0, 0, :, :, None].numpy() > 0
        yield face, mask


def _graph(series: Sequence[NDArray[np.float32]]) -> Image:
    """Curves over the frames."""
    canvas = np.zeros((SIDE, SIDE, 3), np.uint8)
    for values, colour in zip(series, (_LANDMARK_COLOUR, _PHOTO_COLOUR), strict=True):
        known = np.nan_to_num(values)
        at = np.linspace(0, len(known) - 1, SIDE).astype(int)
        y = (SIDE - 1) * (1 - 0.95 * known[at] / max(float(known.max()), 1e-6))
        points = np.column_stack([np.arange(SIDE), y]).astype(np.int32)
        cv2.polylines(canvas, [points], False, colour, 1)
    return canvas
