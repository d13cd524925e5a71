"""Rows of a stored array, in any order."""

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as some
from numpy.typing import NDArray

from stores.artifacts.artifact import Artifact
from stores.artifacts.store import Store
from tasks.engine.open_run import open_run
from tests.tasks.toy_stages import ROWS_PER_SHARD, ToySettings, numbers

ROWS = 10 * ROWS_PER_SHARD - 3
"""So many that some gaps are read over and others are not, and that the last shard is short."""


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Artifact]:
    with open_run(Store(tmp_path_factory.mktemp("rows") / "store")):
        yield numbers(ROWS, ToySettings())


@pytest.fixture(scope="module")
def whole(artifact: Artifact) -> NDArray[np.float32]:
    return artifact.read("value")


@given(some.lists(some.integers(0, ROWS - 1), max_size=30))
@example([])
@example([0, 17, 16, 33, 0, ROWS - 1])
@example(list(range(ROWS - 1, -1, -1)))
def test_rows_in_any_order_equal_those_of_the_whole(
    artifact: Artifact, whole: NDArray[np.float32], rows: list[int]
) -> None:
    wanted = np.array(rows, np.int64)
    found = artifact.read_rows("value", wanted)
    assert found.dtype == whole.dtype
    np.testing.assert_array_equal(found, whole[wanted])


@given(some.integers(0, ROWS), some.integers(0, ROWS))
def test_a_range_equals_that_of_the_whole(
    artifact: Artifact, whole: NDArray[np.float32], start: int, stop: int
) -> None:
    np.testing.assert_array_equal(artifact.read("value", start, stop), whole[start:stop])
