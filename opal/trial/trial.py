"""One trial, start to end: split, make rows, measure the curve and its controls. Knows neither Hydra nor MLflow."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from math import ceil

import numpy as np
import pandas as pd

from opal.evaluate.classifiers import Classifier
from opal.evaluate.controls import Control
from opal.evaluate.curate import Filter, curate
from opal.evaluate.curve import Amounts, curve, curve_without
from opal.evaluate.replicate import Replicates
from opal.evaluate.validate import Folds
from opal.methods.base import Oversampler
from opal.progress import Progress
from opal.result import Rows, TrialResult
from opal.table import Table, Train
from opal.tasks.base import Task
from opal.trial import measures

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
    contamination_probe: bool = False,
    replicates: Replicates | None = None,
) -> TrialResult:
    """Error on untouched test rows against the number of synthetic rows, over ``seeds``.

    Parameters
    ----------
    contamination_check : count counts synthetic rows that equal a test row, refit also looks up the nearest real
        rows and draws the curve without the equal ones where there are any, off does neither
    curation : leaves out rows before they are used
    validation : measures errors on folds of train too, by which an amount can be chosen
    fidelity : measure how the rows differ from real ones
    contamination_probe : ask the method's language model to continue the table's first rows
    replicates : tells the generator's variance from that of training, by further draws and trainings

    Raises
    ------
    OpalError : table, sizes, method or endpoint do not allow it; the sentence names what to change.
    """
    progress, clock = progress or Progress(enabled=False), Clock()
    with clock("split"):
        splits = [task.split(table, seed) for seed in seeds]
        steps = [(amounts or Amounts())(len(split.train.frame)) for split in splits]
    with clock("curve"):  # what is wrong with classifier or controls shows before rows are made and paid for
        progress.stage("without synthetic rows", fits=len(splits))
        no_rows = [split.train.frame.iloc[:0] for split in splits]
        raw = curve(classifier, splits, no_rows, steps, table.minority, n_jobs, progress, controls)
    with clock("rows"):
        made = [
            sample(method, split.train, max(most), curation or Filter(), progress)
            for split, most in zip(splits, steps, strict=True)
        ]
    rows = [r.frame for r in made]
    with clock("curve"):
        some = [[a for a in most if a] for most in steps]
        progress.stage("curve", fits=sum(map(len, some)))
        errors = in_seed_order(raw, curve(classifier, splits, rows, some, table.minority, n_jobs, progress), seeds)
    result = TrialResult(errors, dict(zip(seeds, made, strict=True)), timings=clock.seconds)
    result.notes += dict.fromkeys(r.note for r in made if r.note)
    measures.note_splits(result, splits, controls or {})

    def make(train: Train, n: int) -> Rows:
        return sample(method, train, n, curation or Filter(), progress)

    def without(left_out: Sequence[np.ndarray]) -> pd.DataFrame:
        return curve_without(left_out, errors, classifier, splits, rows, steps, table.minority, n_jobs)

    with clock("validation"):
        if validation and validation.folds > 1 and max(map(len, rows)):
            found = validation(classifier, splits, rows, steps, table.minority, make, method.remake, n_jobs)
            measures.add_validation(result, *found, "" if validation.remakes(method.remake) else method.remake)
    if replicates and replicates.draws and max(map(len, rows)):
        with clock("replicates"):
            again = partial(replicates, classifier, splits, rows, table.minority, make, n_jobs)
            measures.add_replicates(result, method, again)
    if contamination_check != "off":
        with clock("contamination"):
            measures.add_contamination(result, splits, table, contamination_check, without)
    if contamination_probe:
        with clock("probe"):
            measures.probe_memory(result, getattr(method, "client", None), table)
    if fidelity:
        with clock("fidelity"):
            measures.add_fidelity(result, splits)
    return result


def in_seed_order(raw: pd.DataFrame, curves: pd.DataFrame, seeds: Sequence[int]) -> pd.DataFrame:
    """The errors without synthetic rows and those with, seed after seed."""
    place = {seed: i for i, seed in enumerate(seeds)}
    errors = pd.concat([raw, curves], ignore_index=True) if len(curves) else raw
    return errors.sort_values("seed", key=lambda s: s.map(place), kind="stable", ignore_index=True)


def sample(method: Oversampler, train: Train, n: int, curation: Filter, progress: Progress) -> Rows:
    """``n`` curated synthetic rows of one split: method and curation see train alone.

    Where curation leaves rows out, more are asked for; after three rounds the rows there are must do.
    """
    progress.stage(f"rows, seed {train.seed}", rows=n)
    ask, earlier = n, None
    for _ in range(CURATION_ROUNDS):
        made = method.sample(train, ask, progress)
        made = made.after(earlier) if earlier else made
        rng = np.random.default_rng([train.seed, 2])
        kept, made.funnel = curate(made.frame, train, curation, rng, made.funnel)
        chosen = method.arrange(kept, train, n)
        if len(chosen) == n or len(kept) == len(made.frame) or chosen.empty or made.stopped:
            break
        ask, earlier = ceil(1.1 * ask * n / len(chosen)), made
    if len(chosen) == n:
        made.stopped = ""
    elif len(kept) < len(made.frame) and n:
        short = f"curation kept {len(chosen)} of {len(made.frame)} rows where {n} were wanted"
        made.stopped = "; ".join(filter(None, (made.stopped, short)))
    made.frame, made.funnel.kept = chosen, len(chosen)
    return made


class Clock:
    """Seconds by stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - start
