"""Small made-up trials for the tests of the record."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd

from opal.llm.api.messages import Request, Response
from opal.record.run_record import DatasetInput, RunRecord, metrics_of, scalars
from opal.result import Usage
from opal.table import Schema, Table

SMALL_FOREST = "controls.balanced_forest.classifier.estimator.n_estimators=5"  # of 50: the control that takes longest


def table(rows: int = 12, name: str = "toy") -> Table:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "x": rng.normal(size=rows).round(2),
            "c": ["a", "b", None] * (rows // 3),
            "y": [0, 1, 1] * (rows // 3),
        }
    )
    return Table(name, frame, Schema.infer(frame, "y", descriptions={"x": "a number"}), 0, source="made here")


def errors(seeds: tuple[int, ...] = (1, 2), amounts: tuple[int, ...] = (0, 10, 20)) -> pd.DataFrame:
    rows = [
        (s, a, m, (s + a + len(m)) / 100)
        for m in ("error", "balanced_error", "control/threshold/error")
        for s in seeds
        for a in (amounts if "/" not in m else (0,))
    ]
    return pd.DataFrame(rows, columns=["seed", "amount", "metric", "value"])


def record(config_hash: str = "a" * 64, name: str = "toy/none/logistic-aaaa", **given: object) -> RunRecord:
    return RunRecord(
        name=name,
        config_hash=config_hash,
        generation_hash="b" * 64,
        params={"data": "toy", "method": "none"},
        metrics=metrics_of(errors()) + scalars({"time/curve": 1.5}),
        dataset=DatasetInput.of(table()),
        description="| a |\n| --- |",
        **given,  # type: ignore[arg-type]
    )


def write(folder: Path) -> None:
    errors().to_csv(folder / "errors.csv", index=False)
    (folder / "synthetic").mkdir()
    (folder / "synthetic" / "seed_1.csv").write_text("x\n1\n")


def runs(kind: str = "trial") -> list:
    from mlflow.tracking import MlflowClient

    client = MlflowClient(f"sqlite:///{Path.cwd() / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("opal")
    return client.search_runs([experiment.experiment_id], f"tags.`opal.kind` = '{kind}'")


def artifacts(run) -> Path:
    return Path(run.info.artifact_uri.removeprefix("file://"))


def write_requests(folder: Path, number: int, chat: bool = True, answer: str = "7") -> None:
    """Artifacts with so many exchanges of a model that does not exist."""
    request = {"messages": ({"role": "user", "content": "x\n0"},)} if chat else {"prompt": "x\n0"}
    usage = Usage(requests=1, prompt_tokens=30, completion_tokens=12, cached_tokens=8, seconds=1.5)
    lines = []
    for draw in range(number):
        asked = Request("made-up", **request, draw=draw)  # type: ignore[arg-type]
        said = Response(asked, (answer,), ("stop",), usage, "free", cached=True, created="2026-01-01T00:00:00+00:00")
        lines.append(json.dumps({"group": "y=1"} | said.record() | {"rows": {"kept": 1}}) + "\n")
    (folder / "prompts").mkdir()
    (folder / "prompts" / "seed_1.jsonl").write_text("".join(lines))
