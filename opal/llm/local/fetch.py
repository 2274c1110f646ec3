"""Weights from elsewhere: an address with a SHA-256, or a file of a Hugging Face repository; verified and kept."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

from opal.atomic import write_whole
from opal.data.download import TIMEOUT_S, place_and_digest, reason, verified
from opal.errors import ConfigError, DataError, LLMError

HUB = "https://huggingface.co"
_OF_HUB = re.compile(r"hf:(?P<repository>[^/#]+/[^/#]+)/(?P<file>[^#]+\.gguf)")


def is_remote(weights: str) -> bool:
    """Whether ``weights`` is an address rather than a path."""
    return weights.startswith(("https://", "http://", "hf:"))


def digest_of(weights: str, cache: Path) -> str:
    """The SHA-256 (hex) that the file must have: as given, or as Hugging Face names it (asked once, then remembered).

    Raises
    ------
    ConfigError : no digest, or a form that is not known
    LLMError : Hugging Face cannot be asked, or names none
    """
    place, given = _parts(weights)
    if given:
        return given
    note = cache / "hub.json"
    known: dict[str, str] = json.loads(note.read_text()) if note.is_file() else {}
    if place not in known:
        known[place] = _named_by_hub(place, weights)
        note.parent.mkdir(parents=True, exist_ok=True)
        write_whole(note, json.dumps(known, indent=1).encode())
    return known[place]


def fetched(weights: str, cache: Path) -> Path:
    """The file, downloaded unless it is kept already.

    Raises
    ------
    ConfigError, LLMError : as `digest_of`; or the download fails, or is another file
    """
    place, _ = _parts(weights)
    try:
        return verified(place, digest_of(weights, cache), cache, _headers(place))
    except DataError as fault:
        raise LLMError(f"llm.server.weights={weights}: {fault}") from fault


def place_of(weights: str, cache: Path) -> Path:
    """Where the file is kept once it is downloaded."""
    return cache / "weights" / digest_of(weights, cache)[:12] / name_of(weights)


def name_of(weights: str) -> str:
    """The file's name."""
    return _parts(weights)[0].rpartition("/")[2]


def _parts(weights: str) -> tuple[str, str]:
    """The address to fetch, and the digest that is given, or ""."""
    found = place_and_digest(weights)
    if found is None:
        raise ConfigError(f"llm.server.weights={weights}: its digest is 64 hex digits, as in #sha256=a5fd...")
    place, digest = found
    if not place.startswith("hf:"):
        if not digest:
            raise ConfigError(f"llm.server.weights={weights} needs the file's SHA-256, as in {place}#sha256=a5fd...")
        return place, digest
    of_hub = _OF_HUB.fullmatch(place)
    if of_hub is None:
        raise ConfigError(f"llm.server.weights={weights} must have the form hf:OWNER/NAME/FILE.gguf")
    return f"{_hub()}/{of_hub['repository']}/resolve/main/{of_hub['file']}", digest


def _hub() -> str:
    return os.environ.get("HF_ENDPOINT", HUB).rstrip("/")


def _headers(place: str) -> dict[str, str]:
    """The user's token of Hugging Face, for models that ask for one."""
    token = os.environ.get("HF_TOKEN")
    return {"Authorization": f"Bearer {token}"} if token and place.startswith(_hub()) else {}


def _named_by_hub(place: str, weights: str) -> str:
    """The digest in Hugging Face's answer to a HEAD request (``X-Linked-ETag`` of a large file)."""
    import requests

    try:
        answer: Any = requests.head(place, headers=_headers(place), timeout=TIMEOUT_S, allow_redirects=False)
        answer.raise_for_status()
    except requests.RequestException as fault:
        raise LLMError(f"llm.server.weights={weights}: {place} cannot be asked ({reason(fault)})") from fault
    digest = answer.headers.get("X-Linked-ETag", "").strip('"')
    if not re.fullmatch("[0-9a-f]{64}", digest):
        raise LLMError(f"llm.server.weights={weights}: {place} names no SHA-256; give it behind #sha256=")
    return digest
