"""Consent of the people in a picture: a JSON file of who agreed to what, until when.

    {"person": "Jane Doe", "purpose": "German dub of the 2026 keynote", "until": "2027-12-31",
     "given": "2026-10-01", "contact": "jane@example.org"}

A list of such objects is the consent of several people. Only the file's hash goes into a manifest.
"""

import hashlib
import json
from datetime import UTC, date, datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from stores.errors import InputError, no_such_file


class Consent(BaseModel):
    """What one person agreed to."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    person: str = Field(min_length=1, description="who agreed")
    purpose: str = Field(min_length=1, description="what it may be used for")
    until: date = Field(description="last day on which it may be done, as in 2027-12-31")
    given: date | None = Field(default=None, description="day on which they agreed")
    contact: str | None = Field(default=None, description="how they are reached")
    document: str | None = Field(default=None, description="where the signed document lies")


_SEVERAL = TypeAdapter(list[Consent])


def consent_hash(path: Path) -> str:
    """SHA-256 of the file, if what it says holds today.

    Raises:
        InputError: it can't be read, is no consent, or has expired.
    """
    try:
        content = path.read_bytes()
        said = json.loads(content)
        consents = _SEVERAL.validate_python(said if isinstance(said, list) else [said])
    except OSError as error:
        absent = isinstance(error, FileNotFoundError)
        told = no_such_file(path) if absent else f"{path} can't be read: {error.strerror}"
        raise InputError(f"the consent {told}") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"][1:]) or "it"
        raise InputError(
            f"the consent {path} is not as it must be: {where}: {first['msg']}"
        ) from None
    except ValueError as error:
        raise InputError(f"the consent {path} is no JSON: {error}") from None
    if not consents:
        raise InputError(f"the consent {path} names nobody")
    today = datetime.now(UTC).date()
    for each in consents:
        if each.until < today:
            raise InputError(
                f"the consent {path} of {each.person} expired on {each.until}; renew it"
            )
    return hashlib.sha256(content).hexdigest()


def consent_schema() -> str:
    """JSON schema of such a file."""
    return json.dumps(TypeAdapter(Consent | list[Consent]).json_schema(), indent=2) + "\n"
