"""One trial, start to end: split, make rows, measure the curve and its controls. Knows neither Hydra nor MLflow."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import pandas as pd

from opal.evaluate.classifiers import Classifier
from opal.evaluate.contamination import Contamination, contamination, pool
from opal.evaluate.controls import Control, run_controls
from opal.evaluate.curve import Amounts, curve, curve_without
from opal.methods.base import Oversampler
from opal.progress import Progress
from opal.result import Rows, TrialResult
from opal.table import Split, Table
from opal.tasks.base import Task


def run_trial(
    table: Table,
    task: Task,
    method: Oversampler,
    classifier: Classifier,
    seeds: Sequence[int] = (1, 2, 6, 8, 42),
    amounts: Amounts | None = None,
    controls: Mapping[str, Control] | None = None,
    n_jobs: int = 1,
    progress: Progress | None = None,
    contamination_check: str = "refit",
) -> TrialResult:
    """Error on untouched test rows against the number of synthetic rows, over ``seeds``.

    Parameters
    ----------
    contamination_check : count counts synthetic rows that equal a test row, refit also draws the curve without
        them where there are any, off does neither

    Raises
    ------
    OpalError : table, sizes, method or endpoint do not allow it; the sentence names what to change.
    """
    progress, controls = progress or Progress(enabled=False), controls or {}
    timings: dict[str, float] = {}
    with timed(timings, "split"):
        splits = [task.split(table, seed) for seed in seeds]
        steps = [(amounts or Amounts())(len(split.train.frame)) for split in splits]
    with timed(timings, "rows"):
        made = [sample(method, split, max(s), progress) for split, s in zip(splits, steps, strict=True)]
    with timed(timings, "curve"):
        progress.stage("curve", fits=sum(map(len, steps)))
        frames = [rows.frame for rows in made]
        errors = curve(classifier, splits, frames, steps, table.minority, n_jobs, progress)
    with timed(timings, "controls"):
        progress.stage("controls", fits=len(splits) * len(controls))
        free = run_controls(controls, classifier, splits, table.minority, n_jobs, progress)
    result = TrialResult(
        errors=pd.concat([f for f in (errors, free) if len(f)], ignore_index=True),
        rows=dict(zip(seeds, made, strict=True)),
        metrics={f"seed_{split.seed}/overlap": split.overlap for split in splits},
        warnings=[f"{s.overlap} test rows of seed {s.seed} equal a train row" for s in splits if s.overlap],
        timings=timings,
    )
    if contamination_check != "off":
        with timed(timings, "contamination"):
            checks = [contamination(r.frame, s.train, s.test, table) for r, s in zip(made, splits, strict=True)]
            report(result, checks)
            if contamination_check == "refit" and any(check.matched.any() for check in checks):
                masks = [check.matched for check in checks]
                clean = curve_without(masks, errors, classifier, splits, frames, steps, table.minority, n_jobs)
                clean = clean.assign(metric="without_test_matches/" + clean["metric"])
                result.errors = pd.concat([result.errors, clean], ignore_index=True)
    return result


def report(result: TrialResult, checks: Sequence[Contamination]) -> None:
    """What the contamination check of every seed found."""
    found = pool(checks)
    by_seed = {f"seed_{s}/{k}": v for s, c in zip(result.rows, checks, strict=True) for k, v in c.metrics.items()}
    result.metrics |= found.metrics | by_seed
    result.tables["contamination"] = found.per_row
    result.notes += [found.sentence] if len(found.per_row) else []
    result.warnings += [found.warning] if found.warning else []


def sample(method: Oversampler, split: Split, n: int, progress: Progress) -> Rows:
    """The synthetic rows of one split: the method sees train alone."""
    progress.stage(f"rows, seed {split.seed}", rows=n)
    return method.sample(split.train, n, progress)


@contextmanager
def timed(timings: dict[str, float], stage: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    timings[stage] = time.perf_counter() - start
