"""One trial, start to end: split, make rows, measure the curve and its controls. Knows neither Hydra nor MLflow."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from math import ceil

import numpy as np
import pandas as pd

from opal.evaluate.classifiers import Classifier
from opal.evaluate.contamination import Contamination, contamination, pool
from opal.evaluate.controls import Control
from opal.evaluate.curate import Filter, curate
from opal.evaluate.curve import Amounts, curve, curve_without
from opal.evaluate.fidelity import fidelity_by_group
from opal.evaluate.validate import Folds
from opal.methods.base import Oversampler, share_out, take_turns
from opal.progress import Progress
from opal.result import Rows, TrialResult
from opal.table import Split, Table
from opal.tasks.base import Task

CURATION_ROUNDS = 3  # each asks for as many more rows as the last round's loss calls for


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
    curation: Filter | None = None,
    validation: Folds | None = None,
    fidelity: bool = True,
) -> TrialResult:
    """Error on untouched test rows against the number of synthetic rows, over ``seeds``.

    Parameters
    ----------
    contamination_check : count counts synthetic rows that equal a test row, refit also draws the curve without
        them where there are any, off does neither
    curation : leaves out rows before they are used
    validation : measures errors on folds of train too, by which an amount can be chosen
    fidelity : measure how the rows differ from real ones

    Raises
    ------
    OpalError : table, sizes, method or endpoint do not allow it; the sentence names what to change.
    """
    progress, clock = progress or Progress(enabled=False), Clock()
    with clock("split"):
        splits = [task.split(table, seed) for seed in seeds]
        steps = [(amounts or Amounts())(len(split.train.frame)) for split in splits]
    with clock("rows"):
        made = [
            sample(method, split, max(most), curation or Filter(), progress)
            for split, most in zip(splits, steps, strict=True)
        ]
    rows = [r.frame for r in made]
    with clock("curve"):
        progress.stage("curve", fits=sum(map(len, steps)))
        errors = curve(classifier, splits, rows, steps, table.minority, n_jobs, progress, controls)
    with clock("validation"):
        if validation and max(map(len, rows)):
            held_out = validation(classifier, splits, rows, steps, table.minority, method, n_jobs)
            errors = pd.concat([errors, held_out], ignore_index=True)
    result = TrialResult(errors, dict(zip(seeds, made, strict=True)), timings=clock.seconds)
    note_splits(result, splits, controls or {})
    if contamination_check != "off":
        with clock("contamination"):
            checks = [contamination(r, s.train, s.test, table) for r, s in zip(rows, splits, strict=True)]
            note_contamination(result, checks)
            if contamination_check == "refit" and any(check.matched.any() for check in checks):
                masks = [check.matched for check in checks]
                clean = curve_without(masks, errors, classifier, splits, rows, steps, table.minority, n_jobs)
                clean = clean.assign(metric="without_test_matches/" + clean["metric"])
                result.errors = pd.concat([errors, clean], ignore_index=True)
    if fidelity:
        with clock("fidelity"):
            note_fidelity(result, splits)
    return result


def sample(method: Oversampler, split: Split, n: int, curation: Filter, progress: Progress) -> Rows:
    """``n`` curated synthetic rows of one split: method and curation see train alone.

    Where curation leaves rows out, more are asked for; after three rounds the rows there are must do.
    """
    progress.stage(f"rows, seed {split.seed}", rows=n)
    train, ask = split.train, n
    for _ in range(CURATION_ROUNDS):
        made = method.sample(train, ask, progress)
        rng = np.random.default_rng([train.seed, 2])
        kept, made.funnel = curate(made.frame, train, curation, rng, made.funnel)
        if len(kept) >= n or len(kept) == len(made.frame) or kept.empty:
            break
        ask = ceil(1.1 * ask * n / len(kept))
    if len(kept) < len(made.frame):
        kept = take_turns(kept, share_out(n, train.minority_groups))
        if len(kept) < n and not made.stopped:
            made.stopped = f"curation kept {len(kept)} of {len(made.frame)} rows where {n} were wanted"
    made.frame = kept
    return made


def note_splits(result: TrialResult, splits: Sequence[Split], controls: Mapping[str, Control]) -> None:
    """Overlap of fixed splits, and controls that the table does not allow."""
    result.metrics |= {f"seed_{split.seed}/overlap": split.overlap for split in splits}
    result.warnings += [f"{s.overlap} test rows of seed {s.seed} equal a train row" for s in splits if s.overlap]
    few = [sum(len(s.train.rows(g)) for g in s.train.minority_groups) for s in splits]
    result.metrics["train/minority_rows"] = float(np.mean(few))
    found = set(result.errors["metric"])
    impossible = [c for c in controls if f"control/{c}/error" not in found]
    result.notes += [f"control {c} is not possible on this table" for c in impossible]


def note_contamination(result: TrialResult, checks: Sequence[Contamination]) -> None:
    """What the contamination check of every seed found."""
    found = pool(checks)
    by_seed = {f"seed_{s}/{k}": v for s, c in zip(result.rows, checks, strict=True) for k, v in c.metrics.items()}
    result.metrics |= found.metrics | by_seed
    result.tables["contamination"] = found.per_row
    if found.warning:
        result.warnings.append(found.warning)
    elif len(found.per_row):
        result.notes.append(found.sentence)


def note_fidelity(result: TrialResult, splits: Sequence[Split]) -> None:
    """How the synthetic rows of every seed differ from its minority train rows, and the mean over seeds."""
    by_seed = {s.seed: fidelity_by_group(result.rows[s.seed].frame, s.train) for s in splits}
    table = pd.DataFrame(by_seed)
    result.metrics |= {f"seed_{seed}/{k}": v for seed, found in by_seed.items() for k, v in found.items()}
    result.metrics |= table.mean(axis=1).to_dict()
    result.tables["fidelity"] = table.rename_axis("metric").reset_index()


class Clock:
    """Seconds by stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.seconds[stage] = time.perf_counter() - start
