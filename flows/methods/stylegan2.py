"""Feature-driven talking face with StyleGAN2: lips of speech, or of another video.

For any speaker, with networks of one's own training: nobody has published any.
"""

from pathlib import Path

from pydantic import Field

from flows.methods import Method, NetworkMethodSettings
from flows.presets import checked
from flows.seen import see
from models.exemplar.settings import CropSettings
from models.stylegan2_face.settings import (
    Align,
    Cepstra,
    Drive,
    FaceFrom,
    FaceSize,
    IdentityFrom,
    Noise,
    Paste,
    SquareSettings,
)
from stores.artifacts.artifact import Artifact
from stores.artifacts.source import Source
from stores.errors import InputError, SettingsError
from stores.media.source import probe
from stores.weights.trained import SUFFIX, read_header
from tasks.methods.stylegan2 import (
    size_of,
    stylegan2_driven,
    stylegan2_features,
    stylegan2_speech,
)
from tasks.methods.stylegan2_render import stylegan2_render, stylegan2_still
from tasks.source.crops import crops
from tasks.source.face_squares import face_squares
from tasks.source.seen import Seen
from tasks.source.visibility import visibility
from tasks.speech.davs_cepstra import davs_cepstra
from tasks.speech.mfcc import mfcc
from tasks.weights.networks import weights_of

NETWORK = "stylegan2_face"
_NO_BANK = CropSettings(bank_limit=0)
"""Crops that only tell where the mouth is hidden: no pixels are kept to borrow."""
_UNTRAINED = (
    "nobody has published weights of this method: train it with `dubflow train stylegan2.face`, "
    "then set method_settings.weights=FILE"
)


class StyleGan2Settings(NetworkMethodSettings):
    """Settings of the method."""

    weights: str = Field("", description="file of `dubflow train stylegan2.face`")
    drive: Drive = Field("audio", description="whose lips: those of the speech, or of `driver`")
    driver: Path | None = Field(
        None, description="video whose face drives; its sound is not listened to"
    )
    face: FaceFrom = Field(
        "auto",
        description="whose eyes, contour and pose: each source frame's own, the driver's, or those "
        "of the still frame; auto: as the lips, source with drive=audio",
    )
    identity: IdentityFrom = Field(
        "own",
        description="what says who it is: own, each source frame; still, the one with the most "
        "frontal face and the most closed mouth",
    )
    paste: Paste = Field(
        "lower",
        description="lower: jaw and mouth, blended in like every method's; face: all of the face, "
        "or the square of a still picture; crop: the square, colours as they come",
    )
    smooth: float = Field(
        0.0,
        ge=0,
        le=10,
        description="filter over time of all but the lips, sigma [1/25 s]; 0: none",
    )
    noise: Noise = Field(
        "fixed",
        description="of a decoder that was trained with noise: the same in all frames; random: "
        "flickers; none",
    )
    align: Align = Field("rigid", description="how the weights' training laid faces into squares")
    mfcc: Cepstra = Field("psf", description="what the weights' training heard")


def run(
    seen: Seen, speech: Artifact, output_frames: Artifact, settings: StyleGan2Settings
) -> Artifact:
    """Source and speech → `render` artifact."""
    network = weights_of(settings.weights, NETWORK)
    size = size_of(network)
    cut = SquareSettings(align=size.align, side=size.side)
    squares = face_squares(seen, settings=cut)
    free = visibility(seen, crops=crops(seen, settings=_NO_BANK))
    shown = {"timeline": seen.timeline, "output_frames": output_frames}

    def driven(video: Seen, faces: Artifact, of: str) -> Artifact:
        return stylegan2_driven(
            stylegan2_features(faces, network),
            video.landmarks,
            clock=video.timeline,
            of=of,
            smooth=settings.smooth,
            **shown,
        )

    face, still, driver = _face_from(settings), None, None
    if "still" in (face, settings.identity):
        still = stylegan2_still(squares, seen.landmarks, visibility=free)
    if _needs_driver(settings):
        other = _see_driver(settings)
        driver = driven(other, face_squares(other, settings=cut), "driver")
    if settings.drive == "video":
        lips = driver
    else:
        cepstra = mfcc(speech) if size.mfcc == "psf" else davs_cepstra(speech)
        lips = stylegan2_speech(cepstra, weights=network, **shown)
    if face == "driver":
        rest = driver
    elif face == "still":
        rest = stylegan2_features(still, network)
    else:
        rest = driven(seen, squares, "source")
    whole = settings.paste == "face" and seen.timeline.attributes["still"]
    return stylegan2_render(
        squares,
        still if settings.identity == "still" else None,
        lips=lips,
        rest=rest,
        landmarks=seen.landmarks,
        visibility=free,
        weights=network,
        paste="crop" if whole else settings.paste,
        noise=settings.noise,
        precision=settings.precision,
        **shown,
    )


def _face_from(settings: StyleGan2Settings) -> FaceFrom:
    if settings.face != "auto":
        return settings.face
    return "source" if settings.drive == "audio" else "driver"


def _needs_driver(settings: StyleGan2Settings) -> bool:
    return settings.drive == "video" or _face_from(settings) == "driver"


def _see_driver(settings: StyleGan2Settings) -> Seen:
    assert settings.driver is not None
    found = see(Source.of(settings.driver))
    if not found.landmarks.read("valid").any():
        raise InputError(f"no face was found in the driver {settings.driver}; give another video")
    return found


def weights(settings: StyleGan2Settings) -> tuple[str, ...]:
    """The file that these settings name.

    Raises:
        SettingsError: there is none, it is of another network, alignment or sound, or a driver is
            missing.
    """
    _check_weights(settings)
    if _needs_driver(settings):
        _check_driver(settings.driver)
    return (settings.weights,)


def _check_weights(settings: StyleGan2Settings) -> None:
    if not settings.weights:
        raise SettingsError(_UNTRAINED)
    if not settings.weights.endswith(SUFFIX):
        raise SettingsError(f"{settings.weights} is not named {SUFFIX}; {_UNTRAINED}")
    header = read_header(Path(settings.weights))
    if header.network != NETWORK:
        raise SettingsError(f"{settings.weights} holds weights of {header.network}, not {NETWORK}")
    size = checked(FaceSize, header.config, where=f"{settings.weights}: ")
    for name, what in (("align", "squares"), ("mfcc", "sound")):
        trained, wanted = getattr(size, name), getattr(settings, name)
        if trained != wanted:
            raise SettingsError(
                f"{settings.weights} was trained on {what} of {name}={trained}, not {wanted}: set "
                f"method_settings.{name}={trained}, or take another file"
            )


def _check_driver(driver: Path | None) -> None:
    if driver is None:
        raise SettingsError("these settings need a driver: set method_settings.driver=VIDEO")
    if probe(driver).kind == "audio":
        raise InputError(f"the driver {driver} holds no picture; give a video")


def files(settings: StyleGan2Settings) -> tuple[Path, ...]:
    """The driver, if these settings need one."""
    return (settings.driver,) if settings.driver and _needs_driver(settings) else ()


METHOD = Method(StyleGan2Settings, run, weights, files)
