"""Renders of the lower face lie on what was filmed, whatever the crop."""

from collections.abc import Iterator

import numpy as np
import pytest

from models.meta_talk.settings import FaceSettings
from stores.artifacts.store import Store
from stores.errors import InputError
from tasks.engine.open_run import open_run
from tasks.methods.meta_talk_faces import THUMBNAIL, face_basis, meta_talk_faces
from tests.tasks.drawn_face import Drawn, drawn

FRAMES, INVALID = 6, 4


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Drawn]:
    folder = tmp_path_factory.mktemp("film")
    with open_run(Store(folder / "store"), workers=1):
        yield drawn(folder / "film.mp4", frames=FRAMES, invalid=INVALID, lit=0)


@pytest.mark.parametrize("side", [256, 512])
def test_the_render_lies_on_the_photo(film: Drawn, side: int) -> None:
    settings = FaceSettings.model_validate({"side": side})
    faces = meta_talk_faces(*film[:2], person=film.person, fit=film.fit, settings=settings)
    valid = np.arange(FRAMES) != INVALID
    np.testing.assert_array_equal(faces.read("valid"), valid)
    render, photo, mask = (faces.read(name) for name in ("render", "photo", "mask"))
    for array in (render, photo, mask, faces.read("transform")):
        assert not array[~valid].any() and array[valid].any(axis=tuple(range(1, array.ndim))).all()
    assert set(np.unique(mask)) == {0, 255}
    assert not render[mask == 0].any() and not photo[mask == 0].any()
    assert 0.05 < (mask[valid] > 0).mean() < 0.4
    off = np.square(render.astype(float) - photo)[
        render.any(-1) & (mask > 0) & valid[:, None, None]
    ]
    assert -10 * np.log10(off.mean() / 255**2) > 30
    assert faces.read("thumbnail").shape == (FRAMES, THUMBNAIL, THUMBNAIL, 3)
    transform = film.fit.read("transform") * np.float32(side / 256)
    np.testing.assert_array_equal(faces.read("transform")[valid], transform[valid])


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
