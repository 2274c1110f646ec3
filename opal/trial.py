"""One trial, start to end: split, make rows, measure the curve and its controls. Knows neither Hydra nor MLflow."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from math import ceil
from typing import Any

import numpy as np
import pandas as pd

from opal.errors import LLMError
from opal.evaluate.classifiers import Classifier
from opal.evaluate.contamination import Contamination, contamination, pool
from opal.evaluate.controls import Balanced, Control
from opal.evaluate.curate import Filter, curate
from opal.evaluate.curve import Amounts, curve, curve_without
from opal.evaluate.fidelity import fidelity_by_group
from opal.evaluate.replicate import Replicates
from opal.evaluate.validate import Folds
from opal.llm.memory import recall
from opal.methods.base import Oversampler
from opal.progress import Progress
from opal.result import Rows, TrialResult, Usage
from opal.table import Split, Table, Train
from opal.tasks.base import Task

CURATION_ROUNDS = 3  # each asks for as many more rows as the last round's loss calls for

SEEN = (
    "Validation folds used the trial's own synthetic rows, whose maker saw the rows held out in each fold: that "
    "favours larger amounts in the choice. The test error at the chosen amount is honest either way."
)
ASK_ANEW = " validation.remake=always makes rows from each fold's train rows alone, at as many times the requests."


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
        none = [[a for a in most if not a] for most in steps]
        raw = curve(classifier, splits, no_rows, none, table.minority, n_jobs, progress, controls)
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
    note_splits(result, splits, controls or {})

    def make(train: Train, n: int) -> Rows:
        return sample(method, train, n, curation or Filter(), progress)

    with clock("validation"):
        if validation and validation.folds > 1 and max(map(len, rows)):
            found = validation(classifier, splits, rows, steps, table.minority, make, method.remake, n_jobs)
            add_validation(result, *found)
            if len(found[0]) and not validation.remakes(method.remake):
                result.notes.append(SEEN + (ASK_ANEW if method.remake == "paid" else ""))
    if replicates and replicates.draws and max(map(len, rows)):
        with clock("replicates"):
            again = partial(replicates, classifier, splits, rows, table.minority, make, n_jobs)
            add_replicates(result, method, again)
    if contamination_check != "off":
        with clock("contamination"):
            nearest = contamination_check != "count"
            checks = [
                contamination(r.all, s.train, s.test, table, nearest=nearest) for r, s in zip(made, splits, strict=True)
            ]
            note_contamination(result, checks)
            masks = [check.matched[: len(r)] for check, r in zip(checks, rows, strict=True)]
            if contamination_check == "refit" and any(mask.any() for mask in masks):
                clean = curve_without(masks, errors, classifier, splits, rows, steps, table.minority, n_jobs)
                clean = clean.assign(metric="without_test_matches/" + clean["metric"])
                result.errors = pd.concat([result.errors, clean], ignore_index=True)
    if contamination_probe:
        with clock("probe"):
            probe_memory(result, getattr(method, "client", None), table)
    if fidelity:
        with clock("fidelity"):
            note_fidelity(result, splits)
    return result


def in_seed_order(raw: pd.DataFrame, curves: pd.DataFrame, seeds: Sequence[int]) -> pd.DataFrame:
    """The errors without synthetic rows and those with, seed after seed."""
    place = {seed: i for i, seed in enumerate(seeds)}
    errors = pd.concat([part for part in (raw, curves) if len(part)] or [raw], ignore_index=True)
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


def add_validation(result: TrialResult, errors: pd.DataFrame, remade: Sequence[Rows]) -> None:
    """Validation errors, the seeds that have none, and what rows made for the folds cost."""
    result.errors = pd.concat([result.errors, errors], ignore_index=True)
    if without := [str(seed) for seed in result.rows if seed not in set(errors["seed"])]:
        seeds = ", ".join(without)
        result.notes.append(f"No amount chosen for seed {seeds}: its validation folds are too small, or got no rows.")
    note_paid(result, "validation", remade)


def add_replicates(
    result: TrialResult, method: Oversampler, again: Callable[[], tuple[pd.DataFrame, list[Rows]]]
) -> None:
    """Errors by draw and training seed, and what the further draws cost."""
    if method.remake == "never":
        result.notes.append("No variance of the generator: this method's rows cannot be drawn again.")
        return
    result.tables["replicates"], remade = again()
    note_paid(result, "replicates", remade)


def note_paid(result: TrialResult, stage: str, remade: Sequence[Rows]) -> None:
    """What rows made beside the curve's own took: ``llm/<stage>_*``, and this time ``paid/<stage>_*``."""
    usage = sum((r.usage for r in remade), Usage())
    if usage.requests:
        result.prompts[stage] = [p for r in remade for p in r.prompts]
        tokens = usage.prompt_tokens + usage.completion_tokens
        result.metrics |= {f"llm/{stage}_requests": usage.requests, f"llm/{stage}_tokens": tokens}
        paid = {k: getattr(usage, f"paid_{k}") for k in ("requests", "tokens", "money")}
        result.metrics |= {f"paid/{stage}_{k}": v for k, v in paid.items() if v is not None}


def note_splits(result: TrialResult, splits: Sequence[Split], controls: Mapping[str, Control]) -> None:
    """Overlap of fixed splits, and controls that the table does not allow."""
    result.metrics |= {f"seed_{split.seed}/overlap": split.overlap for split in splits}
    result.warnings += [f"{s.overlap} test rows of seed {s.seed} equal a train row" for s in splits if s.overlap]
    few = [sum(len(s.train.rows(g)) for g in s.train.minority_groups) for s in splits]
    result.metrics["train/minority_rows"] = float(np.mean(few))
    result.metrics["train/rows"] = float(np.mean([len(s.train.frame) for s in splits]))
    found = set(result.errors["metric"])
    for name, control in controls.items():
        if f"control/{name}/error" not in found:
            why = control.obstacle(splits[0].train) if isinstance(control, Balanced) else ""
            result.notes.append(f"control {name} is not possible on this table{': ' * bool(why)}{why}")
        elif isinstance(control, Balanced):
            notes = dict.fromkeys(control.method.shortcut(s.train, s.train.minority_groups) for s in splits)
            result.notes += [f"Control {name}: {note}" for note in notes if note]


def note_contamination(result: TrialResult, checks: Sequence[Contamination]) -> None:
    """What the contamination check of every seed found."""
    found = pool(checks)
    by_seed = {f"seed_{s}/{k}": v for s, c in zip(result.rows, checks, strict=True) for k, v in c.metrics.items()}
    result.metrics |= found.metrics | by_seed
    result.tables["contamination"] = found.per_row
    if found.warning:
        result.warnings.append(found.sentence)
    elif len(found.per_row):
        result.notes.append(found.sentence)
    if 0 < found.looked_up < len(found.per_row):
        result.notes.append(
            f"Nearest real rows were looked up for {found.looked_up:,} of {len(found.per_row):,} synthetic rows, drawn "
            "at random; equal rows were counted over all."
        )


def probe_memory(result: TrialResult, client: Any, table: Table) -> None:
    """Whether the language model can continue the real table; a fault of it costs no more than this answer."""
    if client is None:
        result.notes.append("contamination_probe asks language models alone: this method has none.")
        return
    try:
        found = recall(client, table.frame, table.schema)
    except LLMError as fault:
        result.notes.append(f"The model's memory of the table is not known: {str(fault).rstrip('.')}.")
        return
    (result.warnings if found.known else result.notes).append(found.sentence)
    result.metrics |= found.metrics
    result.tables["memory"], result.prompts["memory"] = found.rows, found.prompts


def note_fidelity(result: TrialResult, splits: Sequence[Split]) -> None:
    """How the synthetic rows differ from the minority train rows: by seed in tables, the mean over seeds as metrics."""
    found = {s.seed: fidelity_by_group(result.rows[s.seed].frame, s.train) for s in splits}
    table = pd.DataFrame({seed: of.metrics for seed, of in found.items()})
    result.metrics |= table.mean(axis=1).to_dict()
    result.tables["fidelity"] = table.rename_axis("metric").reset_index()
    columns = [of.columns.assign(seed=seed) for seed, of in found.items() if len(of.columns)]
    if columns:
        result.tables["fidelity_columns"] = pd.concat(columns)[["seed", "column", "distance", "chance"]]


class Clock:
    """Seconds by stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - start
