"""Values whose last digits are noise are kept to a step."""

from pathlib import Path

import numpy as np
import pytest

from stores.artifacts.builder import Derivation
from stores.artifacts.schema import ArraySpec, Schema
from stores.artifacts.store import Store

STEP = 1 / 64
PLACES = Schema("places", {"place": ArraySpec(("row", "xy"), "float32", step=STEP)}, {"xy": 2})


@pytest.mark.parametrize("in_shards", [True, False])
def test_they_are_kept_to_the_nearest_multiple(tmp_path: Path, in_shards: bool) -> None:
    places = np.random.default_rng(0).normal(300, 200, (300, 2)).astype(np.float32)
    places[7] = np.nan, np.inf
    store = Store(str(tmp_path))
    builder = store.builder(Derivation.of(PLACES, 1, {}, {}), {"row": len(places)})
    builder.prepare()
    if in_shards:
        for shard, start in enumerate((0, 256)):
            builder.write(shard, {"place": places[start : start + 256]}, seconds=0.0)
    else:
        builder.write_whole({"place": places})
    kept = builder.commit({}, seconds=0.0).read("place")
    assert kept.dtype == np.float32
    np.testing.assert_array_equal(np.isfinite(kept), np.isfinite(places))
    known = np.isfinite(places)
    assert np.abs(kept[known] - places[known]).max() <= STEP / 2
    assert (kept[known] % STEP == 0).all()
    assert (kept != places).any()
