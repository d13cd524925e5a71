"""Renders of the lower face lie on what was filmed, whatever the crop."""

from collections.abc import Iterator

import numpy as np
import pytest

from models.meta_talk.hd_crop import crop_transforms
from models.meta_talk.settings import FaceSettings
from stores.artifacts.store import Store
from stores.errors import InputError
from tasks.engine.open_run import open_run
from tasks.engine.stage import Made, stage
from tasks.methods.meta_talk_faces import THUMBNAIL, meta_talk_faces
from tasks.result.render import RENDER, render_rows
from tasks.source.face_basis import face_basis
from tests.tasks.drawn_face import CORNER, Drawn, drawn

FRAMES, INVALID = 6, 4
RED = (CORNER[0] + 112, CORNER[1] + 180)
"""Corner of what is borrowed [px of the frame]."""


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Drawn]:
    folder = tmp_path_factory.mktemp("film")
    with open_run(Store(folder / "store"), workers=1):
        yield drawn(folder / "film.mp4", frames=FRAMES, invalid=INVALID, lit=0)


@pytest.mark.parametrize(("side", "zoom"), [(256, 1.0), (512, 1.0), (256, 2.0)])
def test_the_render_lies_on_the_photo(film: Drawn, side: int, zoom: float) -> None:
    settings = FaceSettings.model_validate({"side": side, "zoom": zoom})
    faces = meta_talk_faces(*film[:2], person=film.person, fit=film.fit, settings=settings)
    valid = np.arange(FRAMES) != INVALID
    np.testing.assert_array_equal(faces.read("valid"), valid)
    render, photo, mask = (faces.read(name) for name in ("render", "photo", "mask"))
    for array in (render, photo, mask, faces.read("transform")):
        assert not array[~valid].any() and array[valid].any(axis=tuple(range(1, array.ndim))).all()
    assert set(np.unique(mask)) == {0, 255}
    assert not render[mask == 0].any() and not photo[mask == 0].any()
    assert 0.05 < (mask[valid] > 0).mean() / zoom**2 < 0.4
    assert not faces.read("lent").any()
    off = np.square(render.astype(float) - photo)[
        render.any(-1) & (mask > 0) & valid[:, None, None]
    ]
    assert -10 * np.log10(off.mean() / 255**2) > 30
    assert faces.read("thumbnail").shape == (FRAMES, THUMBNAIL, THUMBNAIL, 3)
    transform = crop_transforms(film.fit.read("transform"), side, zoom)
    np.testing.assert_array_equal(faces.read("transform")[valid], transform[valid])


def test_what_is_borrowed_is_seen_in_the_crop(film: Drawn) -> None:
    """A red square that a render puts into each frame, at the crop's place and size."""
    lent = red(FRAMES)
    settings = FaceSettings.model_validate({"side": 256, "zoom": 1})
    faces = meta_talk_faces(
        *film[:2], person=film.person, fit=film.fit, lent=lent, settings=settings
    )
    borrowed, photo, mask = (faces.read(name).astype(int) for name in ("lent", "photo", "mask"))
    valid, drawn = faces.read("valid"), mask > 0
    assert not borrowed[~drawn].any() and not borrowed[~valid].any()
    x, y = np.array(RED) - CORNER
    inner = slice(y + 8, y + 24), slice(x + 8, x + 24)
    assert drawn[valid][:, *inner].all(), "the square lies in the lower face"
    assert (borrowed[valid][:, *inner, 0] > 200).all()
    assert (borrowed[valid][:, *inner, 1:] < 60).all()
    far = drawn.copy()
    far[:, y - 8 : y + 40, x - 8 : x + 40] = False
    assert np.abs(borrowed - photo)[far].max() <= 1


@stage(RENDER, version=1)
def red(frames: int) -> Made:
    """A red square of 32 px at RED in each frame."""
    patch = np.tile(np.array([255, 0, 0], np.uint8), (frames, 32, 32, 1))
    place = np.array([[1, 0, -RED[0]], [0, 1, -RED[1]]], np.float32)
    mask = np.pad(np.full((frames, 24, 24), 255, np.uint8), ((0, 0), (4, 4), (4, 4)))
    rows = render_rows(
        patch=patch,
        mask=mask,
        transform=np.tile(place, (frames, 1, 1)),
        valid=np.ones(frames, bool),
    )
    return Made(rows)


def test_what_was_drawn_with_is_told(film: Drawn) -> None:
    given = {"person": film.person, "fit": film.fit}
    faces = meta_talk_faces(*film[:2], **given, settings=FaceSettings())
    told = faces.attributes
    assert told["side_px"] == faces.sizes["y"] == 256
    assert told["person"] == film.person.key
    assert told["basis_key"] == film.person.attributes["basis_key"]
    opening = film.fit.read("delta")[film.fit.read("valid"), 0]
    assert told["opened"] < opening.min()
    other = FaceSettings(opened=-4.0)
    assert meta_talk_faces(*film[:2], **given, settings=other).attributes["opened"] == -4


def test_another_basis_is_refused() -> None:
    for name, key in (("bfm", None), ("own", "0" * 40)):
        with pytest.raises(InputError, match=f"another basis .{name}"):
            face_basis(name, key)
