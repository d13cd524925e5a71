"""What an object store is not asked for twice, and that damage is found all the same."""

from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
import pytest

from stores.artifacts.artifact import Artifact
from stores.artifacts.store import Store
from stores.backends import bucket_zarr
from stores.backends.bucket import Bucket
from stores.backends.kept import Kept
from stores.errors import DamagedArtifact
from tasks.engine.open_run import open_run
from tests.tasks.toy_stages import ToySettings, numbers

ROWS = 40


@pytest.fixture
def requests(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How many the store makes, in step and from Zarr's loop."""
    made: Counter[str] = Counter()
    ask, ask_async = Bucket.ask, Bucket.ask_async

    def counted(self: Bucket, request: Callable[[], Any]) -> Any:
        made["ask"] += 1
        return ask(self, request)

    async def counted_async(self: Bucket, request: Callable[[], Awaitable[Any]]) -> Any:
        made["zarr"] += 1
        return await ask_async(self, request)

    monkeypatch.setattr(Bucket, "ask", counted)
    monkeypatch.setattr(Bucket, "ask_async", counted_async)
    return made


@pytest.fixture
def made(s3_url: str) -> Artifact:
    with open_run(Store(s3_url)):
        return numbers(ROWS, ToySettings())


def read(url: str, key: str) -> Any:
    """As another stage of the same process."""
    found = Store(url).get("numbers", key)
    return found.read("value"), found.read_ragged("bytes", 1)


def name_of(artifact: Artifact, file: str) -> str:
    return f"numbers/{artifact.key[:2]}/{artifact.key}/{file}"


@pytest.mark.dub
def test_opening_again_costs_one_listing(
    s3_url: str, made: Artifact, requests: Counter[str]
) -> None:
    first = read(s3_url, made.key)
    assert requests["zarr"] <= len(made.manifest.files), "each file once, whole"
    requests.clear()
    second = read(s3_url, made.key)
    assert requests == {"ask": 1}
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("harm", ["missing", "emptied", "cut"])
@pytest.mark.parametrize("file", ["value/c/1/0", "value/zarr.json", "zarr.json"])
@pytest.mark.dub
def test_what_is_kept_hides_no_damage_from_opening(
    s3_url: str, made: Artifact, harm: str, file: str
) -> None:
    read(s3_url, made.key)
    store = Store(s3_url)
    content = store.backend.read(name_of(made, file))
    if harm == "missing":
        store.backend.delete(name_of(made, file))
    else:
        store.backend.write(name_of(made, file), {"emptied": b"", "cut": content[:9]}[harm])
    with pytest.raises(DamagedArtifact, match=file):
        store.get("numbers", made.key)


@pytest.mark.parametrize("file", ["value/c/0/0", "value/zarr.json", "bytes/000001/c/0"])
@pytest.mark.dub
def test_other_bytes_of_the_same_length(s3_url: str, made: Artifact, file: str) -> None:
    store = Store(s3_url)
    content = bytearray(store.backend.read(name_of(made, file)))
    content[-3] ^= 1
    store.backend.write(name_of(made, file), bytes(content))
    with pytest.raises(DamagedArtifact, match=rf"{file} has other bytes"):
        read(s3_url, made.key)


@pytest.mark.dub
def test_a_process_that_has_good_bytes_goes_on_with_them(s3_url: str, made: Artifact) -> None:
    before, _ = read(s3_url, made.key)
    store, file = Store(s3_url), name_of(made, "value/c/0/0")
    content = bytearray(store.backend.read(file))
    content[3] ^= 1
    store.backend.write(file, bytes(content))
    np.testing.assert_array_equal(read(s3_url, made.key)[0], before)
    assert store.get("numbers", made.key).damage() == [
        "value/c/0/0 has other bytes than were committed"
    ]


@pytest.mark.dub
def test_a_file_lost_after_opening_is_no_zeros(s3_url: str, made: Artifact) -> None:
    opened = Store(s3_url).get("numbers", made.key)
    Store(s3_url).backend.delete(name_of(made, "value/c/1/0"))
    with pytest.raises(DamagedArtifact, match="value/c/1/0 is missing"):
        opened.read("value")


@pytest.mark.dub
def test_a_large_file_lost_after_opening_is_no_zeros(
    s3_url: str, made: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bucket_zarr, "SMALL_BYTES", 0)
    opened = Store(s3_url).get("numbers", made.key)
    assert len(opened.read("value")) == ROWS
    Store(s3_url).backend.delete(name_of(made, "value/c/1/0"))
    with pytest.raises(DamagedArtifact, match="value/c/1/0 is missing"):
        opened.read("value")


@pytest.mark.dub
def test_a_removed_artifact_is_gone_and_a_new_one_is_read(s3_url: str, made: Artifact) -> None:
    store = Store(s3_url)
    read(s3_url, made.key)
    text = store.backend.read(name_of(made, "manifest.json"))
    store.remove("numbers", made.key)
    assert store.find("numbers", made.key) is None
    with open_run(store):
        again = numbers(ROWS, ToySettings())
    other = text.replace(made.manifest.created.encode(), b"1999-12-31T23:59:59+00:00")
    store.backend.write(name_of(again, "manifest.json"), other)
    assert Store(s3_url).get("numbers", made.key).manifest.created.startswith("1999")


def test_no_more_is_kept_than_allowed() -> None:
    kept: Kept[bytes] = Kept(10)
    for name in "abcd":
        kept.put(name, name.encode(), 3)
    assert [kept.get(name) for name in "abcd"] == [None, b"b", b"c", b"d"]
    kept.get("b")
    kept.put("e", b"e", 3)
    assert [kept.get(name) for name in "bcde"] == [b"b", None, b"d", b"e"]
    kept.put("b", b"f", 9)
    assert [kept.get(name) for name in "bde"] == [b"f", None, None]
    kept.put("g", b"too large", 11)
    assert kept.get("g") is None
    assert kept.get("b") == b"f"
