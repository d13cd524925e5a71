"""The face model fitted to a video: to the person, and to every frame."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.face_fit.settings import FitSettings
from stores.artifacts.artifact import Artifact
from stores.artifacts.source import Source
from tasks.engine.arguments import Bundle
from tasks.source.face_basis import own_basis_key
from tasks.source.face_fit import face_fit
from tasks.source.face_fit_network import face_fit_network
from tasks.source.face_fit_person import face_fit_person
from tasks.source.landmarks68 import landmarks68
from tasks.source.published_basis import published_basis
from tasks.source.regressed import regressed
from tasks.source.seen import Seen
from tasks.weights.networks import find_weights


@dataclass(frozen=True)
class Fitted(Bundle):
    """A video's fit of the face model.

    Attributes:
        person: What does not change, of `tasks.source.face_fit_person` or `face_fit_network`.
        fit: What changes from frame to frame, of `tasks.source.face_fit`.
    """

    person: Artifact
    fit: Artifact


def fit_face(seen: Seen, settings: FitSettings, *, frozen: Fitted | None = None) -> Fitted:
    """Fit the face model to a video, in whichever mode.

    Args:
        seen: The video and its face.
        settings: Of the fit.
        frozen: A fit of the same frames, whose person, light and pose are taken; then the
            expression alone is fitted, from landmarks and pictures in every mode but `mesh`.

    Raises:
        MissingWeights: the mode needs published weights; says where to get them.
        InputError: `settings.basis` is no such file.
    """
    points = None
    if settings.landmarks == "fan":
        points = landmarks68(seen, weights=find_weights("fan_2dfan4"))
    basis: Artifact | str = own_basis_key()
    if settings.basis != "own":
        basis = published_basis(Source.of(Path(settings.basis)))
        settings = settings.model_copy(update={"basis": "file"})  # whose bytes count, not its path
    of: dict[str, Any] = {"landmarks68": points, "settings": settings}
    if frozen is not None:
        return Fitted(frozen.person, face_fit(seen, person=frozen.person, frozen=frozen.fit, **of))
    said = None
    if settings.mode == "network":
        published = "audiodvp_resnet50_vggface2"
        start = None if settings.network.random_start else find_weights(published)
        person = face_fit_network(seen, basis=basis, weights=start, **of)
        said = regressed(seen, network=person, **of)
    else:
        if settings.mode == "regressor":
            said = regressed(seen, network=find_weights("deep3d_recon"), **of)
        person = face_fit_person(seen, regressed=said, basis=basis, **of)
    return Fitted(person, face_fit(seen, person=person, regressed=said, frozen=None, **of))
