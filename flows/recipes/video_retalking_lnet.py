"""`video_retalking.lnet`: VideoReTalking's L-Net, from speech and masked faces to new lips."""

from functools import partial

from flows.recipes import RecipeSpec
from flows.training.face_windows import open_face_windows
from tasks.training.video_retalking_lnet import LNetRecipe, LNetSettings

RECIPE = RecipeSpec(LNetSettings, partial(open_face_windows, scattered=True), LNetRecipe)
