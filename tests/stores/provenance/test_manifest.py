"""Manifests: written into files that stay as they were, read again, and never fooled by a bit."""

import random
import subprocess
import sys
from pathlib import Path

import pytest

from stores.errors import InputError
from stores.provenance.keys import own_signing_key
from stores.provenance.manifest import (
    SIDECAR,
    Claim,
    Ingredient,
    check_key,
    read_manifest,
    sign,
)
from stores.provenance.seal import is_whole
from tests.media_factory import content, make_audio, make_video

DUB = {"method": "exemplar", "mark": "0badcafe"}


def signed(source: Path, target: Path, *others: Ingredient) -> Path:
    parent = Ingredient(source, "00", parent=True)
    claim = Claim(target.name, "1.2", [parent, *others], DUB)
    manifest = sign(source, target, claim, own_signing_key(), suffix=target.suffix)
    assert (manifest is None) == (target.suffix != ".mkv")
    if manifest is not None:
        target.with_suffix(SIDECAR).write_bytes(manifest)
    return target


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("signed")
    for suffix in (".mp4", ".mov", ".mkv"):
        make_video(folder / f"plain{suffix}", frames=30, real_faces=True, audio="aac")
    make_audio(folder / "speech.wav")
    return folder


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
def test_it_is_read_again_and_the_media_is_as_it_was(folder: Path, suffix: str) -> None:
    plain = folder / f"plain{suffix}"
    speech = Ingredient(folder / "speech.wav", "11")
    path = signed(plain, folder / f"signed{suffix}", speech)
    manifest = read_manifest(path)
    assert manifest is not None and manifest.whole
    assert (manifest.state, manifest.faults) == ("valid", [])
    assert manifest.generator == "Dubflow 1.2"
    assert manifest.signer == own_signing_key().signer
    assert manifest.dub == DUB
    assert manifest.chain == [plain.name, "speech.wav"]
    assert manifest.sidecar == (suffix == ".mkv")
    assert content(path) == content(plain)
    if suffix != ".mkv":
        boxes = [name for name in kinds(path) if name not in ("uuid", "free")]
        assert boxes == [name for name in kinds(plain) if name != "free"]
        assert edit_lists(path) == edit_lists(plain)
    assert read_manifest(plain) is None or suffix == ".mkv"


def kinds(path: Path) -> list[str]:
    """Boxes of a file, in order: `moov` stays before `mdat`, where that was so."""
    data, at, found = path.read_bytes(), 0, []
    while at < len(data):
        found.append(data[at + 4 : at + 8].decode())
        at += int.from_bytes(data[at : at + 4], "big")
    return found


def edit_lists(path: Path) -> list[bytes]:
    data, at, found = path.read_bytes(), 0, []
    while (at := data.find(b"elst", at + 1)) > 0:
        found.append(data[at : at - 4 + int.from_bytes(data[at - 4 : at], "big")])
    return found


def test_a_manifest_that_the_source_had_is_kept(folder: Path) -> None:
    once = signed(folder / "plain.mp4", folder / "once.mp4")
    twice = read_manifest(signed(once, folder / "twice.mp4"))
    assert twice is not None and twice.whole
    assert twice.chain == ["once.mp4", "plain.mp4"]


def test_what_is_no_container_of_its_suffix_is_an_ingredient_too(folder: Path) -> None:
    other = folder / "not really.mp4"
    other.write_bytes(b"no media at all")
    manifest = read_manifest(
        signed(folder / "plain.mp4", folder / "odd.mp4", Ingredient(other, "22"))
    )
    assert manifest is not None and manifest.chain[1] == other.name


def flipped(path: Path, count: int, *, before: int, target: Path) -> list[int]:
    """Places of single bits that can be other without anybody telling."""
    data, chance, missed = path.read_bytes(), random.Random(7), []
    for _ in range(count):
        at = chance.randrange(min(before, len(data)))
        changed = bytearray(data)
        changed[at] ^= 1 << chance.randrange(8)
        target.write_bytes(changed)
        try:
            manifest = read_manifest(target)
        except InputError:
            continue
        if manifest is not None and manifest.whole:
            missed.append(at)
    return missed


@pytest.mark.parametrize("suffix", [".mp4", ".mov"])
def test_no_flipped_bit_of_the_head_goes_unseen(folder: Path, tmp_path: Path, suffix: str) -> None:
    """In the head lie the manifest's padding, certificates and the first box, whose bits the
    manifest's own hash leaves out."""
    path = signed(folder / f"plain{suffix}", tmp_path / f"signed{suffix}")
    assert not flipped(path, 60, before=6000, target=tmp_path / f"flipped{suffix}")


@pytest.mark.long
@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
def test_a_thousand_flipped_bits_are_seen(folder: Path, tmp_path: Path, suffix: str) -> None:
    path = signed(folder / f"plain{suffix}", tmp_path / f"signed{suffix}")
    target = tmp_path / f"flipped{suffix}"
    if suffix == ".mkv":
        target.with_suffix(SIDECAR).write_bytes(path.with_suffix(SIDECAR).read_bytes())
    assert not flipped(path, 1000, before=1 << 40, target=target)


def test_a_seal_that_was_cut_off_is_missed(folder: Path, tmp_path: Path) -> None:
    path = signed(folder / "plain.mp4", tmp_path / "signed.mp4")
    assert is_whole(path)
    path.write_bytes(path.read_bytes()[:-56])
    manifest = read_manifest(path)
    assert manifest is not None and manifest.state == "valid" and not manifest.whole


def test_another_process_reads_it_with_the_library_alone(folder: Path, tmp_path: Path) -> None:
    path = signed(folder / "plain.mov", tmp_path / "signed.mov")
    code = "import c2pa, sys; print(c2pa.Reader(sys.argv[1]).get_validation_state())"
    done = subprocess.run(
        [sys.executable, "-c", code, path], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "Valid"


def test_the_own_key_signs() -> None:
    check_key(own_signing_key())
