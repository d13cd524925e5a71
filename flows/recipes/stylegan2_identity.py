"""`stylegan2.identity`: whose face it is."""

from flows.recipes import RecipeSpec
from flows.training.square_data import open_persons
from tasks.training.stylegan2_identity import IdentityRecipe, IdentitySettings

RECIPE = RecipeSpec(
    IdentitySettings, open_persons, lambda settings, store: IdentityRecipe(settings)
)
