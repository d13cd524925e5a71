"""Consent: what holds has a hash, what doesn't is refused in one line."""

import hashlib
import json
from pathlib import Path

import pytest

from stores.errors import InputError
from stores.provenance.consent import consent_hash, consent_schema

HOLDS = {"person": "Jane Doe", "purpose": "a German dub", "until": "2999-12-31"}
DOCS = Path(__file__).parents[3] / "docs"


@pytest.mark.parametrize("said", [HOLDS, [HOLDS, HOLDS | {"given": "2026-10-01"}]], ids=type)
def test_what_holds_has_a_hash(tmp_path: Path, said: object) -> None:
    path = tmp_path / "consent.json"
    path.write_text(json.dumps(said))
    assert consent_hash(path) == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("{", "is no JSON"),
        (json.dumps({"person": "Jane Doe"}), "Field required"),
        (json.dumps(HOLDS | {"untill": 3}), "not permitted"),
        (json.dumps(HOLDS | {"until": "soon"}), "date"),
        (json.dumps(HOLDS | {"until": "2020-01-01"}), "of Jane Doe expired on 2020-01-01; renew"),
        (json.dumps([HOLDS, HOLDS | {"until": "2020-01-01"}]), "expired on 2020-01-01"),
        ("[]", "names nobody"),
    ],
)
def test_what_does_not_hold_is_told_in_one_line(tmp_path: Path, said: str, words: str) -> None:
    path = tmp_path / "consent.json"
    path.write_text(said)
    with pytest.raises(InputError, match=words) as caught:
        consent_hash(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_a_missing_one_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"the consent .*none.json: no such file; check the path"):
        consent_hash(tmp_path / "none.json")


def test_the_schema_in_the_docs_is_the_one_that_is_checked() -> None:
    assert (DOCS / "consent.schema.json").read_text() == consent_schema()
