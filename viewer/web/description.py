"""What the page is told of a run."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from stores.artifacts.artifact import Artifact
from stores.errors import DamagedArtifact, MediaError, StoreError
from viewer.web.overlays import overlay_list
from viewer.web.run import RunView, Which
from viewer.web.thumbs import has_thumb
from viewer.web.tracks import Tracks


def describe(run: RunView, tracks: Tracks, *, looked: bool) -> dict[str, Any]:
    """All that the page needs to begin with."""
    steps = np.diff(run.ticks)
    record = run.record
    return {
        "id": record.id,
        "command": record.command,
        "created": record.created,
        "output": record.output,
        "settings": record.settings,
        "redo_of": record.redo_of,
        "rows": run.rows,
        "seconds": float(run.times[-1]),
        "variable_rate": bool(len(steps) and steps.max() > 1.5 * steps.min()),
        "videos": {which: _video(run, which) for which in ("source", "dub")},
        "sounds": [s for s in ("speech", "own") if run.waveform(s) is not None],
        "overlays": overlay_list(run),
        "tracks": tracks.described(),
        "stages": list(stages(run)),
        "suspects": "ready" if looked else "absent",
    }


def _video(run: RunView, which: Which) -> dict[str, Any] | None:
    if which not in run.facts:
        return None
    facts = run.facts[which]
    codec = facts.codec if which == "source" else run.need("composite").attributes["codec"]
    try:
        playable = run.playable(which)
    except (MediaError, StoreError):
        playable = None
    return {
        "frames": len(run.clip) if which == "source" else run.rows,
        "width": facts.width,
        "height": facts.height,
        "rate": float(facts.rate),
        "codec": codec,
        "playable": {"type": playable},
    }


def stages(run: RunView, *, check: bool = False) -> Iterator[dict[str, Any]]:
    """The run's artifacts, inputs before what is made of them.

    Args:
        check: Look at every file, to tell damage.
    """
    known = {item: run.find(*item) for item in run.record.artifacts}
    for item in _in_order(known):
        yield _stage(run, *item, check=check)


def _stage(run: RunView, kind: str, key: str, *, check: bool) -> dict[str, Any]:
    told: dict[str, Any] = {"kind": kind, "title": kind.replace("_", " "), "key": key}
    artifact = None
    try:
        artifact = run.store.find(kind, key) if check else run.find(kind, key)
        state = "stored" if artifact else "missing"
    except DamagedArtifact:
        state = "damaged"
    if artifact is None:
        absent: dict[str, Any] = {
            "seconds": None,
            "bytes": None,
            "rows": None,
            "inputs": [],
            "row_is": "other",
        }
        return told | {"state": state} | absent
    manifest = artifact.manifest
    return told | {
        "state": state,
        "seconds": manifest.wall_seconds,
        "bytes": manifest.stored_bytes,
        "rows": manifest.sizes.get("frame", manifest.attributes.get("frames")),
        "inputs": sorted({k for k, _ in manifest.inputs.values() if k != "source"}),
        "row_is": run.row_is(artifact),
        "picture": has_thumb(artifact),
    }


def _in_order(known: dict[tuple[str, str], Artifact | None]) -> list[tuple[str, str]]:
    """Items, each behind those that it was made of."""
    done: dict[tuple[str, str], None] = {}

    def add(item: tuple[str, str]) -> None:
        if item in done or item not in known:
            return
        artifact = known[item]
        for given in artifact.manifest.inputs.values() if artifact else ():
            add(given)
        done[item] = None

    for item in known:
        add(item)
    return list(done)
