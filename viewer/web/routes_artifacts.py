"""Addresses of artifacts: what the store has, what is in it, and drawings of it."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Response

from stores.artifacts.artifact import Artifact
from stores.errors import StoreError
from viewer.drawings.draw import is_drawn
from viewer.web.desk import DRAWING_SECONDS, Desk, kept

_MOST = 2000


def artifact_routes(desk: Desk) -> APIRouter:
    """Artifacts of a run, or of the store."""
    routes = APIRouter(prefix="/api/artifacts")

    @routes.get("")
    def artifacts(run: Annotated[str | None, Query(max_length=64)] = None) -> list[dict[str, Any]]:
        if run is not None:
            items = desk.run(run).view.record.artifacts
        else:
            items = list(desk.store.committed())[:_MOST]
        return [told for item in items if (told := _line(desk, *item)) is not None]

    @routes.get("/{kind}/{key}")
    def artifact(kind: str, key: str) -> dict[str, Any]:
        found = desk.artifact(kind, key)
        manifest = found.manifest
        return {
            "kind": kind,
            "key": key,
            "stage_version": manifest.stage_version,
            "created": manifest.created,
            "seconds": manifest.wall_seconds,
            "bytes": manifest.stored_bytes,
            "picture": is_drawn(found),
            "files": len(manifest.files),
            "sizes": manifest.sizes,
            "parameters": manifest.parameters,
            "attributes": manifest.attributes,
            "versions": manifest.versions,
            "arrays": [_array(found, name) for name in found.array_names],
            "inputs": [
                {"name": name, "kind": of, "key": other}
                for name, (of, other) in manifest.inputs.items()
            ],
            "used_by": [{"kind": k, "key": o} for k, o in desk.related.used_by((kind, key))],
        }

    @routes.get("/{kind}/{key}/preview")
    def preview(kind: str, key: str) -> Response:
        desk.artifact(kind, key)
        request = {"store": desk.store.url, "kind": kind, "key": key}
        path = desk.files.wait(f"{kind}-{key}.png", "viewer.web.drawing", request, DRAWING_SECONDS)
        return kept(path.read_bytes(), "image/png")

    return routes


def _line(desk: Desk, kind: str, key: str) -> dict[str, Any] | None:
    try:
        found = desk.store.find(kind, key, check=False)
    except StoreError:
        return {"kind": kind, "key": key, "bytes": None, "created": None, "seconds": None}
    if found is None:
        return None
    manifest = found.manifest
    told = {"bytes": manifest.stored_bytes, "created": manifest.created}
    return {"kind": kind, "key": key, **told, "seconds": manifest.wall_seconds}


def _array(artifact: Artifact, name: str) -> dict[str, Any]:
    attributes = artifact.group[name].attrs
    facts = {key: str(attributes.get(key, "")) for key in ("units", "doc")}
    layout = artifact.layout(name)
    if layout is None:
        return {"name": name, "dtype": None, "dims": [], "shape": [], "chunk": None, **facts}
    return {"name": name, **layout._asdict(), **facts}
