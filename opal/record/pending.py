"""Results on disk that are not in MLflow yet: ``mlruns/pending/<hash>/{record.json, artifacts/}``."""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
import uuid
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from opal.atomic import write_whole
from opal.errors import TrackingError
from opal.record.run_record import DatasetInput, RunRecord

Write = Callable[[Path], None]  # puts some of a trial's artifacts into a folder
ARTIFACTS = "artifacts"
RECORD = "record.json"  # written last, in one move: a folder that has it is complete


def folder_of(mlruns: Path, config_hash: str) -> Path:
    return mlruns / "pending" / config_hash[:16]


def aside(config_hash: str) -> Path:
    """Where a result is kept that ``mlruns`` has no room for."""
    return Path(tempfile.gettempdir()) / f"opal-pending-{config_hash[:16]}"


def is_ours(folder: Path, store: str) -> bool:
    """Whether a folder aside holds a complete result for ``store``, written by this user: others may write there."""
    return complete(folder) and folder.stat().st_uid == os.getuid() and _content(folder).get("store") == store


def folders(mlruns: Path) -> list[Path]:
    """Complete results waiting to be logged."""
    return sorted(p for p in (mlruns / "pending").glob("*") if complete(p))


def complete(folder: Path) -> bool:
    return (folder / RECORD).is_file()


def any_left(mlruns: Path) -> bool:
    """Whether there is any result, complete or not, that is not logged."""
    return any((mlruns / "pending").glob("*"))


def left_by_sweeps(mlruns: Path, store: str) -> set[str]:
    """Hashes of complete results of sweeps' own runs for ``store``, and names of folders that are not complete."""
    found = set()
    for folder in (mlruns / "pending").glob("*"):
        if not complete(folder):
            found.add(folder.name)
            continue
        with suppress(TrackingError):  # logged by another process meanwhile
            content = _content(folder)
            if content["tags"].get("opal.kind") == "sweep" and content.get("store") == store:
                found.add(content["config_hash"])
    return found


def keep(mlruns: Path, record: RunRecord, *write: Write, store: str = "") -> Path:
    """Write a result for ``store`` to its pending folder, or to a temporary one where ``mlruns`` cannot be written."""
    first, folder = folder_of(mlruns, record.config_hash), aside(record.config_hash)
    try:
        return seal(begun(first, *write), record, store)
    except OSError as err:
        shutil.rmtree(first, ignore_errors=True)
        try:
            return seal(begun(folder, *write), record, store)
        except OSError:
            raise TrackingError(f"the result can be written neither to {mlruns} nor to {folder.parent}: {err}") from err


def begun(folder: Path, *write: Write) -> Path:
    """The folder with artifacts alone; it is not complete."""
    shutil.rmtree(folder, ignore_errors=True)
    artifacts = folder / ARTIFACTS
    artifacts.mkdir(parents=True)
    for some in write:
        some(artifacts)
    return folder


def seal(folder: Path, record: RunRecord, store: str = "", named: str = "") -> Path:
    """Complete the folder; ``named`` is this result's `identity`, a new one by default."""
    content = vars(record) | {"identity": named or new_identity(), "store": store}
    write_whole(folder / RECORD, json.dumps(content, default=_as_dict))
    return folder


def new_identity() -> str:
    return uuid.uuid4().hex


def load(folder: Path) -> RunRecord:
    """The record of a pending folder.

    Raises
    ------
    TrackingError : there is none
    """
    content = _content(folder)
    for name in ("identity", "store"):
        content.pop(name, None)
    dataset = content.pop("dataset")
    metrics = [(key, value, step) for key, value, step in content.pop("metrics")]
    parts = [DatasetInput(**part) for part in content.pop("parts", ())]
    return RunRecord(**content, metrics=metrics, dataset=DatasetInput(**dataset) if dataset else None, parts=parts)


def identity(folder: Path) -> str:
    """An identifier of this result, different even for a later one of the same hash."""
    return _content(folder)["identity"]


def clean_name(name: str) -> str:
    """``name`` as a folder's name."""
    return re.sub(r"[^\w\-.]", "_", name)


def _as_dict(value: Any) -> Any:
    return vars(value) if isinstance(value, DatasetInput) else str(value)


def _content(folder: Path) -> dict:
    try:
        return json.loads((folder / RECORD).read_text())
    except OSError as err:
        raise TrackingError(f"{folder} holds no result to log: {err.strerror}") from err
