"""Metrics as stages: per frame where that makes sense, and kept like every other artifact."""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # settings name the families without importing what computes them
    from tasks.metrics.family import Family

FAMILIES = (
    *("pixels", "drift", "lpips_alex", "lpips_vgg", "effnet", "fid", "effnet_frechet"),
    *("identity", "identity_dlib", "sharpness"),
    *("lips", "agreement", "lse", "speech", "closure"),
)
"""Modules of this package that hold a family of metrics, in the order of the report."""


def find_family(name: str) -> "Family":
    """The family of that name, one of FAMILIES."""
    family: Family = importlib.import_module(f"tasks.metrics.{name}").FAMILY
    return family
