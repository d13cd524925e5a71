"""How a dub says that it is one: what is checked before the work, and the file that is handed out.

The store holds the file without a signature, so that all stages stay as they were; it is signed as
it is copied to its final name, which it gets when it is complete, or not at all.
"""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field

from flows.origin_settings import NON_COMMERCIAL, SIGN_CERT, SIGN_KEY
from flows.settings import DubSettings
from stores.artifacts.artifact import Artifact
from stores.artifacts.versions import software_versions
from stores.backends.backend import explain_full_disk
from stores.errors import InputError, SettingsError
from stores.provenance.consent import consent_hash
from stores.provenance.keys import SigningKey, own_signing_key, read_signing_key
from stores.provenance.manifest import (
    Claim,
    Ingredient,
    check_key,
    holds_manifest,
    sidecar_of,
    sign,
)
from stores.runs import RunRecord
from stores.whole_files import replacing
from tasks.weights.networks import Licence, licences

_SHIPPED = (
    ("faces", "MediaPipe's face networks", "Apache-2.0"),
    ("speech_features", "Whisper base, its first two layers", "MIT"),
)
"""Stage, the weights that come with Dubflow and are used in it, their licence."""

_ELSEWHERE = {"video", "audio", "output", "store", "origin", "workers", "devices"}
"""Settings that say where things are, or are told apart."""


class OriginReport(BaseModel):
    """How a dub says that it is one."""

    mark: str | None = Field(default=None, description="number in sound and picture, hexadecimal")
    manifest: Path | None = Field(default=None, description="file that holds the signed manifest")
    signer: str = Field(default="", description="whose certificate signed it")
    self_signed: bool = Field(
        default=False, description="with a key that Dubflow made at first use"
    )
    consent: str | None = Field(default=None, description="SHA-256 of the consent")
    non_commercial: bool = Field(default=False, description="not for commercial use")


def mark_text(mark: int) -> str:
    """As manifests and reports write it."""
    return f"{mark:08x}"


def signing_key(settings: DubSettings) -> SigningKey:
    """The user's key, as settings or the environment name it, else the own one.

    Raises:
        SettingsError: it can't be used.
    """
    given = settings.origin.sign
    named = [os.environ.get(name) for name in (SIGN_CERT, SIGN_KEY)]
    if given is None and any(named):
        if not all(named):
            raise SettingsError(f"{SIGN_CERT} and {SIGN_KEY} belong together; set both or neither")
        given = (Path(str(named[0])), Path(str(named[1])))
    return own_signing_key() if given is None else read_signing_key(*given)


def check_signing(settings: DubSettings) -> None:
    """Sign something, to know now whether the dub can be.

    Raises:
        SettingsError: it can't.
    """
    if settings.origin.mark:
        check_key(signing_key(settings))


def check_consent(settings: DubSettings) -> None:
    """Read the consent.

    Raises:
        InputError: it is asked for and not there, or does not hold.
    """
    if settings.origin.consent is not None:
        consent_hash(settings.origin.consent)
    elif settings.origin.require_consent:
        raise InputError(
            f"{settings.video} needs a consent (require_consent is set); give one with --consent"
        )


def check_licences(settings: DubSettings, weights: Iterable[Artifact]) -> None:
    """Make sure that whoever uses weights for non-commercial work says so.

    Raises:
        SettingsError: they don't.
    """
    if settings.origin.non_commercial:
        return
    refused = [each for each in licences(weights) if each.commercial is False]
    if refused:
        named = ", ".join(f"{each.entry} ({each.licence})" for each in refused)
        raise SettingsError(
            f"these weights forbid commercial use: {named}; if this is none, say so with "
            f"--non-commercial, or set {NON_COMMERCIAL}=1 for good"
        )


def deliver(
    result: Artifact,
    settings: DubSettings,
    *,
    record: RunRecord,
    ingredients: Sequence[Ingredient],
    weights: Iterable[Artifact],
) -> OriginReport:
    """Copy the dubbed file to where the user wants it, signed unless marks are not wanted.

    Args:
        result: Of `tasks.result.dubbed`.
        record: Of the run.
        ingredients: The video and what is spoken, with the keys of their bytes.
        weights: That were used.
    """
    output, origin = settings.output, settings.origin
    name, suffix = result.attributes["file"], settings.output.suffix.lower()
    consent = None if origin.consent is None else consent_hash(origin.consent)
    report = OriginReport(consent=consent, non_commercial=origin.non_commercial)
    beside_it = sidecar_of(output)
    with explain_full_disk(f"the folder {output.parent}"), replacing(output) as new:
        if not origin.mark:
            result.copy_file(name, new)
            if beside_it is not None:  # of an earlier dub
                beside_it.unlink(missing_ok=True)
            return report
        report.mark = mark_text(result.attributes["mark"])
        key = signing_key(settings)
        claim = Claim(
            output.name,
            software_versions()["dubflow"],
            list(ingredients),
            _told(settings, report, record, licences(weights)),
        )
        plain = new.with_name(f"{new.name}.plain")
        try:
            result.copy_file(name, plain)
            manifest = sign(plain, new, claim, key, suffix=suffix)
        finally:
            plain.unlink(missing_ok=True)
        if manifest is not None and beside_it is not None:
            with replacing(beside_it) as new_beside:
                new_beside.write_bytes(manifest)
        report.manifest = beside_it or output
        report.signer, report.self_signed = key.signer, key.self_signed
    return report


def check_sidecar(settings: DubSettings) -> None:
    """Refuse an output beside which lies a file of the manifest's name that is none.

    Raises:
        InputError: it does, and would be overwritten.
    """
    beside_it = sidecar_of(settings.output)
    if beside_it is None or not beside_it.exists():
        return
    if beside_it.is_dir() or not holds_manifest(beside_it):
        raise InputError(
            f"{beside_it} is there and is no manifest, which the output {settings.output} has "
            "in a file of that name; move it, or name another output"
        )


def _told(
    settings: DubSettings, report: OriginReport, record: RunRecord, used: list[Licence]
) -> dict[str, Any]:
    """What the manifest says of the dub; of files only their names."""
    stages = [{"stage": kind, "key": key} for kind, key in record.artifacts]
    names = {kind for kind, _ in record.artifacts}
    shipped = [
        {"name": name, "licence": licence, "commercial": True}
        for stage, name, licence in _SHIPPED
        if stage in names
    ]
    published = [
        {"name": each.entry, "licence": each.licence, "commercial": each.commercial}
        for each in used
    ]
    return {
        "run": record.id,
        "created": record.created,
        "mark": report.mark,
        "method": settings.method,
        "settings": _without_folders(settings.model_dump(mode="json", exclude=_ELSEWHERE)),
        "stages": stages,
        "weights": shipped + published,
        "consent_sha256": report.consent,
        "non_commercial": report.non_commercial,
        "software": software_versions(),
    }


def _without_folders(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_folders(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_without_folders(each) for each in value]
    return Path(value).name if isinstance(value, str) and "/" in value else value
