"""What every download shares: patience, and a word on why it failed."""

from __future__ import annotations

from typing import Any

TIMEOUT_S = (5, 15)  # to connect, and between two bytes: a source that is down costs seconds


def over_http() -> Any:
    """Pooch's downloader for an address."""
    import pooch

    return pooch.HTTPDownloader(timeout=TIMEOUT_S)


def reason(error: Exception) -> str:
    """Why a source failed, in few words: the status of its answer, what the system says, or the kind of error."""
    response = getattr(error, "response", None)
    if response is not None:
        return f"HTTP {response.status_code}"
    return str(getattr(error, "strerror", None) or type(error).__name__)
