"""Preload of every Dask worker.

    dask worker ADDRESS --nthreads 1 --preload flows.runtime.dask_worker

Imported before any library that computes.
"""

from flows.runtime.environment import quiet_and_private
from tasks.engine.memory import give_memory_back

quiet_and_private()
give_memory_back()
