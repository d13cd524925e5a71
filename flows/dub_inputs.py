"""What a dub is given: files, weights, settings; refused at once if it could only fail later."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from flows.cues.lines import cues_of
from flows.cues.sound import sound_format, speech_files
from flows.faults import faults_of
from flows.methods import MethodSettings, find_method, method_settings
from flows.origin import check_consent, check_licences, check_sidecar, check_signing
from flows.settings import DubSettings
from stores.artifacts.artifact import Artifact
from stores.artifacts.store import Store
from stores.errors import InputError, SettingsError
from stores.media.audio import audio_blocks
from stores.media.mux import check_output
from stores.media.source import probe
from stores.media.tracks import find_track
from tasks.weights.networks import find_weights


def options_of_method(settings: DubSettings) -> MethodSettings:
    """The method's own settings."""
    return method_settings(settings.method, settings.method_settings, precision=settings.precision)


def files_of(settings: DubSettings) -> tuple[Path, ...]:
    """Video, speech, cue sheet, bed, consent, and the files that settings of the method name."""
    more = find_method(settings.method).files(options_of_method(settings))
    consent = [] if settings.origin.consent is None else [settings.origin.consent]
    sheet = [settings.cues.sheet] if settings.cues.sheet is not None else []
    bed = [settings.bed] if settings.bed is not None else []
    return (settings.video, *speech_files(cues_of(settings)), *sheet, *bed, *consent, *more)


def weights_needed(settings: DubSettings) -> tuple[str, ...]:
    """Names of the published weights that this dub uses."""
    of_detector = ("s3fd",) if settings.detector == "s3fd" else ()
    of_method = find_method(settings.method).weights(options_of_method(settings))
    of_restore = (settings.restore.weights,) if settings.restore.model != "none" else ()
    return of_detector + of_method + of_restore


def check_inputs(settings: DubSettings) -> dict[str, Artifact]:
    """Refuse at once what could only fail later; gives the weights that are needed, by name.

    Raises:
        InputError: naming the file or setting and what to do.
        MissingWeights: saying where to get them, and how to add them.
    """
    store = Store(settings.store)
    weights = {name: find_weights(name, store=store) for name in weights_needed(settings)}
    check_licences(settings, weights.values())
    for check in _CHECKS:
        check(settings)
    return weights


def input_faults(settings: DubSettings) -> list[str]:
    """All that `check_inputs` would refuse, not only the first of it."""
    needed: list[str] = []
    found: list[Artifact] = []
    find = partial(find_weights, store=Store(settings.store))
    look_up = [lambda: needed.extend(weights_needed(settings))]
    faults = faults_of(look_up)
    faults += faults_of([partial(lambda name: found.append(find(name)), name) for name in needed])
    checks = [partial(check_licences, settings, found), *(partial(c, settings) for c in _CHECKS)]
    return faults + faults_of(checks)


def check_overwriting(settings: DubSettings) -> None:
    """Refuse an output that is one of the inputs.

    Raises:
        InputError: it is.
    """
    for given in files_of(settings):
        if settings.output.exists() and given.exists() and given.samefile(settings.output):
            raise InputError(f"the output {settings.output} would overwrite an input")


def _check_video(settings: DubSettings) -> None:
    if probe(settings.video).kind == "audio":
        raise InputError(f"{settings.video} holds no picture; give a video or a still picture")


def _check_audio(settings: DubSettings) -> None:
    for path in filter(None, (settings.audio, settings.bed)):
        if not probe(path).has_audio:
            raise InputError(f"{path} holds no sound; give another file")
        next(audio_blocks(path))  # or it says that there is not one sample


def _check_output(settings: DubSettings) -> None:
    check_output(settings.output, settings.sound, rate=None)
    facts = sound_format(settings, speech_files(cues_of(settings)))
    check_output(settings.output, settings.sound, rate=facts.rate)


def _check_cues(settings: DubSettings) -> None:
    if settings.cues.sheet is not None and settings.sync.mode != "silence":
        raise SettingsError(
            f"--sync-mode {settings.sync.mode} can't be used with a cue sheet, whose times are of "
            "the video as it is"
        )


def _check_part(settings: DubSettings) -> None:
    """By the header; the frames themselves are looked at when they are laid out."""
    start, end = settings.sync.start_seconds or 0.0, settings.sync.end_seconds
    if end is not None and end <= start:
        raise SettingsError(f"--start {start:g} s does not lie before --end {end:g} s")
    video = probe(settings.video)
    if video.kind == "video" and video.seconds is not None and start >= video.seconds:
        raise SettingsError(
            f"--start {start:g} s lies behind the end: {settings.video} lasts {video.seconds:.3f} s"
        )


def _check_own_track(settings: DubSettings) -> None:
    find_track(settings.video, settings.source_track)


def _check_background(settings: DubSettings) -> None:
    if settings.keep_background_db is not None or settings.bed is not None:
        if settings.sync.mode in ("loop", "bounce"):
            raise SettingsError(
                "--keep-background and --bed can't be used with --sync-mode loop or bounce"
            )
        if settings.bed is None and not probe(settings.video).has_audio:
            raise SettingsError(f"--keep-background: {settings.video} has no sound to keep")


_CHECKS: tuple[Callable[[DubSettings], None], ...] = (
    *(check_overwriting, _check_video, _check_part, _check_audio, _check_cues, _check_output),
    *(_check_own_track, _check_background, check_consent, check_sidecar, check_signing),
)
