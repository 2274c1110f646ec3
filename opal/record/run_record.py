"""A finished trial as plain values ready for MLflow: metric points, description, dataset."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import pandas as pd

from opal.evaluate.metrics import names
from opal.record.environment import peak_memory_mb
from opal.result import MADE, MADE_IF_ANY, TrialResult
from opal.table import Split, Table, frame_digest

Point = tuple[str, float, int]  # key, value, step
Status = Literal["finished", "partial", "failed"]
FIRST = names("leads")
LATER = ("control/", "seed_")  # logged after all others, in this order
VOLATILE = ("time/", "paid/")  # metrics that differ between equal runs
_NOT_ALLOWED = re.compile(r"[^\w\-. :/]")
_MLFLOW_TYPES = {"i": "long", "u": "long", "f": "double", "b": "boolean", "M": "datetime"}


@dataclass(frozen=True)
class DatasetInput:
    """One of the data sets that MLflow shows with a run.

    Parameters
    ----------
    digest : at most 36 characters, MLflow's limit
    schema : column name -> dtype
    context : what the run used it for: ``table``, ``training``, ``testing``
    """

    name: str
    digest: str
    source: str = ""
    schema: Mapping[str, str] = field(default_factory=dict)
    profile: Mapping[str, Any] = field(default_factory=dict)
    context: str = "table"

    @classmethod
    def of(cls, table: Table) -> DatasetInput:
        """The data set of ``table``: its digest, columns and class counts."""
        return cls._of(table, table.frame, table.name, table.digest, "table")

    @classmethod
    def of_split(cls, table: Table, split: Split) -> list[DatasetInput]:
        """Train and test rows of a seed."""
        parts = {"training": ("train", split.train.frame), "testing": ("test", split.test)}
        return [
            cls._of(table, frame, f"{table.name}/seed_{split.seed}/{part}", frame_digest(frame), context)
            for context, (part, frame) in parts.items()
        ]

    @classmethod
    def _of(cls, table: Table, frame: pd.DataFrame, name: str, digest: str, context: str) -> DatasetInput:
        counts = frame[table.schema.target].value_counts()
        profile = {"num_rows": len(frame), "num_columns": frame.shape[1]}
        profile |= {f"{table.schema.target}={label}": int(n) for label, n in counts.items()}
        schema = {str(n): str(t) for n, t in frame.dtypes.items()}
        return cls(name, digest, table.source or table.name, schema, profile, context)

    def mlflow_source(self) -> str:
        return json.dumps({"uri": self.source})

    def mlflow_profile(self) -> str:
        return json.dumps(dict(self.profile))

    def mlflow_schema(self) -> str:
        columns = [{"type": _mlflow_type(t), "name": n, "required": True} for n, t in self.schema.items()]
        return json.dumps({"mlflow_colspec": columns})


@dataclass
class RunRecord:
    """The content of one MLflow run, apart from its artifacts.

    Parameters
    ----------
    name : the run's name in the UI
    config_hash, generation_hash : 64 hex digits each
    params : short scalars
    metrics : (key, value, step); NaN is left out
    description : Markdown, shown on the run's page
    seconds : how long the trial took; the run's start is set back by it
    parts : train and test of the first seed; those of the others are drawn from the table in the same way
    traces : whether the exchanges in the artifacts are shown as MLflow traces too
    prompt : settings and ``name`` of the prompt that goes into the Prompt Registry, or None
    """

    name: str
    config_hash: str
    generation_hash: str = ""
    params: Mapping[str, Any] = field(default_factory=dict)
    metrics: list[Point] = field(default_factory=list)
    tags: Mapping[str, str] = field(default_factory=dict)
    dataset: DatasetInput | None = None
    description: str = ""
    status: Status = "finished"
    seconds: float = 0.0
    parts: list[DatasetInput] = field(default_factory=list)
    traces: bool = False
    prompt: Mapping[str, Any] | None = None


def run_name(data: str, method: str, classifier: str, config_hash: str) -> str:
    """``data/method/classifier`` and the first 12 digits of the hash."""
    return f"{data}/{method}/{classifier}-{config_hash[:12]}"


def metrics_of(errors: pd.DataFrame) -> list[Point]:
    """Metric points of a tidy frame, ``step`` being the number of synthetic rows added.

    Parameters
    ----------
    errors : DataFrame with the columns seed, amount, metric, value

    Returns
    -------
    ``<metric>`` (mean over seeds), ``<metric>_std`` (sample standard deviation, from two seeds on) and
    ``seed_<s>/<metric>``. A mean is given only where every seed has a value: means over different seeds
    at different amounts would not make a curve.
    """
    seeds = list(dict.fromkeys(errors["seed"]))
    cells = errors.pivot(index=["metric", "amount"], columns="seed", values="value")[seeds]
    points: list[Point] = []
    for (metric, amount), values in zip(cells.index, cells.to_numpy(dtype=float), strict=True):
        key, step = clean_key(metric), int(amount)
        points += [(f"seed_{s}/{key}", float(v), step) for s, v in zip(seeds, values, strict=True)]
        points.append((key, float(values.mean()), step))  # NaN where a seed is missing
        if len(seeds) > 1:
            points.append((f"{key}_std", float(values.std(ddof=1)), step))
    return [p for p in points if not math.isnan(p[1])]


def points_of(result: TrialResult) -> list[Point]:
    """All metric points of a trial: curve, controls, and single figures."""
    return in_order(metrics_of(result.errors) + scalars(singles_of(result)))


def singles_of(result: TrialResult) -> dict[str, float | None]:
    """A trial's figures beside its curves: time, and the cost of an LLM's rows, None where unknown.

    ``llm/`` is what the rows cost when first made, equal in every repetition; ``paid/`` what this run paid.
    """
    singles: dict[str, float | None] = dict(result.metrics)
    singles |= {f"time/{stage}": seconds for stage, seconds in result.timings.items()}
    singles["time/peak_memory_mb"] = peak_memory_mb()
    usage, rows = result.usage, sum(len(r.frame) for r in result.rows.values())
    if usage.requests:
        singles |= {f"llm/{key}": getattr(usage, key) for key in MADE}
        singles |= {f"llm/{key}": count for key in MADE_IF_ANY if (count := getattr(usage, key))}
        singles |= {f"paid/{key}": getattr(usage, f"paid_{key}") for key in ("requests", "tokens", "money")}
        singles |= {"paid/cache_hits": usage.cache_hits, "paid/retries": usage.retries, "time/llm": usage.seconds}
        if rows:
            singles["llm/tokens_per_row"] = (usage.prompt_tokens + usage.completion_tokens) / rows
        singles |= {f"funnel/{step}": count for step, count in result.funnel.as_dict().items()}
    return singles


def in_order(points: list[Point]) -> list[Point]:
    """The run's errors first, single seeds last: MLflow's UI lists metrics as they were logged, some 700 of them."""

    def place(point: Point) -> int:
        key = point[0].removesuffix("_std")
        if key in FIRST:
            return FIRST.index(key)
        return len(FIRST) + next((1 + i for i, start in enumerate(LATER) if key.startswith(start)), 0)

    return sorted(points, key=place)


def scalars(metrics: Mapping[str, float | None], prefix: str = "") -> list[Point]:
    """Metric points at step 0 of plain figures; None (unknown) and NaN are left out."""
    return [
        (clean_key(prefix + key), float(value), 0)
        for key, value in metrics.items()
        if value is not None and not math.isnan(value)
    ]


def description_of(errors: pd.DataFrame, metric: str = "error") -> str:
    """Markdown table of ``metric``: mean and sample standard deviation over seeds by amount."""
    cells = errors[errors["metric"] == metric]
    lines = [f"| synthetic rows | {metric} | std | seeds |", "| ---: | ---: | ---: | ---: |"]
    for amount, cell in cells.groupby("amount"):
        std = cell["value"].std(ddof=1)
        shown = "" if math.isnan(std) else f"{std:.4f}"
        lines.append(f"| {amount} | {cell['value'].mean():.4f} | {shown} | {len(cell)} |")
    return "\n".join(lines)


def volatile(key: str) -> bool:
    """Whether a metric may differ between two equal runs."""
    return key.startswith(VOLATILE)


def clean_key(key: str) -> str:
    """``key`` with every character that MLflow refuses in a metric name replaced by ``_``."""
    return _NOT_ALLOWED.sub("_", str(key))


def _mlflow_type(dtype: str) -> str:
    try:
        return _MLFLOW_TYPES.get(pd.api.types.pandas_dtype(dtype).kind, "string")
    except TypeError:
        return "string"
