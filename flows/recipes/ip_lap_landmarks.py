"""`ip_lap.landmarks`: IP-LAP's first network, from speech and pose to landmarks of jaw and lips."""

from flows.recipes import RecipeSpec
from models.ip_lap.landmarks import FULL
from models.ip_lap.windows import MEL_START_SECONDS
from tasks.training.dataset import WindowSettings
from tasks.training.ip_lap_landmarks import LandmarkRecipe, LandmarkSettings


def windows(settings: LandmarkSettings) -> WindowSettings:
    """What the loader shall give: landmarks and speech."""
    return WindowSettings.model_validate(
        {
            "frames": settings.frames,
            "stride": settings.stride,
            "references": settings.references,
            "mel_start_seconds": MEL_START_SECONDS,
            "points": FULL,
            "face_px": None,
        }
    )


def judged_windows(settings: LandmarkSettings) -> WindowSettings:
    """Windows that follow one another without gaps, so that a clip can be judged as a whole."""
    return windows(settings.model_copy(update={"stride": settings.frames}))


RECIPE = RecipeSpec(
    LandmarkSettings, lambda settings, store: LandmarkRecipe(settings), windows, judged_windows
)
