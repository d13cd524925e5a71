"""`video_retalking.lnet`: VideoReTalking's L-Net, from speech and masked faces to new lips."""

from functools import partial

from flows.recipes import RecipeSpec
from flows.training.face_windows import face_windows, judged_face_windows
from flows.training.index_data import open_index
from tasks.training.video_retalking_lnet import LNetRecipe, LNetSettings

windows = partial(face_windows, scattered=True)
judged_windows = partial(judged_face_windows, scattered=True)

RECIPE = RecipeSpec(
    LNetSettings,
    partial(open_index, windows=windows, judged_windows=judged_windows),
    LNetRecipe,
)
