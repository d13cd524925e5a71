"""Environment that must be set before Prefect, Dask, NumPy, OpenCV or mediapipe are imported.

Nothing is sent anywhere: analytics and telemetry of the dependencies are off. What a user has set
stays as it is.
"""

import ctypes
import os

_DEFAULTS = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_CLOUD_ENABLE_ORCHESTRATION_TELEMETRY": "false",
    "PREFECT_TELEMETRY_ENABLE_RESOURCE_METRICS": "false",
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
    "PREFECT_LOGGING_LEVEL": "CRITICAL",
    "PREFECT_LOGGING_TO_API_ENABLED": "false",
    "PREFECT_SERVER_UI_ENABLED": "false",
    "DASK_LOGGING__DISTRIBUTED": "critical",
    "GLOG_minloglevel": "2",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "OPENCV_LOG_LEVEL": "ERROR",
    # Ranges are computed side by side; threads inside a call would only get in their way.
    "OPENCV_FOR_THREADS_NUM": "1",
    "OPENBLAS_NUM_THREADS": "1",
}


def quiet_and_private() -> None:
    """Set each default that the user has not set."""
    for name, value in _DEFAULTS.items():
        os.environ.setdefault(name, value)


def give_memory_back() -> None:
    """Let glibc return freed pictures to the system at once; nothing on other systems.

    By default it keeps a heap per thread and learns to hold large blocks, so that memory would
    creep up over a long video.
    """
    arena_max, mmap_threshold = -8, -3
    try:
        libc = ctypes.CDLL("libc.so.6")
    except OSError:
        return
    libc.mallopt(arena_max, 2)
    libc.mallopt(mmap_threshold, 8 << 20)
