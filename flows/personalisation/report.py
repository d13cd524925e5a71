"""What a personalisation came to: card.json for programs, card.md for people."""

from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field

from flows.training.card import WeightsFile
from tasks.training.card import table_lines
from tasks.training.run_folder import flat, write_text

CARD = "card.json"


class PersonaliseReport(BaseModel):
    """What `dubflow personalise --json` prints, and card.json holds."""

    output: Path = Field(description="folder of the run")
    video: str = Field(description="name of the person's video")
    person: str = Field(description="key of the artifact face_fit_person: whose face it is")
    basis: dict[str, str] = Field(description="name and key of the face basis")
    teacher: str = Field(description="who made the person say foreign speech; none: nobody")
    minutes: float = Field(description="of foreign speech [min]")
    speakers: int = Field(description="of it")
    held_out_from: float = Field(
        description="second of the video from which nothing was trained on"
    )
    figures: dict[str, dict[str, float]] = Field(
        description="of both trainings, on what was held out"
    )
    weights: dict[str, WeightsFile] = Field(description="files below the folder")
    seconds: dict[str, float] = Field(description="that each step took, over all parts of the run")
    notes: list[str]
    settings: dict[str, Any] = Field(description="all that decides the weights")
    versions: dict[str, str]


def write_report(report: PersonaliseReport) -> None:
    """Write both cards; card.json last, whose being there says that the run is finished."""
    write_text(report.output / "card.md", _text(report))
    write_text(report.output / CARD, report.model_dump_json(indent=1) + "\n")


def _text(report: PersonaliseReport) -> str:
    minutes = sum(report.seconds.values()) / 60
    lines = [
        f"# {report.video}, personalised",
        "",
        f"- Person `{report.person}`, face basis {report.basis['name']} `{report.basis['key']}`",
        f"- Teacher: {report.teacher}; {report.minutes:.1f} min of {report.speakers} speakers",
        f"- Nothing after second {report.held_out_from:.1f} of the video was trained on",
        f"- {minutes:.0f} min in all",
        *(f"- Note: {note}" for note in report.notes),
        *(
            f"- `{name}`: {file.bytes / 1e6:.1f} MB, SHA-256 `{file.sha256}`"
            for name, file in report.weights.items()
        ),
    ]
    tables = {
        "Figures on what was held out": flat(report.figures),
        "Seconds of each step": report.seconds,
        "Settings": flat(report.settings),
        "Versions": report.versions,
    }
    return "\n".join([*lines, *table_lines(tables)]) + "\n"
