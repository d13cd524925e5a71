"""Pseudo labels that move as much as the person does: a teacher's mouths often move less."""

import numpy as np

from models.deep3d.basis import N_EXPRESSION
from models.meta_talk.labels import spread_ratio
from stores.artifacts.artifact import Artifact
from stores.artifacts.schema import ArraySpec, Schema
from tasks.engine.stage import Made, stage
from tasks.methods.expression_pairs import EXPRESSION_PAIRS

PSEUDO_SCALE = Schema(
    "pseudo_scale",
    {"ratio": ArraySpec(("coefficient",), "float32", "", "real over made standard deviation")},
    {"coefficient": N_EXPRESSION},
    "How much more a person moves than a teacher makes it move, on its own speech.",
)


@stage(PSEUDO_SCALE, version=1)
def pseudo_scale(made: Artifact, real: Artifact) -> Made:
    """Compare two `expression_pairs` of a person's own speech.

    Args:
        made: By the teacher.
        real: Of the person's own frames.
    """
    both = made.read("valid") & real.read("valid")
    ratio = spread_ratio(real.read("delta")[both], made.read("delta")[both])
    return Made({"ratio": ratio}, {"ticks": int(both.sum()), "person": real.attributes["person"]})


@stage(EXPRESSION_PAIRS, version=1)
def rescaled_pairs(features: Artifact, pairs: Artifact, *, scale: Artifact) -> Made:
    """Pairs whose expressions are so much larger; they are this person's from then on.

    Args:
        features: Of the pairs.
        pairs: `expression_pairs` by the same teacher.
        scale: A `pseudo_scale`.
    """
    ratio = scale.read("ratio")
    facts = {"person": scale.attributes["person"], "scale": np.round(ratio, 4).tolist()}
    arrays = {"delta": pairs.read("delta") * ratio, "valid": pairs.read("valid")}
    return Made(arrays, dict(pairs.attributes) | facts)
