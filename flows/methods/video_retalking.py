"""VideoReTalking (Cheng et al. 2022): freeze the expression, make the lips anew, sharpen the face.

For any speaker, without training for the person.
"""

from pathlib import Path
from typing import Literal, get_args

from pydantic import BaseModel, ConfigDict, Field

from flows.methods import Method, NetworkMethodSettings
from flows.seen import see
from models.exemplar import settings as exemplar
from models.video_retalking.settings import (
    PUBLISHED_CROPS,
    CropSettings,
    Driver,
    Enhancer,
    Noise,
    Paste,
    Smoothing,
    Teeth,
    UpperFace,
)
from stores.artifacts.artifact import Artifact
from stores.artifacts.source import Source
from stores.errors import SettingsError
from stores.weights.trained import SUFFIX, read_header
from tasks.methods.vrt_coefficients import FAN, face_numbers
from tasks.methods.vrt_enhanced import vrt_enhanced
from tasks.methods.vrt_finished import vrt_finished
from tasks.methods.vrt_reference import vrt_reference, vrt_stabilised, vrt_template
from tasks.methods.vrt_render import vrt_crops, vrt_render
from tasks.methods.vrt_upper_face import vrt_upper_face
from tasks.source.crops import crops
from tasks.source.face_basis import own_basis_key
from tasks.source.seen import Seen
from tasks.source.visibility import visibility
from tasks.speech.mel import mel
from tasks.weights.networks import weights_of

_NO_BANK = exemplar.CropSettings(bank_limit=0)
"""Crops that only tell where the mouth is hidden: no pixels are kept to borrow."""
_GFPGAN = "gfpgan_v1clean_512"
_NAMED = ("neutral", "smile", "person")


class Weights(BaseModel):
    """Weights of each network: a published name, or a file of one's own training."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    coefficients: str = Field("vrt_face3d", description="of the network that reads faces")
    expression: str = Field(
        "vrt_expression",
        description="the expressions neutral and smile; none: zeros for neutral",
    )
    dnet: str = Field("vrt_dnet", description="of D-Net")
    lnet: str = Field("vrt_lnet", description="of L-Net, where it stands alone (enet=false)")
    enet: str = Field("vrt_enet", description="of E-Net and its L-Net")
    ganimation: str = Field("vrt_ganimation", description="of GANimation, for `upper_face`")
    gpen: str = Field("gpen_bfr_512", description="of GPEN, for the reference")
    gfpgan: str = Field("gfpgan_v1.3", description="of GFPGAN, for teeth")
    parser: str = Field("parsenet", description="of ParseNet, where parts of the face are told")


class VideoRetalkingSettings(NetworkMethodSettings):
    """Settings of the method, by stage."""

    template: str = Field(
        "neutral",
        description="expression that the lower face is frozen in: neutral, smile, person (how this "
        "one is at rest), or a picture with a face",
    )
    template_strength: float = Field(
        1.0, ge=0, le=1, description="from neutral, 0, to the template, 1"
    )
    one_shot: bool = Field(
        False,
        description="warp the first face of each scene and not each frame's own: steadier lips, "
        "less like the person",
    )
    dnet: bool = Field(
        True, description="false: no frozen expression; the frames are the reference"
    )
    enhance_reference: Enhancer = Field(
        "gpen", description="network that makes the frozen faces sharp: gpen, gfpgan, or none"
    )
    enet: bool = Field(True, description="false: L-Net's 96 x 96 faces, enlarged")
    upper_face: UpperFace = Field(
        "original", description="emotion of the upper face, by GANimation"
    )
    upper_strength: float = Field(1.0, ge=0, le=1, description="of that emotion")
    keep_upper: Literal["auto"] | bool = Field(
        "auto",
        description="keep the upper half of the face, with its emotion, and not take E-Net's; "
        "auto: where there is an emotion",
    )
    landmarks: Literal["mesh", "fan"] = Field(
        "mesh", description="mesh: of the face mesh; fan: of face-alignment, as published"
    )
    smoothing: Smoothing = Field(
        "savgol", description="of the landmarks over 0.36 s, as in the paper; none: as published"
    )
    crops: CropSettings = PUBLISHED_CROPS
    noise: Noise = Field(
        "fixed",
        description="of E-Net: fixed: the same in all frames; random: flickers, as published; none",
    )
    teeth: Teeth = Field("gfpgan", description="gfpgan: the mouth made sharp by GFPGAN; none")
    paste: Paste = Field(
        "soft",
        description="of the reference's sharp faces and of the result: soft: the face of the mesh, "
        "blended in like every method's; published: its skin as a network sees it, the result "
        "blended in frequency bands",
    )
    weights: Weights = Weights.model_validate({})


def run(
    seen: Seen, speech: Artifact, output_frames: Artifact, settings: VideoRetalkingSettings
) -> Artifact:
    """Source and speech → `render` artifact."""
    faces = vrt_crops(seen, settings=settings.crops)
    made = vrt_render(
        seen,
        crops=faces,
        reference=_reference(seen, faces, settings) if settings.dnet else faces,
        upper=_upper(faces, settings) if _keeps_upper(settings) else None,
        mel=mel(speech),
        visibility=visibility(seen, crops=crops(seen, settings=_NO_BANK)),
        output_frames=output_frames,
        weights=weights_of(*_speaking(settings)),
        noise=settings.noise,
        paste=settings.paste,
        precision=settings.precision,
    )
    if not _parses(settings):
        return made
    named = settings.weights
    return vrt_finished(
        seen,
        output_frames=output_frames,
        render=made,
        restorer=None if settings.teeth == "none" else weights_of(named.gfpgan, _GFPGAN),
        parser=_parser(settings),
        paste=settings.paste,
        precision=settings.precision,
    )


def _upper(faces: Artifact, settings: VideoRetalkingSettings) -> Artifact:
    """The faces that upper halves come from."""
    if settings.upper_face == "original":
        return faces
    return vrt_upper_face(
        faces,
        face=settings.upper_face,
        strength=settings.upper_strength,
        weights=weights_of(settings.weights.ganimation, "ganimation_generator"),
        precision=settings.precision,
    )


def _keeps_upper(settings: VideoRetalkingSettings) -> bool:
    if settings.keep_upper == "auto":
        return settings.upper_face != "original"
    return settings.keep_upper


def _reference(seen: Seen, faces: Artifact, settings: VideoRetalkingSettings) -> Artifact:
    """The faces with a frozen expression."""
    cut, coefficients = _coefficients(seen, settings)
    stabilised = vrt_stabilised(
        cut,
        coefficients,
        timeline=seen.timeline,
        template=_template(seen, coefficients, settings),
        one_shot=settings.one_shot,
        weights=weights_of(settings.weights.dnet, "vrt_dnet"),
        precision=settings.precision,
    )
    if settings.enhance_reference != "none":
        stabilised = vrt_enhanced(
            stabilised,
            cut,
            landmarks=seen.landmarks,
            enhancer=settings.enhance_reference,
            weights=weights_of(*_enhancing(settings)),
            parser=_parser(settings) if settings.paste == "published" else None,
            precision=settings.precision,
        )
    return vrt_reference(faces, stabilised, cut=cut)


def _template(seen: Seen, coefficients: Artifact, settings: VideoRetalkingSettings) -> Artifact:
    """The expression to freeze faces in."""
    published, picture = None, None
    if _reads_expression(settings):
        published = weights_of(settings.weights.expression, "vrt_expression")
    if settings.template not in _NAMED:
        _, picture = _coefficients(see(Source.of(Path(settings.template))), settings)
    return vrt_template(
        coefficients,
        seen.landmarks,
        template="picture" if picture else settings.template,
        strength=settings.template_strength,
        published=published,
        picture=picture,
    )


def _coefficients(seen: Seen, settings: VideoRetalkingSettings) -> tuple[Artifact, Artifact]:
    """Each face's cut, and the face in numbers."""
    return face_numbers(
        seen,
        driver=_driver(settings),
        landmarks=settings.landmarks,
        smoothing=settings.smoothing,
        weights=settings.weights.coefficients,
    )


def _driver(settings: VideoRetalkingSettings) -> Driver:
    """What coefficients D-Net was trained on.

    Raises:
        SettingsError: on such as can't be had here.
    """
    name = settings.weights.dnet
    told = read_header(Path(name)).trained_on if name.endswith(SUFFIX) else None
    told = told if isinstance(told, dict) else {}
    driver: Driver = told.get("coefficients", "network")
    if driver not in get_args(Driver):
        known = " or ".join(get_args(Driver))
        raise SettingsError(f"{name} is driven by {driver!r}; take a D-Net for {known}")
    if driver == "mesh" and (told.get("basis") or {}).get("key") != own_basis_key():
        raise SettingsError(f"{name} was trained with another face basis; train it again")
    return driver


def _reads_expression(settings: VideoRetalkingSettings) -> bool:
    return settings.weights.expression != "none" and _driver(settings) == "network"


def _enhancing(settings: VideoRetalkingSettings) -> tuple[str, str]:
    """Weights of the network that makes the reference sharp, and its name."""
    named = settings.weights
    if settings.enhance_reference == "gpen":
        return named.gpen, "gpen_bfr_512"
    return named.gfpgan, _GFPGAN


def _parser(settings: VideoRetalkingSettings) -> Artifact:
    return weights_of(settings.weights.parser, "parsenet")


def _parses(settings: VideoRetalkingSettings) -> bool:
    """Whether faces go through the last step, where parts of the face are told."""
    return settings.teeth != "none" or settings.paste == "published"


def _speaking(settings: VideoRetalkingSettings) -> tuple[str, str]:
    """Weights of the network that makes the lips, and its name."""
    named = settings.weights
    return (named.enet, "vrt_enet") if settings.enet else (named.lnet, "vrt_lnet")


def weights(settings: VideoRetalkingSettings) -> tuple[str, ...]:
    """Names or files of the weights that these settings ask for.

    Raises:
        SettingsError: the template can't be had with them.
    """
    named = [_speaking(settings)[0]]
    if settings.dnet:
        _check_template(settings)
        named.append(settings.weights.dnet)
        named += [settings.weights.coefficients] if _driver(settings) == "network" else []
        named += [settings.weights.expression] if _reads_expression(settings) else []
        named += [FAN] if settings.landmarks == "fan" else []
        if settings.enhance_reference != "none":
            named.append(_enhancing(settings)[0])
    if settings.upper_face != "original" and _keeps_upper(settings):
        named.append(settings.weights.ganimation)
    named += [settings.weights.gfpgan] if settings.teeth != "none" else []
    named += [settings.weights.parser] if _parses(settings) else []
    return tuple(dict.fromkeys(named))


def _check_template(settings: VideoRetalkingSettings) -> None:
    template = settings.template
    if template == "smile" and not _reads_expression(settings):
        raise SettingsError(
            "template smile is among the published expressions: it needs weights.expression, and a "
            "D-Net for coefficients of Deep3D's network; take neutral, person or a picture"
        )
    if template not in _NAMED and not Path(template).is_file():
        raise SettingsError(
            f"template {template} is neither {', '.join(_NAMED)} nor a file; give a picture of a "
            "face"
        )


def files(settings: VideoRetalkingSettings) -> tuple[Path, ...]:
    """The picture of the template, if it is one."""
    pictured = settings.dnet and settings.template not in _NAMED
    return (Path(settings.template),) if pictured else ()


METHOD = Method(VideoRetalkingSettings, run, weights, files)
