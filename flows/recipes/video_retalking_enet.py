"""`video_retalking.enet`: VideoReTalking's E-Net, from L-Net's small faces to sharp ones."""

from functools import partial

from flows.recipes import RecipeSpec
from flows.training.face_windows import face_windows, judged_face_windows
from flows.training.index_data import open_index
from tasks.training.video_retalking_enet import ENetRecipe, ENetSettings

windows = partial(face_windows, scattered=True)
judged_windows = partial(judged_face_windows, scattered=True)

RECIPE = RecipeSpec(
    ENetSettings,
    partial(open_index, windows=windows, judged_windows=judged_windows),
    ENetRecipe,
)
