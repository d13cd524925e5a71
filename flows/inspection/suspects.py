"""Places of a recorded dub that deserve a look, found and kept."""

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from flows.dub import default_workers
from flows.inspection.changes import artifact_of, changed_settings
from flows.seen import see
from stores.artifacts.artifact import Artifact
from stores.artifacts.source import Source
from stores.artifacts.store import Store
from stores.errors import StoreError
from stores.media.tracks import find_track
from stores.runs import RunRecord, record_run
from tasks.engine.open_run import open_run
from tasks.engine.run import Progress
from tasks.metrics.crops import FacePair
from tasks.metrics.drift import drift
from tasks.metrics.identity_dlib import dlib_descriptors
from tasks.metrics.mouth_pictures import mouth_pictures
from tasks.metrics.phones import PACKAGE, phones
from tasks.metrics.suspects import shown, suspects
from tasks.source.dlib_recogniser import installed
from tasks.source.seen import Seen
from tasks.speech.lips_model import listener_key
from tasks.speech.mel import mel
from tasks.speech.sound_levels import sound_levels
from tasks.speech.waveform import waveform

SAMPLE_SECONDS = 0.5
"""The face is compared with the source's so often."""


@dataclass(frozen=True)
class Parts:
    """What a dub was made of.

    Attributes:
        source: The video.
        faces: Of it.
        track: Of it.
        output_frames: Of the dub.
        render: The mouths; None if no face was found.
        motion: That the speech asks for; None for a method that does not predict it.
        speech: Waveform of the new speech.
        mixed: The dub's sound holds more than the new speech.
    """

    source: Seen
    faces: Artifact
    track: Artifact
    output_frames: Artifact
    render: Artifact | None
    motion: Artifact | None
    speech: Artifact
    mixed: bool


def find_suspects(
    store: Store, record: RunRecord, *, progress: Progress | None = None
) -> dict[str, Any]:
    """`kind` and `key` of the `suspects` of a recorded dub, which become a run of their own.

    Raises:
        DubflowError: the dub's artifacts or files are no longer there, or can't be read.
    """
    with open_run(store, workers=default_workers(), progress=progress) as run:
        parts = parts_of(store, record)
        dubbed = artifact_of(store, record, "dubbed")
        found = judge(parts, dubbed.file(dubbed.attributes["file"]))
        made = RunRecord("suspects", {"run": record.id}, run.touched, None)
        record_run(store, made)
    return {"kind": found.kind, "key": found.key}


def parts_of(store: Store, record: RunRecord) -> Parts:
    """What a recorded dub was made of, as the store has it; needs an active run.

    Raises:
        DubflowError: some of it is not there.
    """
    settings = changed_settings(record, {})
    dubbed = artifact_of(store, record, "dubbed")
    picture = store.get(*dubbed.manifest.inputs["composite"])
    used = picture.manifest.inputs
    source = Source.of(settings.video)
    if used["video"][1] != source.key:
        raise StoreError(f"{settings.video} is no longer the file that was dubbed; put it back")
    speech = Source.of(settings.speech)
    kinds = {kind for kind, _ in record.artifacts}
    return Parts(
        source=Seen(
            source,
            store.get(*used["timeline"]),
            artifact_of(store, record, "landmarks"),
            None,
        ),
        faces=artifact_of(store, record, "faces"),
        track=artifact_of(store, record, "track"),
        output_frames=store.get(*used["output_frames"]),
        render=store.get(*used["render"]) if "render" in used else None,
        motion=artifact_of(store, record, "motion") if "motion" in kinds else None,
        speech=waveform(speech, track=find_track(settings.speech, settings.audio_track)),
        mixed=settings.keep_background_db is not None,
    )


def judge(parts: Parts, result: Path) -> Artifact:
    """The `suspects` of a dubbed file; needs an active run."""
    made, source = see(Source.of(result)), parts.source
    beside = shown(parts.output_frames, made.timeline)
    rows = beside.read("reference")
    sampled = _sampled(made.timeline, len(rows))
    looks: list[Artifact | None] = [None, None]
    if installed():
        there = np.unique(rows[sampled]).tolist()
        looks = [_descriptors(made, sampled), _descriptors(source, there)]
    return suspects(
        made.landmarks,
        made.timeline,
        match=beside,
        source_landmarks=source.landmarks,
        source_timeline=source.timeline,
        faces=parts.faces,
        track=parts.track,
        render=parts.render,
        motion=parts.motion,
        pictures=mouth_pictures(made),
        source_pictures=mouth_pictures(source),
        drift=_drift(made, source, beside) if (np.diff(rows) >= 0).all() else None,
        levels=sound_levels(parts.speech),
        mel=mel(made.waveform) if made.waveform is not None and not parts.mixed else None,
        phones=phones(parts.speech) if find_spec(PACKAGE) is not None else None,
        descriptors=looks[0],
        source_descriptors=looks[1],
        sampled=sampled,
        model=listener_key(),
    )


def _sampled(timeline: Artifact, rows: int) -> list[int]:
    """Rows about SAMPLE_SECONDS apart."""
    video = timeline.attributes["video"]
    times = timeline.read("pts") * (video["time_base_num"] / video["time_base_den"])
    steps = np.floor((times - times[0]) / SAMPLE_SECONDS)
    return [row for row in range(rows) if row == 0 or steps[row] > steps[row - 1]]


def _descriptors(seen: Seen, rows: list[int]) -> Artifact:
    return dlib_descriptors(seen.video, seen.timeline, landmarks=seen.landmarks, rows=rows)


def _drift(made: Seen, source: Seen, match: Artifact) -> Artifact:
    return drift(
        FacePair(
            made.video,
            made.timeline,
            made.landmarks,
            source.video,
            source.timeline,
            source.landmarks,
            match,
        )
    )
