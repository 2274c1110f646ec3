"""What every download shares: time-outs, and the reason of a failure."""

from __future__ import annotations

from typing import Any

TIMEOUT_S = (5, 15)  # seconds to connect, and between two bytes: a source that is down costs no more


def over_http(**options: Any) -> Any:
    """Pooch's downloader for an address; ``options`` as of ``pooch.HTTPDownloader``, such as ``headers``."""
    import pooch

    return pooch.HTTPDownloader(timeout=TIMEOUT_S, **options)


def reason(error: Exception) -> str:
    """Why a source failed, in a few words: the HTTP status, the system's message, or the kind of error."""
    response = getattr(error, "response", None)
    if response is not None:
        return f"HTTP {response.status_code}"
    return str(getattr(error, "strerror", None) or type(error).__name__)
