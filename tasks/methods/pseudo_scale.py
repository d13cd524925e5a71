"""Pseudo labels that rest and move as the person does: a teacher's mouths often move less."""

import numpy as np

from models.deep3d.basis import N_EXPRESSION
from models.meta_talk.labels import calibration
from stores.artifacts.artifact import Artifact
from stores.artifacts.schema import ArraySpec, Schema
from tasks.engine.stage import Made, stage
from tasks.methods.expression_pairs import EXPRESSION_PAIRS

PSEUDO_SCALE = Schema(
    "pseudo_scale",
    {
        "ratio": ArraySpec(("coefficient",), "float32", "", "real over made standard deviation"),
        "offset": ArraySpec(
            ("coefficient",), "float32", "standard deviations", "real minus made mean, scaled"
        ),
    },
    {"coefficient": N_EXPRESSION},
    "How a person's own expressions differ from those a teacher gives it, on its own speech.",
)


@stage(PSEUDO_SCALE, version=1)
def pseudo_scale(made: Artifact, real: Artifact) -> Made:
    """Compare two `expression_pairs` of a person's own speech.

    Args:
        made: By the teacher.
        real: Of the person's own frames.
    """
    both = made.read("valid") & real.read("valid")
    ratio, offset = calibration(real.read("delta")[both], made.read("delta")[both])
    facts = {"ticks": int(both.sum()), "person": real.attributes["person"]}
    return Made({"ratio": ratio, "offset": offset}, facts)


@stage(EXPRESSION_PAIRS, version=1)
def rescaled_pairs(features: Artifact, pairs: Artifact, *, scale: Artifact) -> Made:
    """Pairs with their expressions so scaled and moved; they are this person's from then on.

    Args:
        features: Of the pairs.
        pairs: `expression_pairs` by the same teacher.
        scale: A `pseudo_scale`.
    """
    valid = pairs.read("valid")
    delta = (pairs.read("delta") * scale.read("ratio") + scale.read("offset")) * valid[:, None]
    told = {name: np.round(scale.read(name), 4).tolist() for name in ("ratio", "offset")}
    facts = dict(pairs.attributes) | {"person": scale.attributes["person"]} | told
    return Made({"delta": delta, "valid": valid}, facts)
