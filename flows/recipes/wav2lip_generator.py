"""`wav2lip.generator`: Wav2Lip's generator, from speech and masked faces to faces that speak."""

from functools import partial

from flows.recipes import RecipeSpec
from flows.training.face_windows import face_windows, judged_face_windows
from flows.training.index_data import open_index
from tasks.training.wav2lip_generator import GeneratorRecipe, GeneratorSettings

windows, judged_windows = face_windows, judged_face_windows

RECIPE = RecipeSpec(
    GeneratorSettings,
    partial(open_index, windows=windows, judged_windows=judged_windows),
    GeneratorRecipe,
)
