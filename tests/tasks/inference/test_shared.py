"""Half precision is judged once for a whole artifact, whoever computes which of its ranges."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import nn

from stores.artifacts.artifact import Artifact
from stores.artifacts.schema import ArraySpec, Schema
from stores.artifacts.store import Store
from tasks.engine.device_settings import DeviceSettings, Precision
from tasks.engine.open_run import open_run
from tasks.engine.stage import Blocks, Plan, Shard, stage
from tasks.inference import shared
from tasks.inference.shared import network_runner
from tests.tasks.toy_stages import ToySettings, numbers

ROWS, PER_SHARD = 64, 16
LARGE = 300.0
"""Times 300 it is more than float16 can hold."""

SCALED = Schema("scaled", {"value": ArraySpec(("frame", "one"), "float32", shard=PER_SHARD)}, {})


@stage(SCALED, version=1, plan=lambda rows: Plan(rows, {"one": 1}), network=True)
def scaled(
    rows: int,
    *,
    weights: Artifact,
    large: list[int],
    precision: Precision,
    shards: Sequence[Shard],
) -> Blocks:
    """Sevenths times 300 by a network; rows of the shards in `large` overflow in half precision."""

    def block(rows: Any) -> tuple[Any]:
        there = np.isin(rows // PER_SHARD, large)[:, None]
        return (np.where(there, LARGE, rows[:, None] / 7).astype(np.float32),)

    runner = network_runner(
        "scaled",
        weights,
        lambda network: network,
        precision=precision,
        tolerance=10.0,
        usable=np.ones(rows, bool),
        block=block,
    )
    parts = [np.arange(shard.start, shard.stop) for shard in shards]
    for made in runner.map(map(block, parts)):
        yield {"value": made}


def times_300(weights: Artifact) -> nn.Module:
    network = nn.Linear(1, 1, bias=False)
    nn.init.constant_(network.weight, 300.0)
    return network


@pytest.fixture(autouse=True)
def fake_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared, "load_network", times_300)
    monkeypatch.setattr(shared, "_kept", {})


def made(store: Store, precision: Precision, large: list[int], workers: int = 4) -> Any:
    with open_run(store, workers=workers, devices=DeviceSettings(device="cpu")):
        weights = numbers(1, ToySettings())
        found = scaled(ROWS, weights=weights, large=large, precision=precision)
    used = "float32" if large else precision
    assert found.attributes == ({} if precision == "float32" else {"precision": used})
    return found.read("value")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def test_half_precision_that_is_near_enough_stays(store: Store) -> None:
    half, exact = made(store, "float16", []), made(store, "float32", [])
    assert 0 < np.abs(half - exact).max() < 10


@pytest.mark.parametrize("large", range(ROWS // PER_SHARD))
def test_one_range_that_overflows_decides_for_all(store: Store, large: int) -> None:
    """Each range is computed alone, in any order; none is left in half precision."""
    half, exact = made(store, "float16", [large]), made(store, "float32", [large])
    np.testing.assert_array_equal(half, exact)


def test_the_first_verdict_counts_to_the_end(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A computation that is broken off goes on elsewhere, where the judgement would differ."""
    body = scaled.body

    def broken_off(*given: Any, shards: Sequence[Shard], **named: Any) -> Blocks:
        for block, shard in zip(body(*given, shards=shards, **named), shards, strict=True):
            if shard.index == 2:
                raise ZeroDivisionError
            yield block

    with monkeypatch.context() as patch, pytest.raises(ZeroDivisionError):
        patch.setattr(scaled, "body", broken_off)
        made(store, "float16", [], workers=1)
    with monkeypatch.context() as patch:
        patch.setattr(shared.Runner, "error", lambda runner, block: float("inf"))
        resumed = made(store, "float16", [])
    np.testing.assert_array_equal(resumed, made(Store("memory://whole"), "float16", []))
    assert store.unfinished() == []


def test_nothing_to_compute_is_no_error(store: Store) -> None:
    with open_run(store, devices=DeviceSettings(device="cpu")):
        weights = numbers(1, ToySettings())
        runner = network_runner(
            "nothing",
            weights,
            lambda network: network,
            precision="float16",
            usable=np.zeros(5, bool),
            block=lambda rows: pytest.fail("there is nothing to judge by"),
        )
    assert runner.precision == "float16"
