"""What starts and ends the processes of a local cluster."""

from contextlib import suppress

import distributed


class Nanny(distributed.Nanny):
    """Dask's, but that a process which is slow to end is no error.

    It was killed by then, so it ends; a busy machine may take longer for it than Dask waits.
    """

    async def close(self, timeout: float = 5, reason: str = "nanny-close") -> str:  # type: ignore[override]
        with suppress(TimeoutError):
            await super().close(timeout, reason)
        return "OK"
