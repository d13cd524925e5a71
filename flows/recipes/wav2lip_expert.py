"""`wav2lip.expert`: Wav2Lip's sync expert, from five lower faces and their sound."""

from flows.recipes import RecipeSpec
from flows.training.face_windows import open_face_windows
from tasks.training.wav2lip_expert import ExpertRecipe, ExpertSettings

RECIPE = RecipeSpec(ExpertSettings, open_face_windows, ExpertRecipe)
