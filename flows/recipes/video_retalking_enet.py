"""`video_retalking.enet`: VideoReTalking's E-Net, from L-Net's small faces to sharp ones."""

from functools import partial

from flows.recipes import RecipeSpec
from flows.training.face_windows import open_face_windows
from tasks.training.video_retalking_enet import ENetRecipe, ENetSettings

RECIPE = RecipeSpec(ENetSettings, partial(open_face_windows, scattered=True), ENetRecipe)
