"""Signed manifests of origin (C2PA): written at the end of a dub, and read from any file.

.mp4, .m4v and .mov carry theirs; that of .mkv lies beside it, as NAME.c2pa. Nothing is fetched: not
what a manifest refers to, nor whether a certificate was revoked, and no time is stamped by others.
"""

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from stores.errors import InputError, SettingsError
from stores.provenance.keys import SigningKey
from stores.provenance.seal import is_whole, seal

if TYPE_CHECKING:
    import c2pa

DUB = "org.dubflow.dub"
"""Label of the assertion that holds what Dubflow says of a dub."""

_MEDIA_TYPES = {
    ".mp4": "video/mp4",
    ".m4v": "video/x-m4v",
    ".mov": "video/quicktime",
    ".avi": "video/avi",
    ".m4a": "audio/mp4",
    ".mp3": "audio/mpeg",
    ".wav": "audio/wav",
    ".flac": "audio/flac",
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".webp": "image/webp",
}
_OTHER = "application/octet-stream"
SIDECAR = ".c2pa"
_EMBEDDED = frozenset({".mp4", ".m4v", ".mov"})
_COMPOSITE = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
_UNTRUSTED = "signingCredential.untrusted"
_SETTINGS = {
    "verify": {"remote_manifest_fetch": False, "ocsp_fetch": False},
    "builder": {"thumbnail": {"enabled": False}},
}


@dataclass(frozen=True)
class Ingredient:
    """A file that a dub was made of.

    Attributes:
        path: Where it is; only its name goes into the manifest, and a manifest of its own.
        key: Of its bytes: BLAKE2b-128.
        parent: It is what was edited; there is one.
    """

    path: Path
    key: str
    parent: bool = False


@dataclass(frozen=True)
class Claim:
    """What a manifest says.

    Attributes:
        title: Name of the file.
        version: Of Dubflow.
        ingredients: The source video first.
        dub: Of the assertion DUB.
    """

    title: str
    version: str
    ingredients: Sequence[Ingredient]
    dub: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Manifest:
    """What a file's manifest says, and whether it holds.

    Attributes:
        state: `valid`: signature and bytes are right; `trusted`: and an authority that this machine
            knows vouches for the signer; `invalid`: something was changed.
        signer: Name in the certificate.
        faults: Codes of what is wrong, as C2PA calls them.
        generator: Which program wrote it.
        chain: Titles of the ingredients, those of their own manifests behind them.
        dub: What Dubflow says, or None: a manifest of another program.
        sealed: The checksum over the whole file is right.
        sidecar: It lies beside the file.
    """

    state: str
    signer: str
    faults: list[str]
    generator: str
    chain: list[str]
    dub: dict[str, Any] | None
    sealed: bool
    sidecar: bool

    @property
    def whole(self) -> bool:
        """Not a bit was changed since it was signed, as far as the manifest can tell."""
        mine = self.dub is not None and not self.sidecar
        return self.state != "invalid" and (self.sealed or not mine)


def sign(source: Path, target: Path, claim: Claim, key: SigningKey, *, suffix: str) -> bytes | None:
    """Write a copy of a file, with its manifest in it if its container can carry one.

    Args:
        source: The file without a manifest.
        target: What to write; it may be there already.
        claim: What is said.
        key: To sign with.
        suffix: Of the file's name, which names its container.

    Returns:
        The manifest, where it is to lie beside the file; else None.

    Raises:
        SettingsError: the key does not do, in the library's words.
    """
    embedded = suffix in _EMBEDDED
    with source.open("rb") as read, target.open("w+b") as write:
        manifest = _signed(claim, key, _MEDIA_TYPES.get(suffix, _OTHER), read, write, embedded)
    if not embedded:
        return manifest
    seal(target)
    return None


def check_key(key: SigningKey) -> None:
    """Sign a byte, to know before long work whether the key will do.

    Raises:
        SettingsError: it won't, in the library's words.
    """
    _signed(Claim("", "0", []), key, _OTHER, io.BytesIO(b"0"), io.BytesIO(), False)


def _signed(
    claim: Claim, key: SigningKey, kind: str, read: BinaryIO, write: BinaryIO, embedded: bool
) -> bytes:
    import c2pa

    info = c2pa.C2paSignerInfo(key.algorithm.encode(), key.chain, key.key, None)
    try:
        with (
            _context() as context,
            c2pa.Builder(_definition(claim), context) as builder,
            c2pa.Signer.from_info(info) as signer,
        ):
            if not embedded:
                builder.set_no_embed()
            for ingredient in claim.ingredients:
                _add(builder, ingredient)
            return bytes(builder.sign(signer, kind, read, write))
    except c2pa.C2paError as error:
        words = " ".join(str(error).split())
        raise SettingsError(
            f"{claim.title or 'a manifest'} can't be signed as {key.signer}: {words}; "
            "give another certificate with --sign, or --no-mark to go without"
        ) from error


def _context() -> "c2pa.Context":
    import c2pa

    return c2pa.Context(c2pa.Settings.from_dict(_SETTINGS))


def _definition(claim: Claim) -> dict[str, Any]:
    agent = {"name": "Dubflow", "version": claim.version}
    opened = {"action": "c2pa.opened", "parameters": {"ingredientIds": ["parent"]}}
    edited = {
        "action": "c2pa.edited",
        "digitalSourceType": _COMPOSITE,
        "softwareAgent": agent,
        "description": "Dubbed: new speech, and mouths made anew to match it.",
    }
    made = any(each.parent for each in claim.ingredients)
    actions = [opened, edited] if made else [edited | {"action": "c2pa.created"}]
    return {
        "claim_generator_info": [agent],
        "title": claim.title,
        "assertions": [
            {"label": "c2pa.actions.v2", "data": {"actions": actions}},
            {"label": DUB, "data": claim.dub},
        ],
    }


def _add(builder: "c2pa.Builder", ingredient: Ingredient) -> None:
    """As what it is, with the manifest that it has; else as bytes that can't carry one."""
    import c2pa

    said = {
        "title": ingredient.path.name,
        "relationship": "parentOf" if ingredient.parent else "inputTo",
        "instance_id": f"blake2b-128:{ingredient.key}",
    }
    if ingredient.parent:
        said["label"] = "parent"
    kinds = [_MEDIA_TYPES.get(ingredient.path.suffix.lower(), _OTHER), _OTHER]
    for kind in dict.fromkeys(kinds):
        with ingredient.path.open("rb") as file:
            try:
                builder.add_ingredient(json.dumps(said), kind, file)
                return
            except c2pa.C2paError:  # the name promises another container than the bytes are
                if kind == _OTHER:
                    raise


def read_manifest(path: Path) -> Manifest | None:
    """The manifest in a file, or beside it; None if there is none.

    Raises:
        InputError: the file can't be read.
    """
    import c2pa

    beside = path.with_suffix(SIDECAR)
    kind = _MEDIA_TYPES.get(path.suffix.lower(), _OTHER)
    try:
        with path.open("rb") as file, _context() as context:
            sidecar = kind == _OTHER and beside.is_file()
            given = [beside.read_bytes()] if sidecar else []
            try:
                with c2pa.Reader(kind, file, *given, context=context) as reader:
                    told, state = json.loads(reader.json()), reader.get_validation_state()
            except c2pa.C2paError as error:
                if holds_manifest(path) or sidecar:
                    return _broken(str(error), sidecar)
                return None
    except OSError as error:
        raise InputError(f"{path} can't be read: {error.strerror}") from error
    return _manifest(told, str(state).lower(), sealed=is_whole(path), sidecar=sidecar)


def sidecar_of(dub: Path) -> Path | None:
    """The file beside a dub that holds its manifest; None: the dub holds it itself."""
    return None if dub.suffix.lower() in _EMBEDDED else dub.with_suffix(SIDECAR)


def holds_manifest(path: Path) -> bool:
    """Whether there is one, even if too damaged to be read: its label stands near the start."""
    with path.open("rb") as file:
        return b"urn:c2pa:" in file.read(1 << 20)


def _broken(words: str, sidecar: bool) -> Manifest:
    return Manifest("invalid", "", [" ".join(words.split())], "", [], None, False, sidecar)


def _manifest(told: dict[str, Any], state: str, *, sealed: bool, sidecar: bool) -> Manifest:
    manifests = told.get("manifests", {})
    active = manifests.get(told.get("active_manifest"), {})
    faults = [each["code"] for each in told.get("validation_status", [])]
    info = (active.get("claim_generator_info") or [{}])[0]
    dubs = [each["data"] for each in active.get("assertions", []) if each["label"] == DUB]
    return Manifest(
        state,
        active.get("signature_info", {}).get("common_name", ""),
        [code for code in faults if code != _UNTRUSTED],
        f"{info.get('name', '')} {info.get('version', '')}".strip(),
        _chain(active, manifests),
        dubs[0] if dubs else None,
        sealed,
        sidecar,
    )


def _chain(manifest: dict[str, Any], manifests: dict[str, Any]) -> list[str]:
    chain, waiting, known = list[str](), [manifest], set[int]()
    while waiting:
        for each in (current := waiting.pop(0)).get("ingredients", []):
            chain.append(str(each.get("title", "?")))
            behind = manifests.get(each.get("active_manifest"))
            if behind is not None and id(behind) not in known:
                known.add(id(behind))
                waiting.append(behind)
        known.add(id(current))
    return chain
