"""Reading runs back: from MLflow by any of their names, or from an exported folder."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from opal.errors import TrackingError
from opal.record.connection import faults
from opal.record.provenance import readable
from opal.record.run_record import Point
from opal.record.runs import is_finished
from opal.record.tracking import Tracking

if TYPE_CHECKING:
    import pandas as pd
    from mlflow.entities import Run

RUN_FILE = "run.json"  # stands beside artifacts/ in an exported folder
EXPORT_VERSION = 1


@dataclass(frozen=True)
class Recorded:
    """A run as it was logged.

    Parameters
    ----------
    metrics : every point; artifacts : the folder that holds the run's files
    """

    run_id: str
    name: str
    tags: Mapping[str, str]
    params: Mapping[str, str]
    metrics: list[Point]
    artifacts: Path
    dataset: Mapping[str, str] = field(default_factory=dict)

    @property
    def config_hash(self) -> str:
        return self.tags.get("opal.config_hash", "")


def find(tracking: Tracking, reference: str) -> Run:
    """The trial that ``reference`` names: a hash of 4 digits or more, a run id or a run name.

    Of several runs of one hash the finished one is taken, then the newest.

    Raises
    ------
    TrackingError : no run, or runs of different hashes, answer to it
    """
    found: list[Run] = []
    if re.fullmatch(r"[0-9a-f]{32}", reference):
        found = tracking.runs(f"attributes.run_id = '{reference}'")
    if not found and re.fullmatch(r"[0-9a-f]{4,64}", reference):
        found = tracking.runs(f"tags.`opal.config_hash` LIKE '{reference}%'")
    if not found and "'" not in reference:
        found = tracking.runs(f"attributes.run_name = '{reference}'")
    if not found:
        raise TrackingError(
            f"no run of experiment {tracking.experiment!r} in {tracking.uri} has the hash, id or name {reference!r}"
        )
    hashes = {run.data.tags.get("opal.config_hash") for run in found}
    if len(hashes) > 1:
        names = ", ".join(sorted({run.info.run_name for run in found})[:5])
        raise TrackingError(f"{reference!r} means {len(hashes)} different trials ({names}): give more digits")
    return next((run for run in found if is_finished(run)), found[0])


def load(tracking: Tracking, reference: str, folder: Path) -> Recorded:
    """The run that ``reference`` names, its artifacts copied into ``folder``."""
    run = find(tracking, reference)
    with faults(tracking.uri):
        metrics = [
            (m.key, m.value, m.step)
            for key in run.data.metrics
            for m in tracking.client.get_metric_history(run.info.run_id, key)
        ]
        fetch(tracking, run, folder)
    inputs = [given.dataset for given in (run.inputs.dataset_inputs if run.inputs else [])]
    whole = run.data.tags.get("opal.data_digest", "")  # the others are its train and test rows
    dataset = next(({"name": one.name, "digest": one.digest} for one in inputs if one.digest == whole[:36]), {})
    return Recorded(
        run.info.run_id, run.info.run_name, dict(run.data.tags), dict(run.data.params), metrics, folder, dataset
    )


def load_export(folder: Path) -> Recorded:
    """The run in a folder that ``python -m opal.export`` wrote.

    Raises
    ------
    TrackingError : it holds none, or its facts are damaged
    """
    path = folder / RUN_FILE
    with readable(path):
        content = json.loads(path.read_text(encoding="utf-8"))
        metrics = [(str(key), float(value), int(step)) for key, value, step in content["metrics"]]
        texts = {key: _texts(content[key]) for key in ("tags", "params", "dataset")}
        return Recorded(
            str(content["run_id"]), str(content["name"]), **texts, metrics=metrics, artifacts=folder / "artifacts"
        )


def _texts(node: Mapping[str, Any]) -> dict[str, str]:
    return {str(key): str(value) for key, value in node.items()}


def export(recorded: Recorded, folder: Path) -> None:
    """Write ``run.json`` beside the artifacts, which lie in ``folder/artifacts`` already."""
    content: dict[str, Any] = {key: getattr(recorded, key) for key in ("run_id", "name", "tags", "params")}
    content |= {"metrics": recorded.metrics, "dataset": recorded.dataset, "export_version": EXPORT_VERSION}
    (folder / RUN_FILE).write_text(json.dumps(content, indent=1))


def fetch(tracking: Tracking, run: Run, folder: Path, path: str = "") -> Path:
    """Copy a run's artifacts (or the one at ``path``) into ``folder``; returns their path.

    MLflow keeps local artifact addresses absolute. Where the store was moved, its artifacts are looked for
    beside the database, under the same ``mlruns/``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    source = local_artifacts(tracking, run)
    with faults(tracking.uri):
        if source is None:
            return Path(tracking.client.download_artifacts(run.info.run_id, path, str(folder)))
        if path:
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            return Path(shutil.copyfile(source / path, target))
        if source.is_dir():
            shutil.copytree(source, folder, dirs_exist_ok=True, ignore=_links)
        return folder


def _links(folder: str, names: list[str]) -> list[str]:
    """Links in a shared store may lead to the reader's own files, which an export would hand on."""
    return [name for name in names if Path(folder, name).is_symlink()]


def errors_of(tracking: Tracking, run: Run) -> pd.DataFrame:
    """A run's tidy errors [seed, amount, metric, value]."""
    import pandas as pd

    with tempfile.TemporaryDirectory() as folder:
        return pd.read_csv(fetch(tracking, run, Path(folder), "errors.csv"))


def local_artifacts(tracking: Tracking, run: Run) -> Path | None:
    """The folder of a run's artifacts on this machine; None if they are behind a server."""
    parts = urlsplit(run.info.artifact_uri)
    if parts.scheme not in ("", "file"):
        return None
    path = Path(unquote(parts.path))
    if not path.is_dir() and "mlruns" in path.parts:
        last = len(path.parts) - 1 - path.parts[::-1].index("mlruns")
        moved = tracking.mlruns.joinpath(*path.parts[last + 1 :])
        return moved if moved.is_dir() else path
    return path
