"""One clip, top to bottom: every stage made or found, and its rows of the index.

video ─ timeline ─ faces ─ track ─ landmarks ─ face crops ─ visibility ─ quality ─┐
  └──── waveform ─┬─ sound levels ────────────────────────────────────────────────┼─ parts
                  ├─ mel ─────────────────────────────────────────────────────────┤
                  └─ mfcc                              [SyncNet, with its weights] ┘
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from flows.datasets.description import Clip, Split
from flows.faults import reason_of
from flows.preparation.settings import PrepareSettings
from stores.artifacts.artifact import Artifact
from stores.artifacts.source import Source
from stores.artifacts.store import Store
from stores.errors import ClusterError, StoreFull
from tasks.engine.cluster import Cluster
from tasks.engine.open_run import open_run
from tasks.engine.processes import WorkerPool
from tasks.engine.run import StageRecord
from tasks.metrics.lse import lse
from tasks.metrics.parts import SCORES, parts
from tasks.source.face_crops import face_crops
from tasks.source.faces import faces
from tasks.source.landmarks import landmarks
from tasks.source.quality import quality
from tasks.source.timeline import load_timeline, timeline
from tasks.source.track import follow_person
from tasks.source.visibility import visibility
from tasks.speech.lips_model import listener_key
from tasks.speech.mel import mel
from tasks.speech.mfcc import mfcc
from tasks.speech.sound_levels import sound_levels
from tasks.speech.waveform import waveform

NO_SOUND = "no_sound"
NO_FACE = "no_face"
"""Reasons that are no thresholds: nothing of such a clip can be used."""

MAX_PARTS = 10_000
"""Parts of one clip that are listed; more are a film, not a clip."""


@dataclass
class PreparedClip:
    """What became of one clip.

    Attributes:
        clip: As the data set gave it.
        split: That its person is in.
        rows: Of the index, without `kept` and `dropped_by`; `barred` names a reason that is no
            threshold.
        seconds: Of video.
        failure: Why there are no rows; "" if there are.
        records: What each stage did.
        roots: (kind, key) of artifacts from which all others are reached.
    """

    clip: Clip
    split: Split
    rows: list[dict[str, Any]] = field(default_factory=list)
    seconds: float = 0.0
    failure: str = ""
    records: list[StageRecord] = field(default_factory=list)
    roots: list[tuple[str, str]] = field(default_factory=list)


@dataclass(frozen=True)
class Workplace:
    """What all clips share.

    Attributes:
        settings: Of the preparation.
        store: Where artifacts go.
        cluster: Where stages are computed; None for this machine.
        pool: Worker processes of this machine.
        syncnet: SyncNet's weights, where there are any.
    """

    settings: PrepareSettings
    store: Store
    cluster: Cluster | None
    pool: WorkerPool
    syncnet: Artifact | None


def prepare_clip(place: Workplace, clip: Clip, split: Split) -> PreparedClip:
    """Make or find all that there is to know of a clip; a failure is a result of its own.

    Raises:
        StoreFull: no other clip would fare better.
        ClusterError: the same, where the cluster is lost.
    """
    done = PreparedClip(clip, split)
    try:
        with open_run(
            place.store, devices=place.settings.devices, cluster=place.cluster, pool=place.pool
        ) as run:
            try:
                for row in _rows(place, Source.of(clip.path), done):
                    done.rows.append(_about(place.settings, done) | row)
            finally:
                done.records = run.records
                last = {"parts", "mfcc", "timeline", "landmarks"}
                done.roots = [(kind, key) for kind, key in run.touched if kind in last]
    except StoreFull:
        raise
    except Exception as error:
        lost = place.cluster is not None and place.cluster.lost
        if isinstance(error, ClusterError) and lost:
            raise
        done.failure = reason_of(error)
    if done.failure:
        done.rows = []
    return done


def _about(settings: PrepareSettings, done: PreparedClip) -> dict[str, Any]:
    clip = done.clip
    return {
        "dataset": settings.dataset,
        "split": done.split,
        "person": clip.person,
        "clip": clip.name,
        "path": str(clip.path.absolute()),
        "language": clip.language,
        "transcript": clip.transcript,
    }


def _rows(place: Workplace, video: Source, done: PreparedClip) -> Iterator[dict[str, Any]]:
    """The clip's rows. One without sound or face has a single row that says so."""
    clip = timeline(video)
    facts = clip.attributes["video"]
    seconds = _seconds(clip)
    done.seconds = seconds
    common: dict[str, Any] = {
        "digest": video.key,
        "width": facts["width"],
        "height": facts["height"],
        "timeline": clip.key,
    }
    whole = {
        "track": 0,
        "start": 0,
        "stop": clip.sizes["frame"],
        "start_seconds": 0.0,
        "seconds": seconds,
        "fps": clip.sizes["frame"] / seconds,
    }
    if not clip.attributes["audio"]:
        yield common | whole | {"barred": NO_SOUND}
        return
    heard = waveform(video)
    sound = {"waveform": heard, "sound_levels": sound_levels(heard), "mel": mel(heard)}
    sound["mfcc"] = mfcc(heard)
    common |= {name: artifact.key for name, artifact in sound.items()}
    found = faces(video, clip)
    count = 0
    for number in range(place.settings.tracks):
        which = "largest" if number == 0 else f"track:{number}"
        chosen = follow_person(video, clip, found, face=which)
        if number < len(chosen.attributes["tracks"]):
            face = _face(place, video, clip, landmarks(found, chosen, timeline=clip), sound)
            for row in _parts_rows(face["parts"]):
                count += 1
                keys = {name: artifact.key for name, artifact in face.items()}
                yield common | keys | row | {"track": number}
        if number + 1 >= len(chosen.attributes["tracks"]):
            break
    if not count:
        yield common | whole | {"barred": NO_FACE}


def _face(
    place: Workplace, video: Source, clip: Artifact, face: Artifact, sound: dict[str, Artifact]
) -> dict[str, Artifact]:
    """All that is made of one face; keys are columns of the index."""
    pictures = face_crops(video, clip, landmarks=face, settings=place.settings.crops)
    scores = quality(face, pictures, visibility=visibility(pictures, face, timeline=clip))
    weights = place.syncnet
    synchrony = (
        None
        if weights is None
        else lse(video, clip, landmarks=face, waveform=sound["waveform"], weights=weights)
    )
    scored = parts(
        clip,
        face,
        quality=scores,
        levels=sound["sound_levels"],
        mel=sound["mel"],
        synchrony=synchrony,
        model=listener_key(),
    )
    return {"landmarks": face, "face_crops": pictures, "quality": scores, "parts": scored}


def _parts_rows(parts: Artifact) -> Iterator[dict[str, Any]]:
    columns = {
        name: parts.read(name)[:MAX_PARTS].tolist()
        for name in ("start", "stop", "start_seconds", "seconds", *SCORES)
    }
    for number in range(min(parts.sizes["part"], MAX_PARTS)):
        row = {name: column[number] for name, column in columns.items()}
        row |= {name: None for name in SCORES if row[name] != row[name]}
        row["fps"] = (row["stop"] - row["start"]) / row["seconds"]
        yield row


def _seconds(clip: Artifact) -> float:
    """From the first frame's start to the last frame's end."""
    return load_timeline(clip).duration_seconds
