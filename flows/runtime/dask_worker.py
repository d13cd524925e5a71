"""Preload of every Dask worker.

    dask worker ADDRESS --nthreads 1 --preload flows.runtime.dask_worker

Imported before any library that computes, and before the worker reads its configuration.
"""

import dask.config

from flows.runtime.environment import quiet_and_private
from tasks.engine.memory import give_memory_back

quiet_and_private()
give_memory_back()
# Dask looks at the frames of busy threads every 10 ms, by which Python 3.11 may stand still for
# ever: a collection of garbage in the middle of it waits for a lock that it holds itself
# (github.com/python/cpython/issues/106883).
dask.config.set({"distributed.worker.profile.enabled": False})
