"""Rate limits: no more calls per minute than an endpoint allows."""

from __future__ import annotations

import threading
import time


class Pace:
    """Spaces this process's calls evenly to stay within limits of requests and tokens per minute."""

    def __init__(self, requests_per_minute: float | None, tokens_per_minute: float | None) -> None:
        self.per_request = 60 / requests_per_minute if requests_per_minute else 0.0
        self.per_token = 60 / tokens_per_minute if tokens_per_minute else 0.0
        self._free_at = 0.0
        self._lock = threading.Lock()

    def wait(self, tokens: int, stop: threading.Event) -> None:
        """Block until a call of so many tokens may start, or ``stop`` is set."""
        with self._lock:
            start = max(time.monotonic(), self._free_at)
            self._free_at = start + max(self.per_request, tokens * self.per_token)
        stop.wait(start - time.monotonic())

    def hold(self, seconds: float) -> None:
        """Start no call for this long, as the endpoint asked."""
        with self._lock:
            self._free_at = max(self._free_at, time.monotonic() + seconds)
