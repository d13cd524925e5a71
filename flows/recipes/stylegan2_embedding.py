"""`stylegan2.embedding`: lips that are seen and speech that is heard, in one space."""

from functools import partial

from flows.recipes import RecipeSpec
from flows.training.square_data import open_speaking
from tasks.training.stylegan2_embedding import EmbeddingRecipe, EmbeddingSettings

RECIPE = RecipeSpec(
    EmbeddingSettings,
    partial(open_speaking, network="embedding/embedding.audio", references=0),
    EmbeddingRecipe,
)
