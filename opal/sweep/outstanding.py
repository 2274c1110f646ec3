"""The last job's result, which the helper process records while the next job runs."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass

_last: Recording | None = None
_lost = False


@dataclass(frozen=True)
class Recording:
    """A result that is being recorded.

    Parameters
    ----------
    lock : of its hash, held until it is recorded
    recorded : waits for the run's id
    told : says that it is recorded
    failed : says that it could not be
    """

    config_hash: str
    lock: ExitStack
    recorded: Callable[[], str]
    told: Callable[[str], None]
    failed: Callable[[Exception], object]

    def end(self) -> None:
        """Wait until it is recorded, and say so."""
        with self.lock:
            run_id = self.recorded()
        self.told(run_id)


def leave(recording: Recording) -> None:
    """Go on while this result is being recorded."""
    global _last
    settle()
    _last = recording


def settle(config_hash: str | None = None) -> None:
    """Wait until what was left is recorded; with a hash only if it is that one's. A fault is said, not raised."""
    global _last, _lost
    last = _last
    if last is None or config_hash not in (None, last.config_hash):
        return
    _last = None
    try:
        last.end()
    except Exception as fault:
        _lost = True
        last.failed(fault)


def any_lost() -> bool:
    """Whether a result could not be recorded after its job had ended."""
    return _lost
