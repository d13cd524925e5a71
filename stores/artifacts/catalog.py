"""The catalog: one row per artifact, as Parquet, for people and their own tools.

Nothing of Dubflow reads the file: whatever lists artifacts reads the manifests, and so sees those
of a batch that still runs. The file is written at the end of a dub, batch, evaluation or
preparation, and by `dubflow artifacts list`; until then, or after a run that was cut short, it
lacks what came since.
"""

import io

import pyarrow as pa
import pyarrow.parquet as pq

from stores.artifacts.builder import SOURCE_NAMES
from stores.artifacts.store import Store
from stores.errors import DamagedArtifact

SCHEMA = pa.schema(
    [
        pa.field("kind", pa.string()),
        pa.field("key", pa.string()),
        pa.field("stage_version", pa.int32()),
        pa.field("created", pa.string(), metadata={"units": "UTC, ISO 8601"}),
        pa.field("wall_seconds", pa.float64(), metadata={"units": "s"}),
        pa.field("stored_bytes", pa.int64(), metadata={"units": "byte"}),
        pa.field("inputs", pa.list_(pa.string()), metadata={"units": "kind/key"}),
        pa.field("files", pa.list_(pa.string()), metadata={"units": "names of inputs, if files"}),
        pa.field("damaged", pa.bool_(), metadata={"units": "1 = a file lacks or has another size"}),
    ]
)


def read_catalog(store: Store) -> pa.Table:
    """Every artifact of the store, newest last. The manifests are the truth, not the file."""
    rows = []
    for kind, key in store.committed():
        try:
            artifact = store.find(kind, key)
        except DamagedArtifact:
            rows.append({"kind": kind, "key": key, "damaged": True})
            continue
        if artifact is None:
            continue
        manifest = artifact.manifest
        rows.append(
            {
                "kind": kind,
                "key": key,
                "stage_version": manifest.stage_version,
                "created": manifest.created,
                "wall_seconds": manifest.wall_seconds,
                "stored_bytes": manifest.stored_bytes,
                "inputs": ["/".join(i) for i in manifest.inputs.values()],
                "files": [
                    manifest.attributes.get(SOURCE_NAMES, {}).get(name) for name in manifest.inputs
                ],
                "damaged": False,
            }
        )
    rows.sort(key=lambda row: str(row.get("created", "")))
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def write_catalog(store: Store) -> pa.Table:
    """Write `catalog.parquet` anew from the manifests, at once, and return it.

    Reads every manifest of the store: once for a run, not for each of its rows.
    """
    table = read_catalog(store)
    keep_catalog(store, table)
    return table


def keep_catalog(store: Store, table: pa.Table) -> None:
    """Write what `read_catalog` gave to `catalog.parquet`.

    Raises:
        StoreError: the store can't be written.
    """
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    store.backend.write("catalog.parquet", buffer.getvalue())
