"""Every registered torch file, nested as published, loads into its network without a difference."""

from pathlib import Path

import pytest
import torch

from models.published import NAMES
from stores.artifacts.store import Store
from stores.weights.registry import read_registry
from tasks.weights.networks import find_weights, load_network
from tests.published_weights import add_filled, filled_state, write_registry

ENTRIES = {
    entry.network: name
    for name, entry in read_registry().items()
    if entry.formats[0].startswith("torch")
    and entry.formats[0] != "torchscript"
    and not (entry.completed_by or entry.carried or entry.arguments or entry.nesting.rename)
}
"""One entry per network; those put together from several files are tested in test_weights.py."""


def test_most_networks_have_such_a_file() -> None:
    own = ("exemplar_polish", "stylegan2_face")
    published = [name for name in NAMES if not name.startswith(own)]
    assert len(ENTRIES) > 0.7 * len(published)


@pytest.mark.slow
@pytest.mark.parametrize("network", sorted(ENTRIES))
def test_the_published_file_loads(
    network: str, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = ENTRIES[network]
    monkeypatch.setenv("DUBFLOW_WEIGHTS", str(write_registry(tmp_path / "own.yaml", name)))
    add_filled(store, name, tmp_path)
    loaded = load_network(find_weights(name, store=store), store=store).state_dict()
    for key, value in filled_state(network).items():
        assert torch.equal(loaded[key], value), key
