"""joblib's processes end with their sweep: where it is killed alone, they would wait for ever for its next job."""

from __future__ import annotations

import os
import threading
import time
from functools import cache

LEADER = "OPAL_SWEEP_PROCESS"  # environment variable: the process that launched the sweep
LOOK_EVERY = 1.0  # seconds


def lead() -> None:
    """Make this process the one that the processes it starts end with."""
    os.environ[LEADER] = str(os.getpid())


@cache
def end_with_leader() -> None:
    """End this process, a job under way included, once its leader is gone; what is recorded so far stays whole."""
    leader = int(os.environ.get(LEADER, os.getpid()))
    if leader == os.getpid():
        return

    def watch() -> None:
        while os.getppid() == leader:
            time.sleep(LOOK_EVERY)
        os._exit(1)

    threading.Thread(target=watch, name="opal-leader", daemon=True).start()
