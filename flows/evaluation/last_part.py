"""The last part of a clip's time, on which methods are measured that learn the person before it."""

import wave
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from models.audio.mel import SAMPLE_RATE
from models.faces.settings import BlendSettings
from stores.artifacts.source import Source
from stores.errors import InputError, SettingsError
from stores.media.settings import EncodeSettings, MuxSettings
from stores.weights.trained import SUFFIX, read_header
from stores.whole_files import replacing
from tasks.result.composite import composite
from tasks.result.dubbed import dubbed
from tasks.result.output_frames import lay_out, output_frames
from tasks.result.settings import SyncSettings
from tasks.source.timeline import load_timeline, timeline
from tasks.speech.excerpt import excerpt
from tasks.speech.waveform import waveform
from tasks.training.held_out import held_out_from

_LOSSLESS = EncodeSettings(crf=0.0)


@dataclass(frozen=True)
class LastPart:
    """What there is of a clip from a moment on.

    Attributes:
        start: The moment, when the first of its frames is shown [s].
        video: These frames, as they are, with their sound.
        speech: Their sound alone.
    """

    start: float
    video: Path
    speech: Path


def last_part(video: Path, share: float, folder: Path, name: str) -> LastPart:
    """Cut the last share of a video's time off; needs an active run.

    Args:
        folder: Where the speech is written to.
        name: Of the item.

    Raises:
        InputError: the video has no sound.
    """
    source = Source.known(video)
    clip = timeline(source)
    if not clip.attributes["audio"]:
        raise InputError(f"{video} has no sound to drive its own mouth")
    shown = load_timeline(clip)
    rows = np.flatnonzero(shown.seconds >= held_out_from(shown.seconds, share))
    start = float(shown.seconds[rows[0]])
    own = excerpt(
        waveform(source), start_seconds=start, stop_seconds=float(shown.end_pts * shown.time_base)
    )
    speech = folder / f"{name}.{own.key[:8]}.wav"
    if not speech.exists():
        _write(speech, own.read("sample"))
    heard = waveform(Source.known(speech))
    sync = SyncSettings(mode="cut_off", start_seconds=start)
    showing, length = lay_out(clip, float(heard.attributes["seconds"]), sync)
    frames = output_frames(clip, showing=showing)
    picture = composite(
        source,
        clip,
        output_frames=frames,
        render=None,
        landmarks=None,
        blend=BlendSettings(),
        encode=_LOSSLESS,
        mark=None,
        label=None,
    )
    made = dubbed(
        picture,
        clip,
        output_frames=frames,
        end_pts=length.end_pts,
        speech=Source.known(speech),
        speech_track=None,
        background=None,
        background_track=None,
        background_db=None,
        background_from=0.0,
        encode=_LOSSLESS,
        sound=MuxSettings(),
        suffix=".mp4",
        mark=None,
    )
    return LastPart(start, made.file(made.attributes["file"]), speech)


def _write(path: Path, samples: "np.ndarray[tuple[int], np.dtype[np.float32]]") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as beside, wave.open(str(beside), "wb") as file:
        file.setparams((1, 2, SAMPLE_RATE, 0, "NONE", ""))
        file.writeframes(np.rint(np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())


def check_held_out(weights: str, share: float | None) -> None:
    """Refuse networks that have learned from the part of a clip that judges, if they say so.

    Args:
        weights: Their name, or the file of a training.
        share: Of the clip's time; None: all of it judges, whoever has learned from it.

    Raises:
        SettingsError: they have.
    """
    if share is None or not weights.endswith(SUFFIX):
        return
    told = read_header(Path(weights)).trained_on
    held_out = told.get("held_out") if isinstance(told, dict) else None
    if held_out is not None and held_out < share:
        raise SettingsError(
            f"{weights} was trained on the last {share:.0%} of its clip's time, which this "
            "protocol judges: train it with `dubflow personalise`, or with held_out=time"
        )
