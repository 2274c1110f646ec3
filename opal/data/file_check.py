"""Whether there is a file to read: asked without what reads it, so that a mistyped path is told at once."""

from __future__ import annotations

from pathlib import Path

from opal.errors import DataError


def check_file(path: Path) -> None:
    """Raise DataError where ``path`` is missing or a folder."""
    if not path.exists():
        raise DataError(f"there is no file {path}")
    if path.is_dir():
        raise DataError(f"{path} is a folder, not a file: name the CSV or Parquet file in it")
