"""Preload of every Dask worker.

    dask worker ADDRESS --nthreads 1 --preload flows.runtime.dask_worker

Imported before any library that computes.
"""

from flows.runtime.environment import give_memory_back, quiet_and_private

quiet_and_private()
give_memory_back()
