"""Meta Talk (Zhang et al. 2022): speech → expression of a fitted 3D face → neural rendering.

One person at a time: its two networks are trained by `dubflow personalise`.
"""

from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from flows.methods import Method, NetworkMethodSettings
from flows.methods.exemplar import ExemplarSettings, borrowed_mouths
from models.exemplar.settings import CropSettings
from models.face_fit.settings import FitSettings
from models.meta_talk.hd_crop import crop_side
from models.meta_talk.lower_face import widest
from models.meta_talk.settings import FaceSettings
from stores.artifacts.artifact import Artifact
from stores.errors import SettingsError
from tasks.methods.meta_talk import fitted_expression, meta_talk_expression, meta_talk_mouth
from tasks.methods.meta_talk_faces import meta_talk_faces
from tasks.methods.meta_talk_render import meta_talk_render
from tasks.result.output_frames import Showing, output_frames
from tasks.source.crops import crops
from tasks.source.fitted import Fitted, fit_face
from tasks.source.seen import Seen
from tasks.source.visibility import visibility
from tasks.speech.atnet_features import atnet_features
from tasks.speech.sound_levels import sound_levels
from tasks.speech.speech_windows import speech_windows
from tasks.weights.networks import find_weights, network_of, weights_of

_EXPRESSION = ("meta_talk_expression", "audiodvp_expression")
_RENDERER = ("meta_talk_renderer", "audiodvp_nfr_generator")
_DEFAULT_FEATURES = {"meta_talk_expression": "mfcc80", "audiodvp_expression": "atnet"}
_ATNET = "audiodvp_atnet"
_BANK = CropSettings()
"""Crops to borrow from, as sharp as the renderer's own can be."""
_NO_BANK = CropSettings(bank_limit=0)
"""Crops that only tell where the mouth is hidden: no pixels are kept to borrow."""
_LENT_APART_SECONDS = 1.0
"""In training a frame borrows no mouth from nearer in time: it would be its own."""
_UNTRAINED = (
    "this method knows no face until it is trained on one: run `dubflow personalise VIDEO --speech "
    "FOLDER -o RUN`, then set method_settings.run=RUN"
)


class MetaTalkSettings(NetworkMethodSettings):
    """Settings of the method, by stage."""

    run: Path | None = Field(
        None, description="folder of `dubflow personalise`, whose settings and weights are taken"
    )
    expression: str = Field(
        "",
        description="weights from speech to expression: a file of `dubflow train`, or a name",
    )
    renderer: str = Field(
        "", description="weights of the neural renderer: a file of `dubflow train`, or a name"
    )
    fit: FitSettings = FitSettings.model_validate({})
    faces: FaceSettings = FaceSettings.model_validate({})
    smooth: float = Field(
        1.0, ge=0, le=10, description="filter of the expression over time, sigma [1/25 s]; 0: none"
    )
    paste: Literal["soft", "published"] = Field(
        "soft",
        description="soft: jaw and mouth, blended in like every method's; published: the whole "
        "lower face, colours as they come",
    )
    drive: Literal["speech", "own"] = Field(
        "speech",
        description="own: the video's own expressions, as if the speech were predicted without "
        "fault; for evaluation",
    )
    exclude_within_s: float | None = Field(
        None, ge=0, description="never borrow from this near in time [s]; for evaluation"
    )
    force: bool = Field(False, description="dub also another person than the networks' own")


def run(
    seen: Seen, speech: Artifact, output_frames: Artifact, settings: MetaTalkSettings
) -> Artifact:
    """Source and speech → `render` artifact."""
    renderer = weights_of(settings.renderer, *_RENDERER)
    face = fit_face(seen, settings.fit)
    drawing = _drawing(face, renderer, settings)
    wanted = _wanted(seen, face, speech, output_frames, settings)
    bank = crops(seen, settings=_BANK if _borrows(renderer) else _NO_BANK)
    lent = None
    if _borrows(renderer):
        lent = _lent(
            seen, face, bank, wanted, output_frames, exclude_within_s=settings.exclude_within_s
        )
    return meta_talk_render(
        seen,
        face,
        expression=wanted,
        visibility=visibility(seen, crops=bank),
        output_frames=output_frames,
        lent=lent,
        weights=renderer,
        paste=settings.paste,
        precision=settings.precision,
        **drawing,
    )


def training_faces(seen: Seen, face: Fitted, settings: FaceSettings) -> Artifact:
    """What the neural renderer learns from: `meta_talk_faces`, with borrowed mouths beside."""
    count = seen.timeline.sizes["frame"]
    every = output_frames(seen.timeline, showing=Showing(frames=count, count=count))
    lent = _lent(
        seen,
        face,
        crops(seen, settings=_BANK),
        fitted_expression(face.fit, output_frames=every),
        every,
        exclude_within_s=_LENT_APART_SECONDS,
    )
    return meta_talk_faces(seen, face, lent=lent, settings=settings)


def speech_of(speech: Artifact, features: str) -> Artifact:
    """The speech as a network with these features hears it."""
    if features == "atnet":
        return atnet_features(speech, weights=find_weights(_ATNET))
    return speech_windows(speech, features=features)


def _wanted(
    seen: Seen, face: Fitted, speech: Artifact, frames: Artifact, settings: MetaTalkSettings
) -> Artifact:
    """The expression of each output frame."""
    if settings.drive == "own":
        return fitted_expression(face.fit, output_frames=frames)
    weights = weights_of(settings.expression, *_EXPRESSION)
    _check_person(weights, face, settings)
    features = _size(weights).get("features", _DEFAULT_FEATURES[network_of(weights)])
    return meta_talk_expression(
        features=speech_of(speech, features),
        sound_levels=sound_levels(speech),
        fit=face.fit,
        timeline=seen.timeline,
        output_frames=frames,
        weights=weights,
        smooth=settings.smooth,
    )


def _lent(
    seen: Seen,
    face: Fitted,
    bank: Artifact,
    wanted: Artifact,
    frames: Artifact,
    *,
    exclude_within_s: float | None,
) -> Artifact:
    """A `render` of the exemplar method whose mouths have the wanted expressions."""
    mouth = meta_talk_mouth(wanted, person=face.person, fit=face.fit, landmarks=seen.landmarks)
    own = ExemplarSettings(exclude_within_s=exclude_within_s)
    return borrowed_mouths(seen, mouth, bank, visibility(seen, crops=bank), frames, own)


def _drawing(face: Fitted, renderer: Artifact, settings: MetaTalkSettings) -> dict[str, Any]:
    """Side of the crop [px], zoom and widest mouth: as the renderer was trained, else as set."""
    _check_person(renderer, face, settings)
    if trained := _trained_on(renderer).get("faces"):
        return {"side": trained["side_px"], "zoom": trained["zoom"], "opened": trained["opened"]}
    faces, valid = settings.faces, face.fit.read("valid")
    side, opened = faces.side, faces.opened
    return {
        "side": crop_side(face.fit.read("transform"), valid, faces.zoom)
        if side == "auto"
        else side,
        "zoom": faces.zoom,
        "opened": widest(face.fit.read("delta"), valid) if opened is None else opened,
    }


def _check_person(weights: Artifact, face: Fitted, settings: MetaTalkSettings) -> None:
    """Refuse networks of another person or basis.

    Raises:
        SettingsError: saying which, and what to do.
    """
    told, name = _trained_on(weights), weights.attributes["published_file"]
    basis = (told.get("basis") or {}).get("key")
    if basis not in (None, face.person.attributes["basis_key"]):
        raise SettingsError(f"{name} was trained with another face basis; train it again")
    if told.get("person") not in (None, face.person.key) and not settings.force:
        raise SettingsError(
            f"{name} was trained on another video or with another fit than this one; run "
            "`dubflow personalise` on this video, or set method_settings.force=true"
        )


def _trained_on(weights: Artifact) -> dict[str, Any]:
    told = weights.attributes.get("trained_on")
    return told if isinstance(told, dict) else {}


def _size(weights: Artifact) -> dict[str, Any]:
    """Layout of a network of one's own training; empty for a published one."""
    size: dict[str, Any] = weights.manifest.parameters.get("trained", {})
    return size


def _borrows(renderer: Artifact) -> bool:
    return _size(renderer).get("input") == "render_and_exemplar"


def weights(settings: MetaTalkSettings) -> tuple[str, ...]:
    """Names or files of the weights that these settings ask for.

    Raises:
        SettingsError: none are named.
    """
    heard = () if settings.drive == "own" else (settings.expression,)
    named = (*heard, settings.renderer)
    if not all(named):
        raise SettingsError(_UNTRAINED)
    hearing = (_ATNET,) if "audiodvp_expression" in heard else ()
    return (*named, *hearing, *settings.fit.weights)


METHOD = Method(MetaTalkSettings, run, weights)
