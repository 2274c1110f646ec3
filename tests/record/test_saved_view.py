"""What the MLflow UI finds on a new experiment: a saved view that it can read."""

from __future__ import annotations

import base64
import json
import zlib

import trials

from opal.record import ui_view
from opal.record.run_record import in_order
from opal.record.tracking import Tracking


def test_a_new_experiment_has_the_view(empty_store, tmp_path):
    (tmp_path / "mlflow.db").write_bytes(empty_store.read_bytes())
    tracking = Tracking(f"sqlite:///{tmp_path}/mlflow.db")
    experiment = tracking.client.get_experiment(tracking.experiment_id)
    assert experiment.tags["mlflow.experimentKind"] == "custom_model_development"
    assert ui_view.address(tracking.experiment_id)[1:] in experiment.tags["mlflow.note.content"]
    assert f"viewStateShareKey={ui_view.KEY}" in tracking.ui
    stored = json.loads(experiment.tags[f"mlflow.sharedViewState.{ui_view.KEY}"])
    state = json.loads(zlib.decompress(base64.b64decode(stored["state"].removeprefix("deflate;"))))
    sections = {section["uuid"] for section in state["compareRunSections"]}
    assert {chart["metricSectionId"] for chart in state["compareRunCharts"]} == sections
    with tracking.claim("a" * 64):
        tracking.log(trials.record(tags={"opal.kind": "trial"}), trials.write)
    assert len(tracking.runs(state["searchFilter"])) == 1


def test_the_runs_errors_are_logged_first():
    keys = ["seed_1/error", "control/smote/error", "time/rows", "balanced_error", "error_std", "error"]
    assert [key for key, _, _ in in_order([(key, 0.0, 0) for key in keys])] == [
        "error_std",
        "error",
        "balanced_error",
        "time/rows",
        "control/smote/error",
        "seed_1/error",
    ]
