"""How the MLflow UI shows an experiment: a saved view with the columns and the few charts that matter.

A run has some 700 metrics (by seed, of every control); left alone, the UI draws a chart of each, in alphabetical
order. It keeps its saved views in tags of the experiment, so that one can be there from the first run on. A UI
ignores keys that it does not know.

Trials do not name their sweep as `mlflow.parentRunId`: the UI (3.17) then shows the sweep in their place, in this view
too, and its charts are empty until each sweep is unfolded by hand.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Iterator

from opal.evaluate.metrics import judged, names

KEY = "opal"  # viewStateShareKey of the UI's address
NAME = "Errors and curves (OPAL)"
TRIALS = "tags.`opal.kind` = 'trial' and tags.`opal.status` = 'finished'"
COLUMNS = [
    *(f"metrics.`{name}`" for name in names("column")),
    *(f"params.`{name}`" for name in ("data", "method", "classifier")),
    *(f"tags.`opal.verdict.{name}`" for name in judged(groups=False)),
]
CURVES = names("drawn")
BARS = tuple(f"verdict/{name}/difference" for name in judged(groups=False))
RUNS_SHOWN = 10  # lines per chart; the eye beside a run shows or hides it
CREATED = 1  # arbitrary: the same tag for every experiment


def experiment_tags() -> dict[str, str]:
    """Tags of a new experiment: that it is about training, and the saved view."""
    packed = base64.b64encode(zlib.compress(json.dumps(_state()).encode())).decode()
    view = {"name": NAME, "createdAt": CREATED, "updatedAt": CREATED, "state": f"deflate;{packed}"}
    return {
        "mlflow.experimentKind": "custom_model_development",
        f"mlflow.sharedViewState.{KEY}": json.dumps(view),
    }


def address(experiment_id: str, mode: str = "TABLE") -> str:
    """The view's path in the UI, as TABLE or CHART."""
    shown = "&compareRunsMode=CHART" if mode == "CHART" else ""
    return f"/#/experiments/{experiment_id}/runs?workflowType=machine_learning&viewStateShareKey={KEY}{shown}"


def description(experiment_id: str) -> str:
    """The experiment's description, in Markdown."""
    return (
        f"Do synthetic rows help? Each run is a curve of errors against the synthetic rows added: see the "
        f"[table]({address(experiment_id)[1:]}) and the [curves]({address(experiment_id, 'CHART')[1:]}), "
        f"which are also under Views, *{NAME}*. A metric's column shows its value with the most synthetic rows; "
        "`opal.verdict` says how the amount that validation chose stands against the hardest control. "
        "`python -m opal.compare` makes tables and figures of many runs."
    )


def _state() -> dict[str, object]:
    return {
        "searchFilter": TRIALS,
        "orderByKey": "attributes.start_time",
        "orderByAsc": False,
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "datasetsFilter": [],
        "modelVersionFilter": "All Runs",
        "selectedColumns": COLUMNS,
        "columnOrder": [],
        "columnWidths": {},
        "runsHiddenMode": f"FIRST_{RUNS_SHOWN}_RUNS",
        "compareRunCharts": list(_charts()),
        "compareRunSections": [
            {"uuid": uuid, "name": name, "display": True, "isReordered": False, "deleted": False, "isGenerated": False}
            for uuid, name in (
                ("opal-curves", "against synthetic rows added"),
                ("opal-verdict", "against the hardest control, at the chosen amount (below 0: better)"),
            )
        ],
        "hideEmptyCharts": True,
        "globalLineChartConfig": {"xAxisKey": "step", "lineSmoothness": 0, "selectedXAxisMetricKey": ""},
    }


def _charts() -> Iterator[dict[str, object]]:
    shared: dict[str, object] = {"runsCountToCompare": RUNS_SHOWN, "deleted": False, "isGenerated": False}
    for metric in CURVES:
        yield shared | {
            "uuid": f"opal-{metric}",
            "type": "LINE",
            "metricSectionId": "opal-curves",
            "displayName": metric.replace("_", " "),
            "metricKey": metric,
            "selectedMetricKeys": [metric],
            "lineSmoothness": 0,
            "scaleType": "linear",
            "xAxisScaleType": "linear",
            "xAxisKey": "step",
            "selectedXAxisMetricKey": "",
            "yAxisKey": "metric",
            "yAxisExpressions": [],
            "range": {},
            "ignoreOutliers": False,
            "useGlobalXaxisKey": True,
            "useGlobalLineSmoothing": True,
        }
    for metric in BARS:
        yield shared | {
            "uuid": f"opal-{metric.replace('/', '-')}",
            "type": "BAR",
            "metricSectionId": "opal-verdict",
            "displayName": metric.split("/")[1].replace("_", " "),
            "metricKey": metric,
        }
