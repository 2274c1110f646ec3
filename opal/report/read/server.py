"""Reading runs through MLflow: from a tracking server, or a database other than SQLite."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from opal.record.connection import connect, faults
from opal.report.read.select import Where, parse_search

RUNS_A_CALL = 100  # MLflow's limit
PAGE = 1000


class ServerRuns:
    """The runs behind an MLflow address."""

    def __init__(self, uri: str) -> None:
        self.uri, self._keys = uri, set[str]()
        with faults(uri):
            self.client = connect(uri)

    def runs(self, where: Where, experiments: Sequence[str]) -> list[dict]:
        """One dict per run: id, name, times, params and tags; experiments all where none is named."""
        if where.search:
            parse_search(where.search)
        found = []
        for run, experiment in self._search(where, experiments):
            self._keys |= run.data.metrics.keys()
            info = run.info
            found.append(
                {
                    "run_id": info.run_id,
                    "name": info.run_name,
                    "experiment_id": info.experiment_id,
                    "experiment": experiment,
                    "mlflow_status": info.status,
                    "start": info.start_time,
                    "params": dict(run.data.params),
                    "tags": {k: v for k, v in run.data.tags.items() if k.startswith("opal.")},
                }
            )
        return sorted(found, key=lambda run: (run["start"], run["run_id"]))

    def metric_names(self) -> list[str]:
        """The names of all metrics of the runs that `runs` returned."""
        return sorted(self._keys)

    def points(self, run_ids: Sequence[str], keys: Sequence[str]) -> np.ndarray:
        """Array of shape (n, 4): position in ``run_ids``, position in ``keys``, step, value."""
        place = {run_id: n for n, run_id in enumerate(run_ids)}
        rows = [
            (place[run_id], k, step, value)
            for k, key in enumerate(keys)
            for i in range(0, len(run_ids), RUNS_A_CALL)
            for run_id, step, value in self._history(run_ids[i : i + RUNS_A_CALL], key)
        ]
        return np.array(rows, dtype=float).reshape(-1, 4)

    def _search(self, where: Where, experiments: Sequence[str]) -> Iterator[tuple[Any, str]]:
        with faults(self.uri):
            known = {e.experiment_id: e.name for e in self.client.search_experiments()}
            ids = [i for i, name in known.items() if not experiments or name in experiments]
            token = None
            while ids:
                page = self.client.search_runs(ids, where.filter_string(), max_results=PAGE, page_token=token)
                yield from ((run, known[run.info.experiment_id]) for run in page)
                token = page.token
                if not token:
                    return

    def _history(self, run_ids: Sequence[str], key: str) -> list[tuple[str, int, float]]:
        """One metric of many runs, by the call that MLflow's UI makes and its client lacks."""
        if not self.uri.startswith("http"):
            store = self.client._tracking_client.store
            points = store.get_metric_history_bulk(list(run_ids), key, 25_000)
            return [(p.run_id, p.step, p.value) for p in points]
        from mlflow.utils.credentials import get_default_host_creds
        from mlflow.utils.rest_utils import http_request, verify_rest_response

        path = "/api/2.0/mlflow/metrics/get-history-bulk-interval"
        asked = {"run_ids": list(run_ids), "metric_key": key, "max_results": 2500}
        with faults(self.uri):
            answer = http_request(get_default_host_creds(self.uri), path, "GET", params=asked)
            points = verify_rest_response(answer, path).json().get("metrics", [])
        return [(p["run_id"], int(p.get("step", 0)), float(p["value"])) for p in points]
