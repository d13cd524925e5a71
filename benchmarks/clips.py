"""What benchmarks on real clips share: options, rows of a manifest, and the face in a video."""

import argparse
import csv
from pathlib import Path

from benchmarks.command import command_parser
from stores.artifacts.artifact import Artifact
from stores.artifacts.source import Source
from tasks.source.faces import faces
from tasks.source.landmarks import landmarks
from tasks.source.timeline import timeline
from tasks.source.track import follow_person


def clip_arguments(doc: str | None) -> argparse.ArgumentParser:
    """A parser for a folder of clips; `doc` is of the program's module."""
    arguments = command_parser(doc)
    arguments.add_argument("--clips", type=Path, required=True)
    arguments.add_argument("--split", default="validation")
    arguments.add_argument("--store", type=Path)
    return arguments


def clip_rows(folder: Path, split: str, *, seconds: float) -> list[dict[str, str]]:
    """Rows of the folder's manifest.csv for clips of that split, at least so long."""
    with (folder / "manifest.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == split]
    return [row for row in rows if float(row["seconds"]) >= seconds]


def largest_face(video: Source) -> tuple[Artifact, Artifact]:
    """Timeline of a video, and landmarks of the largest face in it."""
    clock = timeline(video)
    found = faces(video, clock)
    return clock, landmarks(found, follow_person(video, clock, found), timeline=clock)
