"""The stages of one trial, from splits to verdict, ordered so that a fault costs as little as possible."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from opal.evaluate.classifiers import Classifier
from opal.evaluate.curve import curve, curve_without, jobs_of
from opal.evaluate.fits import ahead
from opal.evaluate.judge import decided, judge
from opal.evaluate.looks import AUTO
from opal.evaluate.metrics import with_cost
from opal.progress import Progress
from opal.result import Rows, TrialResult
from opal.table import Split, Train
from opal.trial import measures
from opal.trial.sampling import sample

if TYPE_CHECKING:
    from opal.trial.trial import Trial

Fits = tuple[Classifier, Sequence[Split], Sequence[pd.DataFrame], Sequence[Sequence[int]], Any]


class Stages:
    """The stages of one trial; each adds to the result."""

    def __init__(self, trial: Trial, progress: Progress) -> None:
        self.trial, self.progress, self.clock = trial, progress, Clock()
        self.splits: list[Split] = []
        self.amounts: list[int] | None = None
        self.steps: list[list[int]] = []  # amounts by seed
        self.made: list[Rows] = []
        self.remade: list[Rows] = []  # rows of the validation folds
        self.curves: list[pd.DataFrame] = []
        self.validated: list[pd.DataFrame] = []

    def result(self) -> TrialResult:
        trial = self.trial
        for look in trial.looks:
            if self.splits and self.done:
                break
            self.look_at(look)
        seeds = [split.seed for split in self.splits]
        self.rows = [rows.frame for rows in self.made]
        result = TrialResult(
            in_seed_order(self.curves, seeds), dict(zip(seeds, self.made, strict=True)), timings=self.clock.seconds
        )
        result.notes += dict.fromkeys(rows.note for rows in self.made if rows.note)
        measures.note_splits(result, self.splits, trial.controls, len(trial.table.frame))
        self.measure_beside(result)
        judge(result, trial.method_name or type(trial.method).__name__, trial.margin, trial.level)
        if trial.seeds == AUTO:
            measures.note_looks(result, trial.looks, trial.level)
        return result

    def look_at(self, seeds: Sequence[int]) -> None:
        """Splits, rows, curves and validation errors of further seeds."""
        trial, clock = self.trial, self.clock
        with clock("split"):
            splits = [trial.task.split(trial.table, seed) for seed in seeds]
            if self.amounts is None:  # the same for all seeds, whose train rows may differ by a few
                self.amounts = trial.amounts(min(len(split.train.frame) for split in splits))
            steps = [self.amounts] * len(splits)
        with clock("curve"):  # finds faults of classifier or controls before rows are made and paid for
            self.curves.append(self.costed(self.curve_without_rows(splits, steps)))
        with clock("rows"), ahead(trial.method.client is not None) as make_ahead:
            made: list[Rows] = []
            for split in splits:
                make_ahead(self.fits_ahead(split, split.train.frame.iloc[:0], [0]))
            for split, amounts in zip(splits, steps, strict=True):
                made.append(self.make(split.train, max(amounts)))
                make_ahead(self.fits_ahead(split, made[-1].frame, amounts))
        rows = [of.frame for of in made]
        with clock("curve"):
            self.curves.append(self.costed(self.curve_with_rows(splits, rows, steps)))
        with clock("validation"):
            if trial.validation.folds > 1 and (trial.controls or max(map(len, rows)) > 0):
                self.validate(splits, rows, steps)
        self.splits, self.steps, self.made = self.splits + splits, self.steps + steps, self.made + made

    @property
    def done(self) -> bool:
        """Whether to stop: further seeds would change nothing, or cannot be paid for."""
        stopped = any(rows.stopped for rows in self.made)
        return stopped or decided(self.errors, self.trial.margin, self.trial.level)

    @property
    def errors(self) -> pd.DataFrame:
        """Everything measured so far."""
        return pd.concat([found for found in (*self.curves, *self.validated) if len(found)], ignore_index=True)

    def measure_beside(self, result: TrialResult) -> None:
        """Everything except the curve and its controls."""
        trial, clock = self.trial, self.clock
        if self.validated:
            cost = trial.method.remake
            found, used = pd.concat(self.validated, ignore_index=True), "" if trial.validation.remakes(cost) else cost
            measures.add_validation(result, found, self.remade, used)
        if trial.replicates.draws and max(map(len, self.rows)) > 0:
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

    def fits_ahead(self, split: Split, rows: pd.DataFrame, amounts: Sequence[int]) -> Iterator[tuple]:
        """The fits of one seed that its rows allow, while a language model makes the next seed's."""
        trial, some = self.trial, [amount for amount in amounts if amount]
        yield from jobs_of(*self.fits([split], [rows], [some]))
        steps = [0] if trial.validation.remakes(trial.method.remake) else amounts  # folds may make their own
        of_folds = trial.validation.jobs(trial.classifier, split, rows, steps, trial.table.short, None, trial.controls)
        yield from (job for job, _ in of_folds[0])

    def curve_without_rows(self, splits: Sequence[Split], steps: Sequence[Sequence[int]]) -> pd.DataFrame:
        """The errors at amount 0, and those of the controls."""
        self.progress.stage("without synthetic rows", fits=len(splits))
        no_rows = [split.train.frame.iloc[:0] for split in splits]
        jobs = self.fits(splits, no_rows, steps)
        return curve(*jobs, self.trial.n_jobs, self.progress, self.trial.controls)

    def curve_with_rows(
        self, splits: Sequence[Split], rows: Sequence[pd.DataFrame], steps: Sequence[Sequence[int]]
    ) -> pd.DataFrame:
        """The errors at every other amount."""
        some = [[amount for amount in amounts if amount] for amounts in steps]
        self.progress.stage("curve", fits=sum(map(len, some)))
        return curve(*self.fits(splits, rows, some), self.trial.n_jobs, self.progress)

    def curve_without(self, left_out: Sequence[np.ndarray]) -> pd.DataFrame:
        """The curve without the rows that a boolean array per seed marks."""
        known = in_seed_order(self.curves, [split.seed for split in self.splits])
        return curve_without(left_out, known, *self.fits(self.splits, self.rows, self.steps), self.trial.n_jobs)

    def validate(self, splits: Sequence[Split], rows: Sequence[pd.DataFrame], steps: Sequence[Sequence[int]]) -> None:
        """Errors on folds of the train rows."""
        trial = self.trial
        jobs = self.fits(splits, rows, steps)
        errors, remade = trial.validation(*jobs, self.make, trial.method.remake, trial.n_jobs, trial.controls)
        self.validated.append(self.costed(errors))
        self.remade += remade

    def costed(self, errors: pd.DataFrame) -> pd.DataFrame:
        """The errors, with their costs where those are what is chosen by."""
        costed = self.trial.measure == "cost" and not errors.empty
        return with_cost(errors, self.trial.costs) if costed else errors

    def replicate(self) -> tuple[pd.DataFrame, list[Rows]]:
        trial = self.trial
        return trial.replicates(trial.classifier, self.splits, self.rows, trial.table.short, self.make, trial.n_jobs)

    def fits(self, splits: Sequence[Split], rows: Sequence[pd.DataFrame], steps: Sequence[Sequence[int]]) -> Fits:
        """The first arguments of every measurement of a curve."""
        return self.trial.classifier, splits, rows, steps, self.trial.table.short


def in_seed_order(parts: Sequence[pd.DataFrame], seeds: Sequence[int]) -> pd.DataFrame:
    """The errors without synthetic rows and those with, seed after seed."""
    place = {seed: i for i, seed in enumerate(seeds)}
    errors = pd.concat([part for part in parts if len(part)], ignore_index=True)
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
