"""Python loads this at its start where this folder is on PYTHONPATH: from then on the clock of the process jumps.

Within its first 15 seconds ``time.time`` and ``time.time_ns`` jump three times, by up to two days, either way. The
machine's clock, files' times and ``datetime.now`` stay as they are.
"""

import random
import time

_since = time.monotonic()
_jumps = [(random.uniform(0, 15), random.choice((-1, 1)) * 10 ** random.uniform(0, 5.2)) for _ in range(3)]
_time_ns = time.time_ns


def _shifted_ns() -> int:
    lived = time.monotonic() - _since
    return _time_ns() + int(1e9 * sum(by for moment, by in _jumps if lived > moment))


def _shifted() -> float:
    return _shifted_ns() / 1e9


time.time, time.time_ns = _shifted, _shifted_ns
