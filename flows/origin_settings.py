"""What a user can set of the marks of origin. Imports nothing heavy."""

import os
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, field_validator

from models.marks.settings import ICON, LabelSettings

NON_COMMERCIAL = "DUBFLOW_NON_COMMERCIAL"
SIGN_CERT, SIGN_KEY = "DUBFLOW_SIGN_CERT", "DUBFLOW_SIGN_KEY"


class OriginSettings(BaseModel):
    """How a dub says that it is one."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    mark: bool = Field(
        default=True, description="mark sound and picture, and sign a manifest of what was done"
    )
    label: str | None = Field(
        default=None,
        min_length=1,
        max_length=80,
        description="write a visible label into the picture: a text, or icon for a plate AI",
    )
    label_seconds: float | None = Field(
        default=None,
        gt=0,
        description="show the label so long from the start [s]; none: throughout",
    )
    consent: Path | None = Field(
        default=None, description="JSON file: who agreed to what, until when (docs/marks.md)"
    )
    require_consent: bool = Field(default=False, description="refuse to dub without a consent")
    sign: tuple[Path, Path] | None = Field(
        default=None, description="certificate chain and private key (PEM) to sign with"
    )
    non_commercial: bool = Field(
        default_factory=lambda: os.environ.get(NON_COMMERCIAL, "") not in ("", "0"),
        description="the result is not for commercial use, which some published weights forbid",
    )

    @field_validator("label")
    @classmethod
    def _can_be_drawn(cls, label: str | None) -> str | None:
        lacking = "".join(sorted({c for c in label or "" if not " " <= c <= "~"}))
        if lacking:
            raise ValueError(f"the label's font has letters of ASCII alone, not {lacking!r}")
        return label

    @property
    def shown_label(self) -> LabelSettings | None:
        """The visible label, if one is asked for."""
        if self.label is None:
            return None
        text = ICON if self.label == "icon" else self.label
        return LabelSettings(text=text, seconds=self.label_seconds)
