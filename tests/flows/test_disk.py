"""What a dub will take, told before: near enough to choose a disk by."""

from collections.abc import Callable
from pathlib import Path

import pytest

from flows.disk import disk_need
from flows.dub import dub
from flows.settings import DubSettings
from stores.artifacts.catalog import read_catalog
from stores.artifacts.store import Store

pytestmark = pytest.mark.long


def test_it_is_within_a_factor_of_two(settings: Callable[..., DubSettings], tmp_path: Path) -> None:
    given = settings(store=str(tmp_path / "store"), encode={"crf": 17})
    need = disk_need(given)
    assert need.stored == 0
    assert need.free is not None and need.free > 0
    dub(given)
    sizes = [row["stored_bytes"] for row in read_catalog(Store(given.store)).to_pylist()]
    assert sum(sizes) / 2 < need.store < sum(sizes) * 2
    assert disk_need(given).stored > sum(sizes) / 2
