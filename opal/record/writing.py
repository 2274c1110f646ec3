"""Writing one run: created, filled by few calls, ended."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from opal.record import pending, unfinished
from opal.record.run_record import DatasetInput, RunRecord

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

ATTEMPTS = 3  # to write when other writers hold the lock
MOST_ENTITIES, MOST_PARAMS = 1000, 100  # MLflow's limits for a call; params count among the entities


def begin(
    client: MlflowClient, experiment_id: str, record: RunRecord, folder: Path, own_tags: Mapping[str, Any]
) -> str:
    """Create the run, tagged as unfinished; returns its id."""
    tags = {str(k): str(v) for k, v in {**record.tags, **own_tags}.items() if v != ""} | {
        "opal.config_hash": record.config_hash,
        "opal.generation_hash": record.generation_hash,
        "opal.status": "running",
        "opal.record": pending.identity(folder),
        "opal.writer": unfinished.writer(),
    }
    if record.dataset:
        tags["opal.data_digest"] = record.dataset.digest
    if record.description:
        tags["mlflow.note.content"] = record.description[:8000]
    start = int((time.time() - record.seconds) * 1000)
    return client.create_run(experiment_id, start_time=start, tags=tags, run_name=record.name).info.run_id


def fill(client: MlflowClient, run_id: str, record: RunRecord, folder: Path) -> None:
    """Params, metrics, the data sets, and the artifacts in ``folder``."""
    from mlflow.entities import Metric, Param

    now = int(time.time() * 1000)
    params = [Param(k, str(v)[:6000]) for k, v in record.params.items()]
    metrics = [Metric(key, value, now, step) for key, value, step in record.metrics]
    first = MOST_ENTITIES - min(len(params), MOST_PARAMS)
    client.log_batch(run_id, metrics=metrics[:first], params=params[:MOST_PARAMS])
    for i in range(first, len(metrics), MOST_ENTITIES):
        client.log_batch(run_id, metrics=metrics[i : i + MOST_ENTITIES])
    for i in range(MOST_PARAMS, len(params), MOST_PARAMS):
        client.log_batch(run_id, params=params[i : i + MOST_PARAMS])
    if record.dataset:
        _log_datasets(client, run_id, [record.dataset, *record.parts])
    artifacts = folder / pending.ARTIFACTS
    if any(artifacts.iterdir()):
        client.log_artifacts(run_id, str(artifacts))


def end(client: MlflowClient, run_id: str, status: str) -> None:
    """Set the run's final status."""
    from mlflow.entities import RunTag

    client.log_batch(run_id, tags=[RunTag("opal.status", status)])
    client.set_terminated(run_id, "FAILED" if status == "failed" else "FINISHED")


def _log_datasets(client: MlflowClient, run_id: str, given: Sequence[DatasetInput]) -> None:
    from mlflow.entities import Dataset, InputTag
    from mlflow.entities import DatasetInput as Input
    from mlflow.exceptions import MlflowException

    inputs = []
    for data in given:
        shown = data.mlflow_source(), data.mlflow_schema(), data.mlflow_profile()
        dataset = Dataset(data.name, data.digest[:36], "local", *shown)
        inputs.append(Input(dataset, [InputTag("mlflow.data.context", data.context)]))
    for attempt in range(ATTEMPTS):
        try:
            client.log_inputs(run_id, inputs)
            return
        except MlflowException as err:  # MLflow checks, then inserts: another run may do the same in between
            if attempt == ATTEMPTS - 1 or "unique" not in str(err).lower():
                raise
