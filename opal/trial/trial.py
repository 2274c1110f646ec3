"""One trial from start to end: split, make rows, measure the curve and its controls. Uses neither Hydra nor MLflow."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pandas as pd

from opal.evaluate.classifiers import Classifier
from opal.evaluate.controls import Control
from opal.evaluate.curate import Filter
from opal.evaluate.curve import Amounts, curve, curve_without
from opal.evaluate.judge import judge
from opal.evaluate.replicate import Replicates
from opal.evaluate.validate import Folds
from opal.evaluate.verdict import MARGIN
from opal.methods.base import Oversampler
from opal.progress import Progress
from opal.result import Rows, TrialResult
from opal.table import Split, Table, Train
from opal.tasks.base import Task
from opal.trial import measures
from opal.trial.sampling import sample

SEEDS = (1, 2, 6, 8, 42)  # of the published study
Fits = tuple[Classifier, Sequence[Split], Sequence[pd.DataFrame], Sequence[Sequence[int]], Any]


@dataclass(frozen=True)
class Trial:
    """Error on untouched test rows against the number of synthetic rows, over ``seeds``.

    ``Trial(table, task, method, classifier).run()`` returns everything that was measured.

    Parameters
    ----------
    seeds : one split, one set of synthetic rows and one curve each
    amounts : numbers of synthetic rows added
    controls : remedies without synthetic rows from the method, by name
    curation : removes synthetic rows before they are used
    validation : also measures errors on folds of the train rows; an amount is chosen by them
    replicates : further draws and trainings, which separate the generator's variance from that of training
    contamination : ``count`` counts synthetic rows that equal a test row; ``refit`` also finds the nearest real rows,
        and draws the curve without the equal rows where there are any; ``off`` does neither
    contamination_probe : ask the method's language model to continue the table's first rows
    fidelity : measure how the synthetic rows differ from real ones
    n_jobs : fits at a time; has no effect on the figures
    margin : differences of an error up to this size do not matter
    method_name : what sentences call the method; the name of its class by default
    """

    table: Table
    task: Task
    method: Oversampler
    classifier: Classifier
    seeds: Sequence[int] = SEEDS
    amounts: Amounts = field(default_factory=Amounts)
    controls: Mapping[str, Control] = field(default_factory=dict)
    curation: Filter = field(default_factory=Filter)
    validation: Folds = field(default_factory=lambda: Folds(0))
    replicates: Replicates = field(default_factory=Replicates)
    contamination: Literal["count", "refit", "off"] = "refit"
    contamination_probe: bool = False
    fidelity: bool = True
    n_jobs: int = 1
    margin: float = MARGIN
    method_name: str = ""

    def run(self, progress: Progress | None = None) -> TrialResult:
        """Measure everything, and judge it.

        Raises
        ------
        OpalError : table, sizes, method or endpoint do not allow it; the message names what to change
        """
        return _Run(self, progress or Progress(enabled=False)).result()

    def forecast(self) -> str:
        """Rows wanted, and what the first round of requests would cost; asks nothing."""
        rows, total = 0, None
        for seed in self.seeds:
            train = self.task.split(self.table, seed).train
            n = max(self.amounts(len(train.frame)))
            found = self.method.forecast(train, n)
            if found is None:
                return "asks no model, costs nothing"
            rows, total = rows + n, found if total is None else total + found
        return f"{rows} rows over {len(self.seeds)} seeds, {total}"


class _Run:
    """The stages of one trial; each adds to the result."""

    def __init__(self, trial: Trial, progress: Progress) -> None:
        self.trial, self.progress, self.clock = trial, progress, Clock()

    def result(self) -> TrialResult:
        trial, clock = self.trial, self.clock
        with clock("split"):
            self.splits = [trial.task.split(trial.table, seed) for seed in trial.seeds]
            self.steps = [trial.amounts(len(split.train.frame)) for split in self.splits]
        with clock("curve"):  # finds what is wrong with classifier or controls before rows are made and paid for
            raw = self.curve_without_rows()
        with clock("rows"):
            made = [self.make(split.train, max(steps)) for split, steps in zip(self.splits, self.steps, strict=True)]
        self.rows = [rows.frame for rows in made]
        with clock("curve"):
            self.errors = in_seed_order(raw, self.curve_with_rows(), trial.seeds)
        result = TrialResult(self.errors, dict(zip(trial.seeds, made, strict=True)), timings=clock.seconds)
        result.notes += dict.fromkeys(rows.note for rows in made if rows.note)
        measures.note_splits(result, self.splits, trial.controls)
        self.measure_beside(result)
        judge(result, trial.method_name or type(trial.method).__name__, trial.margin)
        return result

    def measure_beside(self, result: TrialResult) -> None:
        """Everything but the curve and its controls."""
        trial, clock = self.trial, self.clock
        some_rows = max(map(len, self.rows)) > 0
        with clock("validation"):
            if trial.validation.folds > 1 and some_rows:
                self.validate(result)
        if trial.replicates.draws and some_rows:
            with clock("replicates"):
                measures.add_replicates(result, trial.method, self.replicate)
        if trial.contamination != "off":
            with clock("contamination"):
                measures.add_contamination(result, self.splits, trial.table, trial.contamination, self.curve_without)
        if trial.contamination_probe:
            with clock("probe"):
                measures.probe_memory(result, trial.method.client, trial.table)
        if trial.fidelity:
            with clock("fidelity"):
                measures.add_fidelity(result, self.splits)

    def make(self, train: Train, n: int) -> Rows:
        """Curated rows for one train set."""
        self.progress.stage(f"rows, seed {train.seed}", rows=n)
        return sample(self.trial.method, train, n, self.trial.curation, self.progress)

    def curve_without_rows(self) -> pd.DataFrame:
        """The errors at amount 0, and those of the controls."""
        self.progress.stage("without synthetic rows", fits=len(self.splits))
        no_rows = [split.train.frame.iloc[:0] for split in self.splits]
        return curve(*self.fits(no_rows, self.steps), self.trial.n_jobs, self.progress, self.trial.controls)

    def curve_with_rows(self) -> pd.DataFrame:
        """The errors at every other amount."""
        some = [[amount for amount in steps if amount] for steps in self.steps]
        self.progress.stage("curve", fits=sum(map(len, some)))
        return curve(*self.fits(self.rows, some), self.trial.n_jobs, self.progress)

    def curve_without(self, left_out: Sequence[np.ndarray]) -> pd.DataFrame:
        """The curve without the rows that a boolean array per seed marks."""
        return curve_without(left_out, self.errors, *self.fits(self.rows, self.steps), self.trial.n_jobs)

    def validate(self, result: TrialResult) -> None:
        validation, cost = self.trial.validation, self.trial.method.remake
        errors, remade = validation(
            *self.fits(self.rows, self.steps), self.make, cost, self.trial.n_jobs, self.trial.controls
        )
        measures.add_validation(result, errors, remade, "" if validation.remakes(cost) else cost)

    def replicate(self) -> tuple[pd.DataFrame, list[Rows]]:
        trial = self.trial
        return trial.replicates(trial.classifier, self.splits, self.rows, trial.table.minority, self.make, trial.n_jobs)

    def fits(self, rows: Sequence[pd.DataFrame], steps: Sequence[Sequence[int]]) -> Fits:
        """What every measurement of a curve takes first."""
        return self.trial.classifier, self.splits, rows, steps, self.trial.table.minority


def in_seed_order(raw: pd.DataFrame, curves: pd.DataFrame, seeds: Sequence[int]) -> pd.DataFrame:
    """The errors without synthetic rows and those with, seed after seed."""
    place = {seed: i for i, seed in enumerate(seeds)}
    errors = pd.concat([raw, curves], ignore_index=True) if len(curves) else raw
    return errors.sort_values("seed", key=lambda s: s.map(place), kind="stable", ignore_index=True)


class Clock:
    """Seconds by stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - start
