"""Warns of a store that has grown past the size that its owner has set."""

import os

import pyarrow as pa
from rich.filesize import decimal

from flows.quantities import read_size
from stores.artifacts.store import Store

LIMIT = "DUBFLOW_STORE_LIMIT"
"""Environment variable: a size, as in 50GB, past which every run that adds to the store warns."""


def size_notes(store: Store, catalog: pa.Table) -> list[str]:
    """What to do about a store past its limit; nothing where there is none.

    Args:
        catalog: Of `stores.artifacts.catalog`.

    Raises:
        InputError: the variable holds no size.
    """
    limit = os.environ.get(LIMIT)
    if not limit:
        return []
    size = sum(stored or 0 for stored in catalog["stored_bytes"].to_pylist())
    if size <= read_size(limit, name=LIMIT):
        return []
    return [
        f"the store {store.url} holds {decimal(size)}, more than {LIMIT}={limit}: "
        f"`dubflow artifacts gc --keep-size {limit}` says what that would free"
    ]
