"""`wav2lip.generator`: Wav2Lip's generator, from speech and masked faces to faces that speak."""

from flows.recipes import RecipeSpec
from flows.training.face_windows import open_face_windows
from tasks.training.wav2lip_generator import GeneratorRecipe, GeneratorSettings

RECIPE = RecipeSpec(GeneratorSettings, open_face_windows, GeneratorRecipe)
