"""Files that are written whole or not at all: a temporary file beside the target, then a move."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A temporary file that takes the place of ``path`` when the block ends without an error.

    Raises
    ------
    OSError : the file cannot be written; ``path`` is as it was
    """
    with _temporary(path) as temporary:
        yield temporary
        temporary.replace(path)


def write_whole(path: Path, content: str | bytes, overwrite: bool = True) -> bool:
    """Write ``content`` in one step; False if ``path`` exists and may not be overwritten.

    Text is written in UTF-8. The content is on the disk before it takes the place of ``path``.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with _temporary(path) as temporary:
        with temporary.open("wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        if overwrite:
            temporary.replace(path)
            return True
        return _place(temporary, path)


def _place(temporary: Path, path: Path) -> bool:
    """Give the file its name unless another has it: the first writer wins."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        return False
    except OSError:  # a file system without hard links
        if path.exists():
            return False
        temporary.replace(path)
    return True


@contextmanager
def _temporary(path: Path) -> Iterator[Path]:
    temporary = path.with_name(f".{path.name[:100]}-{secrets.token_hex(6)}")
    os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    try:
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)
