"""What every download shares: time-outs, the reason of a failure, a file with a known SHA-256."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from opal.errors import DataError

_WITH_DIGEST = re.compile(r"(?P<place>[^#]+)(?:#sha256=(?P<sha256>[0-9a-fA-F]{64}))?")
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


def place_and_digest(text: str) -> tuple[str, str] | None:
    """The parts of ``PLACE#sha256=<64 hex digits>``, the digest in lower case or ""; None where it has another form."""
    found = _WITH_DIGEST.fullmatch(text)
    return (found["place"], (found["sha256"] or "").lower()) if found else None


def address_and_digest(text: str) -> tuple[str, str] | None:
    """The same for an address of the web with a digest; None for any other text."""
    found = place_and_digest(text)
    return found if found and found[1] and found[0].startswith(("http://", "https://")) else None


def verified(address: str, sha256: str, cache: Path, headers: Mapping[str, str] | None = None) -> Path:
    """The file at ``address``, downloaded unless ``cache`` has it already; one with another digest is not kept.

    Parameters
    ----------
    sha256 : 64 hex digits
    cache : the file lies in a folder of its own below it, under its own name
    headers : of the request

    Raises
    ------
    DataError : the download fails, or brings another file
    """
    import pooch

    try:
        found = pooch.retrieve(
            address,
            f"sha256:{sha256}",
            fname=address.rpartition("/")[2],
            path=cache / "weights" / sha256[:12],
            downloader=over_http(progressbar=sys.stderr.isatty(), headers=dict(headers or {})),
        )
    except ValueError as fault:  # pooch's word for another digest; what came is not kept
        raise DataError(f"{address} holds another file than that SHA-256 names") from fault
    except Exception as fault:  # requests' errors, and the file system's
        raise DataError(f"{address} cannot be fetched ({reason(fault)})") from fault
    return Path(found)
