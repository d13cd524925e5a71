"""`meta_talk.expression`: Meta Talk's and AudioDVP's network from speech to expression.

Its data is a list of pairs of speech and expression (`tasks.training.pairs`).
"""

from flows.recipes import RecipeSpec
from flows.training.pair_data import open_pairs
from tasks.training.meta_talk_expression import ExpressionRecipe, ExpressionSettings

RECIPE = RecipeSpec(
    ExpressionSettings,
    open_pairs,
    lambda settings, store: ExpressionRecipe(settings),
    clips=False,
)
