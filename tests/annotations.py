"""The check of annotations that all tests run under (see `addopts` in pyproject.toml)."""

from collections.abc import Iterator
from contextlib import contextmanager

import jaxtyping


@contextmanager
def unchecked() -> Iterator[None]:
    """Check no annotation, as in use: arrays of a wrong shape reach the code that refuses them."""
    jaxtyping.config.update("jaxtyping_disable", True)
    try:
        yield
    finally:
        jaxtyping.config.update("jaxtyping_disable", False)
