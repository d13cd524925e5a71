"""The registry of published checkpoints, and what the store remembers of them."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from models.published import NAMES
from stores.artifacts.store import Store
from stores.collector import collect
from stores.errors import SettingsError, WeightsError
from stores.weights import registry
from stores.weights.registry import (
    FILE,
    WEIGHTS,
    WeightsEntry,
    check_file,
    find_converted,
    find_entry,
    find_record,
    keep_weights,
    published_derivation,
    read_registry,
    records,
    sha256_of,
    write_record,
)

ROOT = Path(__file__).parents[3]

ENTRY = WeightsEntry(
    network="audiodvp_expression",
    file="a.pth",
    page="https://example.org",
    licence="MIT",
    commercial=True,
    formats=["torch"],
)


@pytest.fixture
def own_registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "own.yaml"
    monkeypatch.setenv("DUBFLOW_WEIGHTS", str(path))
    return path


def keep(store: Store, name: str, value: float) -> str:
    """Weights of an entry, as if added from a file whose hash is the value's text."""
    sha256 = f"{value:064.0f}"
    recipe = published_derivation(name, ENTRY, sha256, {})
    weights = keep_weights(store, recipe, {"w": torch.full((2,), value)}, {"entry": name})
    write_record(store, name, sha256=sha256, size=8, key=weights.key)
    return weights.key


def test_every_published_network_has_an_entry() -> None:
    networks = {entry.network for entry in read_registry().values()}
    assert networks <= set(NAMES)
    unpublished = {"ip_lap_discriminator", "meta_talk_expression", "meta_talk_renderer"}
    unpublished |= {"exemplar_polish"}
    unpublished |= {"stylegan2_face", "stylegan2_face_embedding", "stylegan2_face_identity"}
    assert set(NAMES) - networks == unpublished


def test_every_published_file_has_an_entry() -> None:
    """The files, hashes and sizes are those that the goldens' manifests state."""
    registry = read_registry()
    by_file = {entry.file: entry for entry in registry.values()}
    # trained for each speaker; a folder of the user's naming; carried by the package lpips
    other_names = {
        "<epoch>_net_G.pth": "latest_net_G.pth",
        "<epoch>_net_D.pth": "latest_net_D.pth",
        "checkpoints/<name>/epoch_20.pth": "epoch_20.pth",
    }
    for path in sorted((ROOT / "tests/data/goldens").glob("*.json")):
        checkpoint = json.loads(path.read_text()).get("checkpoint", {})
        for stated in checkpoint.get("files", []):
            name = stated.split(" (")[0]
            if not name.startswith("lpips/weights/"):
                assert other_names.get(name, name) in by_file, (path.stem, name)
        sums, sizes = checkpoint.get("sha256"), checkpoint.get("size_bytes") or {}
        for name, digest in sums.items() if isinstance(sums, dict) else ():
            assert by_file[name].sha256 == digest
        for name, size in sizes.items():
            assert by_file[name].size == (size if isinstance(size, int) else None)


def test_a_pulled_file_is_always_proved() -> None:
    for name, entry in read_registry().items():
        assert entry.address is None or entry.address.startswith("https://") or entry.sha256, name
        host = (entry.address or "").split("/")[2:3]
        assert not set(host) & {"drive.google.com", "1drv.ms"}, f"{name}: needs a browser"


def test_the_guide_lists_every_licence() -> None:
    """docs/weights.md ends with this table; after a change of the registry, put it there anew."""
    said = {True: "yes", False: "no", None: "unclear"}
    rows = [
        f"| `{name}` | {'`pull`' if entry.address else 'browser'} | {entry.licence} | "
        f"{said[entry.commercial]} | {entry.note} |"
        for name, entry in read_registry().items()
    ]
    assert (ROOT / "docs/weights.md").read_text().endswith("|\n" + "\n".join(rows) + "\n")


def test_an_own_registry_adds_and_replaces(own_registry: Path) -> None:
    fields = ENTRY.model_dump(mode="json", exclude_defaults=True)
    own_registry.write_text(yaml.safe_dump({"weights": {"mine": fields, "syncnet_v2": fields}}))
    registry = read_registry()
    assert registry["mine"] == registry["syncnet_v2"] == ENTRY
    assert "wav2lip" in registry


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"sise": 3}, r"weights\.mine\.sise: Extra inputs"),
        ({"address": "file:///etc/passwd"}, r"address: String should match"),
        ({"address": "http://example.org/a"}, "an address without TLS needs the file's sha256"),
        ({"sha256": "abc"}, "sha256: String should match"),
        ({"nesting": {"strip": "module."}}, "Extra inputs"),
        ({"completed_by": [{"entry": "none", "prefix": "a."}]}, "refers to none"),
        ({"formats": ["onnx"]}, "formats"),
    ],
)
def test_a_wrong_registry_is_refused(
    own_registry: Path, change: dict[str, object], words: str
) -> None:
    fields = ENTRY.model_dump(mode="json", exclude_defaults=True) | change
    own_registry.write_text(yaml.safe_dump({"weights": {"mine": fields}}))
    with pytest.raises(SettingsError, match=words):
        read_registry()


def test_unreadable_registries_are_named(own_registry: Path) -> None:
    with pytest.raises(SettingsError, match=r"own\.yaml can't be read"):
        read_registry()
    own_registry.write_text("a: [")
    with pytest.raises(SettingsError, match="is no YAML"):
        read_registry()


def test_a_registry_is_parsed_once_and_again_when_it_changes(
    own_registry: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parsed: list[str] = []
    load = yaml.load

    def noted(text: str, **given: Any) -> Any:
        parsed.append(text)
        return load(text, **given)

    monkeypatch.setattr(registry.yaml, "load", noted)
    fields = ENTRY.model_dump(mode="json", exclude_defaults=True)
    for name in ("mine", "ours"):
        own_registry.write_text(yaml.safe_dump({"weights": {name: fields}}))
        parsed.clear()
        for _ in range(3):
            assert {"mine", "ours"} & set(read_registry()) == {name}
        assert parsed.count(own_registry.read_text()) == 1
        assert len(parsed) <= 2


def test_a_wrong_name_gets_near_ones() -> None:
    with pytest.raises(SettingsError, match="did you mean wav2lip_gan"):
        find_entry(read_registry(), "wav2lip-gan")
    with pytest.raises(SettingsError, match="dubflow weights list"):
        find_entry(read_registry(), "zzzzzzzz")


def test_weights_stay_when_others_are_collected(store: Store) -> None:
    first, second = keep(store, "one", 1), keep(store, "two", 2)
    keep(store, "one", 3)  # in place of the first
    found = collect(store, dry_run=False)
    assert found.artifacts == [(WEIGHTS.kind, first)]
    assert find_converted(store, "two") is not None
    assert [record.entry for record in records(store)] == ["one", "two"]
    assert store.find(WEIGHTS.kind, second) is not None


def test_weights_that_complete_kept_ones_stay(store: Store) -> None:
    part = store.get(WEIGHTS.kind, keep(store, "part", 1))
    recipe = published_derivation("whole", ENTRY, "0" * 64, {"low_res.": part})
    whole = keep_weights(store, recipe, {"w": torch.zeros(1)}, {})
    write_record(store, "whole", sha256="0" * 64, size=4, key=whole.key)
    (store.backend.local_path("weights") / "part.json").unlink()
    assert collect(store, dry_run=True).artifacts == []


def test_damaged_weights_are_made_anew(store: Store) -> None:
    key = keep(store, "one", 1)
    path = store.get(WEIGHTS.kind, key).file(FILE)
    path.write_bytes(path.read_bytes()[:-1])
    assert keep(store, "one", 1) == key
    assert store.get(WEIGHTS.kind, key).damage() == []


def test_the_key_follows_file_and_nesting() -> None:
    def key(sha256: str = "0" * 64, **change: object) -> str:
        return published_derivation("one", ENTRY.model_copy(update=change), sha256, {}).key

    assert key() == key(note="x", licence="y", page="https://example.org/b")
    others = [key("1" * 64), key(network="syncnet_v2"), key(arguments={"size": 3})]
    assert len({key(), *others}) == 4


def test_a_file_is_checked_against_registry_and_record(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    path.write_bytes(b"12345")
    digest = sha256_of(path)
    assert check_file("one", ENTRY, path, None) == (digest, 5)
    for change, words in (
        ({"size": 9}, r"has 5 bytes, one as published has 9: a broken-off download"),
        ({"size": 3}, "has 5 bytes, one as published has 3: another file; get a.pth from"),
        ({"sha256": "0" * 64}, f"its SHA-256 is {digest}, not 0000"),
        ({"sha256_prefix": "01234567"}, f"its SHA-256 is {digest[:8]}, not 01234567"),
    ):
        with pytest.raises(WeightsError, match=words):
            check_file("one", ENTRY.model_copy(update=change), path, None)
    good = {"size": 5, "sha256": digest, "sha256_prefix": digest[:10]}
    check_file("one", ENTRY.model_copy(update=good), path, None)
    keep(store, "one", 1)
    with pytest.raises(WeightsError, match=r"first used with .* add --replace"):
        check_file("one", ENTRY, path, find_record(store, "one"))


def test_a_damaged_record_is_no_licence_to_forget(store: Store) -> None:
    keep(store, "one", 1)
    (store.backend.local_path("weights") / "one.json").write_text("{")
    with pytest.raises(WeightsError, match=r"one\.json is damaged"):
        find_record(store, "one")
