"""How often a verb's process searches for unreachable objects."""

from __future__ import annotations

import atexit
import gc
from functools import cache


@cache
def collect_rarely() -> None:
    """Search for unreachable objects less often, and not when the process ends.

    The libraries make a million objects that stay: with Python's own threshold of 700 these searches are a fifth of
    the time that loading takes, and the last one is a second of every run.
    """
    gc.set_threshold(10_000)
    atexit.register(gc.freeze)
