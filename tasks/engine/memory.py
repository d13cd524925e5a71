"""Freed memory goes back to the system, of which glibc would keep much in a long run."""

import ctypes
import gc

_OBJECTS = (50_000, 20, 20)
"""Made between two searches for garbage that refers to itself: by default 700, which costs a
twentieth of a run, as hundreds of thousands of objects of libraries are looked at again and again.
"""

_ARENA_MAX, _MMAP_THRESHOLD = -8, -3
_libc: ctypes.CDLL | None = None


def give_memory_back() -> None:
    """From now on freed pictures go back at once, and all that is free after each stage.

    By default glibc keeps a heap per thread and learns to hold large blocks, so that memory would
    creep up over a long video. On other systems nothing but the pace of Python's collector changes.
    """
    global _libc
    gc.set_threshold(*_OBJECTS)
    try:
        _libc = ctypes.CDLL("libc.so.6")
    except OSError:
        return
    _libc.mallopt(_ARENA_MAX, 2)
    _libc.mallopt(_MMAP_THRESHOLD, 8 << 20)


def trim() -> None:
    """Hand back what is free now, where `give_memory_back` was called.

    A network leaves hundreds of MiB of small blocks behind, beside which the next stage would need
    its own.
    """
    if _libc is not None:
        _libc.malloc_trim(0)
