"""How arrays are created and addressed on disk: sharded Zarr v3, zstd, checksums."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.codecs import Crc32cCodec, ZstdCodec

from stores.artifacts.jpegs import jpeg_layout
from stores.artifacts.schema import ArraySpec, Schema

_RAGGED_CHUNK = 1 << 20

# A block of zeros is data (a black frame): without this it would look like a shard not written.
# From zarr 3.2 on (Python 3.12) a chunk that is not there can be an error instead of zeros.
zarr.config.set({"array.write_empty_chunks": True, "array.read_missing_chunks": False})


def create_arrays(group: zarr.Group, schema: Schema, sizes: Mapping[str, int]) -> None:
    """Create every array of `schema` that the group lacks; ragged ones become groups."""
    for name, spec in schema.arrays.items():
        if name in group:
            continue
        attributes: dict[str, Any] = {"units": spec.units, "doc": spec.doc}
        if spec.ragged:
            group.create_group(name, attributes=attributes)
            continue
        shape = schema.shape(name, sizes)
        if spec.jpeg_quality:
            layout = jpeg_layout(spec.dims, shape, spec.shard)
            group.create_group(name, attributes=attributes | layout)
            continue
        group.create_array(
            name,
            shape=shape,
            dtype=spec.dtype,
            chunks=(spec.chunk, *_at_least_one(shape[1:])),
            shards=(spec.shard, *_at_least_one(shape[1:])),
            compressors=_compressors(),
            dimension_names=spec.dims,
            attributes=attributes,
        )


def write_ragged(
    group: zarr.Group,
    name: str,
    shard: int,
    data: NDArray[Any],
    attributes: dict[str, Any] | None = None,
) -> None:
    """Write one shard of a ragged array as an array of its own, replacing what is there."""
    length = max(len(data), 1)
    chunk = min(length, _RAGGED_CHUNK)
    array = group.create_array(
        f"{name}/{shard:06d}",
        shape=data.shape,
        dtype=data.dtype,
        chunks=(chunk,),
        shards=(-(-length // chunk) * chunk,),
        compressors=(Crc32cCodec(),),
        dimension_names=("byte",),
        attributes=attributes,
        overwrite=True,
    )
    array[:] = data


def shard_files(spec: ArraySpec, name: str, shard: int) -> list[str]:
    """Files that one shard of an array lies in, relative to the artifact."""
    if spec.in_pieces:
        return [f"{name}/{shard:06d}/zarr.json", f"{name}/{shard:06d}/c/0"]
    return ["/".join([name, "c", str(shard), *["0"] * (len(spec.dims) - 1)])]


def shard_count(rows: int, spec: ArraySpec) -> int:
    """Number of shards that `rows` rows fill."""
    return -(-rows // spec.shard)


def _compressors() -> tuple[ZstdCodec, Crc32cCodec]:
    return ZstdCodec(level=3), Crc32cCodec()


def _at_least_one(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(int(np.maximum(size, 1)) for size in shape)
