"""Files that a configuration names (split files, replayed rows): their digests and copies."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from opal.data.download import address_and_digest
from opal.errors import ConfigError

PATH_ARGUMENTS = frozenset(["path", "folder", "train", "test", "weights"])  # beside a `_target_`
COPY_LIMIT = 5_000_000  # bytes of all files of one argument: larger ones are not copied into every run


def files_of(value: str, seeds: Sequence[int]) -> list[Path]:
    """The files of a path argument: a file, one per seed where it contains ``{seed}``, or those of a folder.

    Raises
    ------
    ConfigError : a file per seed, and the seeds are not listed
    """
    if "{seed}" in value and isinstance(seeds, str):
        raise ConfigError(f"seeds={seeds} does not fit {value}, a file for each seed: list the seeds, seeds=[1,2,6]")
    paths = [Path(value.replace("{seed}", str(s))).expanduser() for s in seeds] if "{seed}" in value else [Path(value)]
    found: list[Path] = []
    for path in paths:
        path = path.expanduser()
        found += sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path] * path.is_file()
    return found


def content_of(value: str, seeds: Sequence[int]) -> Any:
    """What is hashed for a path: names and digests of its files, or the text itself where there are none.

    An address with a digest (``#sha256=``) counts as the file that it names.
    """
    if remote := address_and_digest(value):
        return [["", remote[1]]]
    files = files_of(value, seeds)
    named = "{seed}" in value or len(files) > 1  # a single file may have any name
    return [[p.name if named else "", file_digest(p)] for p in files] if files else value


def file_digest(path: Path) -> str:
    """SHA-256 (64 hex digits) of a file; read once while it does not change."""
    stat = path.stat()
    return _digest(str(path.resolve()), stat.st_size, stat.st_mtime_ns)


def copy(config: Mapping[str, Any], seeds: Sequence[int], folder: Path) -> None:
    """Copy the files that ``config`` names to ``folder/<section>.<key>/``, large ones left out."""
    for place, node, key in _arguments(config):
        files = files_of(node[key], seeds)
        if not files or sum(p.stat().st_size for p in files) > COPY_LIMIT:
            continue
        base = Path(node[key]).expanduser()
        target = folder / f"{place}.{key}"
        for path in files:
            copied = target / (path.relative_to(base) if base.is_dir() else path.name)
            copied.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copied)


def redirect(config: Mapping[str, Any], folder: Path) -> None:
    """Point the path arguments of ``config`` to the copies in ``folder``, in place, where they exist."""
    for place, node, key in list(_arguments(config)):
        copied = folder / f"{place}.{key}"
        if copied.is_dir():
            name = Path(node[key]).name
            single = "{seed}" in name or (copied / name).is_file()
            node[key] = str(copied / name if single else copied)


def _arguments(node: Any, place: str = "") -> Iterator[tuple[str, Any, str]]:
    """(place, keyword arguments, key) of every path argument that is set, except the table's own."""
    if isinstance(node, Mapping):
        for key, value in node.items():
            if "_target_" in node and key in PATH_ARGUMENTS and isinstance(value, str):
                yield place, node, key
            elif place or key in ("task", "method", "classifier"):
                yield from _arguments(value, f"{place}.{key}".lstrip("."))
    elif isinstance(node, list):
        for i, value in enumerate(node):
            yield from _arguments(value, f"{place}.{i}")


@lru_cache(maxsize=4096)
def _digest(path: str, size: int, changed: int) -> str:
    state = hashlib.sha256()
    with Path(path).open("rb") as file:
        while block := file.read(1 << 20):
            state.update(block)
    return state.hexdigest()
