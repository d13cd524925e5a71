"""Windows of five faces, with five other frames of the same clip."""

from functools import partial
from typing import Any

from flows.training.index_data import open_index
from flows.training.job import Job
from models.wav2lip.training import WINDOW
from tasks.training.dataset import WindowSettings
from tasks.training.recipe import Data
from tasks.training.speaking import FaceWindowSettings


def face_windows(
    settings: FaceWindowSettings, *, scattered: bool = False, stride: int | None = None
) -> WindowSettings:
    """What the loader shall give.

    A frame's mel begins at its own time, as dubbing has it. (The published training of Wav2Lip
    begins a frame earlier, its inference does not.) That of the first frame covers all five.

    Args:
        settings: Of the recipe.
        scattered: The other frames are from five moments, and not from one.
        stride: Frames from a window to the next; None: of the settings.
    """
    return WindowSettings.model_validate(
        {
            "frames": WINDOW,
            "stride": stride or settings.stride,
            "references": WINDOW if scattered else 1,
            "reference_frames": 1 if scattered else WINDOW,
            "face_px": settings.crop_px,
        }
    )


def open_face_windows(job: Job, *, scattered: bool = False, **given: Any) -> Data:
    """The windows of an index; some of all judged clips, for each costs as much as a step.

    Args:
        job: Of a recipe with such settings.
        scattered: As of `face_windows`.
        given: More for `open_index`.

    Raises:
        InputError, SettingsError: as of `open_index`.
    """

    def judged(settings: FaceWindowSettings) -> WindowSettings:
        return face_windows(settings, scattered=scattered, stride=settings.judged_stride)

    windows = partial(face_windows, scattered=scattered)
    return open_index(job, windows=windows, judged_windows=judged, **given)
