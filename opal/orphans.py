"""A process that was started for jobs ends with the one that started it: killed alone, it would leave them waiting."""

from __future__ import annotations

import os
import threading
import time
from functools import cache

LOOK_EVERY = 1.0  # seconds


@cache
def end_with(parent: int) -> None:
    """End this process, a job under way included, once ``parent``, its process id, is gone.

    What is recorded so far stays whole. Nothing happens where this process is ``parent``.
    """
    if parent == os.getpid():
        return

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(LOOK_EVERY)
        os._exit(1)

    threading.Thread(target=watch, name="opal-parent", daemon=True).start()
