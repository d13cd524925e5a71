"""How the missing shards of a stage are shared out among workers, for any number of each."""

from hypothesis import given
from hypothesis import strategies as some

from tasks.engine.stage import Shard, _groups


@given(some.sets(some.integers(0, 200)), some.integers(1, 64))
def test_each_shard_goes_to_one_worker_in_order(missing: set[int], workers: int) -> None:
    shards = [Shard(index, index * 16, index * 16 + 16) for index in sorted(missing)]
    groups = _groups(shards, workers)
    assert [shard for group in groups for shard in group] == shards
    assert len(groups) == min(workers, len(shards)), "none is empty and no worker is idle"
    sizes = [len(group) for group in groups]
    assert max(sizes, default=0) - min(sizes, default=0) <= 1
