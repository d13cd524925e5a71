"""`ip_lap.renderer`: IP-LAP's second network, from sketches and references to the face."""

from flows.recipes import RecipeSpec
from models.ip_lap.landmarks import FULL
from models.ip_lap.windows import MEL_START_SECONDS, WINDOW
from tasks.training.dataset import WindowSettings
from tasks.training.ip_lap_renderer import RendererRecipe, RendererSettings


def windows(settings: RendererSettings) -> WindowSettings:
    """What the loader shall give: landmarks, speech, and faces of the middle and the references."""
    return WindowSettings.model_validate(
        {
            "frames": WINDOW,
            "stride": settings.stride,
            "references": settings.references,
            "mel_start_seconds": MEL_START_SECONDS,
            "points": FULL,
            "face_px": settings.crop_px,
            "faces": "middle",
        }
    )


def judged_windows(settings: RendererSettings) -> WindowSettings:
    """Some of all clips: each costs as much as a step."""
    return windows(settings.model_copy(update={"stride": settings.judged_stride}))


RECIPE = RecipeSpec(RendererSettings, RendererRecipe, windows, judged_windows)
