"""`wav2lip.expert`: Wav2Lip's sync expert, from five lower faces and their sound."""

from functools import partial

from flows.recipes import RecipeSpec
from flows.training.face_windows import face_windows, judged_face_windows
from flows.training.index_data import open_index
from tasks.training.wav2lip_expert import ExpertRecipe, ExpertSettings

windows, judged_windows = face_windows, judged_face_windows

RECIPE = RecipeSpec(
    ExpertSettings,
    partial(open_index, windows=windows, judged_windows=judged_windows),
    ExpertRecipe,
)
