"""A Python module run as a process that ends with the one that started it, however that ended.

    python -m flows.runtime.tied MODULE ARGUMENT …

Standard input must be a pipe whose other end nobody has but the parent: when it closes, the
process gets SIGTERM, as if the parent had stopped it.
"""

import os
import runpy
import signal
import sys
import threading


def _end_with_parent() -> None:
    pipe = os.dup(0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)

    def watch() -> None:
        while os.read(pipe, 1):
            pass
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()


if __name__ == "__main__":
    _end_with_parent()
    sys.argv = sys.argv[1:]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
