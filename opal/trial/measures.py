"""What is measured beside the curve: metrics, tables, warnings and notes of the result."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from opal.errors import LLMError
from opal.evaluate.contamination import Contamination, contamination, pool
from opal.evaluate.controls import Balanced, Control
from opal.evaluate.curve import CLEAN
from opal.evaluate.fidelity import fidelity_by_group
from opal.llm.memory import recall
from opal.methods.base import Oversampler
from opal.result import Rows, TrialResult, Usage
from opal.table import Split, Table

LEVEL = "looks/level"  # of the intervals of seeds=auto
SEEN_ROWS = "validation/seen_rows"  # 1 where the folds used rows that have seen what they hold out
SEEN = (
    "Validation folds used the trial's own synthetic rows, whose maker saw the rows held out in each fold: that "
    "favours larger amounts in the choice. The test error at the chosen amount is honest either way."
)
ASK_ANEW = " validation.remake=always makes rows from each fold's train rows alone, at as many times the requests."


def note_splits(result: TrialResult, splits: Sequence[Split], controls: Mapping[str, Control], table_rows: int) -> None:
    """Sizes, overlap of fixed splits, and controls that are impossible on the table."""
    result.metrics |= {f"seed_{split.seed}/overlap": split.overlap for split in splits}
    result.warnings += [f"{s.overlap} test rows of seed {s.seed} equal a train row" for s in splits if s.overlap]
    few = [sum(len(s.train.rows(g)) for g in s.train.minority_groups) for s in splits]
    result.metrics["train/minority_rows"] = float(np.mean(few))
    result.metrics["table/rows"] = float(table_rows)
    result.metrics["train/rows"] = float(np.mean([len(s.train.frame) for s in splits]))
    result.metrics["test/rows"] = float(np.mean([len(s.test) for s in splits]))
    found = set(result.errors["metric"])
    for name, control in controls.items():
        if f"control/{name}/error" not in found:
            why = control.obstacle(splits[0].train) if isinstance(control, Balanced) else ""
            result.notes.append(f"control {name} is not possible on this table{': ' * bool(why)}{why}")
        elif isinstance(control, Balanced):
            notes = dict.fromkeys(control.method.remark(s.train, s.train.minority_groups) for s in splits)
            result.notes += [f"Control {name}: {note}" for note in notes if note]


def note_looks(result: TrialResult, looks: Sequence[Sequence[int]], level: float) -> None:
    """How many seeds ``seeds=auto`` took, and the level of its intervals."""
    taken, most = len(result.rows), sum(map(len, looks))
    result.metrics |= {"looks/seeds": float(taken), LEVEL: level}
    result.notes.append(
        f"seeds=auto took {taken} of at most {most} seeds; each of its {len(looks)} looks has an interval of "
        f"{100 * level:.3g} %, which together miss the truth in 5 % of cases."
    )


def add_validation(result: TrialResult, errors: pd.DataFrame, remade: Sequence[Rows], used: str) -> None:
    """Validation errors, the seeds that have none, and what rows made for the folds cost.

    Parameters
    ----------
    used : the cost of making rows again (``Oversampler.remake``) where the folds used the trial's own, else ""
    """
    result.errors = pd.concat([result.errors, errors], ignore_index=True)
    if without := [str(seed) for seed in result.rows if seed not in set(errors["seed"])]:
        seeds = ", ".join(without)
        result.notes.append(f"No amount chosen for seed {seeds}: its validation folds are too small, or got no rows.")
    note_paid(result, "validation", remade)
    if len(errors):
        result.metrics[SEEN_ROWS] = float(bool(used))
    if len(errors) and used:
        result.notes.append(SEEN + (ASK_ANEW if used == "paid" else ""))


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
    """The cost of rows made beside the curve's own: ``llm/<stage>_*``, and of this run ``paid/<stage>_*``."""
    usage = sum((r.usage for r in remade), Usage())
    if usage.requests:
        result.prompts[stage] = [p for r in remade for p in r.prompts]
        tokens = usage.prompt_tokens + usage.completion_tokens
        result.metrics |= {f"llm/{stage}_requests": usage.requests, f"llm/{stage}_tokens": tokens}
        paid = {k: getattr(usage, f"paid_{k}") for k in ("requests", "tokens", "money")}
        result.metrics |= {f"paid/{stage}_{k}": v for k, v in paid.items() if v is not None}


def add_contamination(
    result: TrialResult,
    splits: Sequence[Split],
    table: Table,
    how: str,
    without: Callable[[Sequence[np.ndarray]], pd.DataFrame],
) -> None:
    """Rows that equal or resemble test rows, and with ``how="refit"`` the curve without the equal ones.

    Parameters
    ----------
    without : the curve without the rows that a boolean array per seed marks
    """
    rows = [result.rows[split.seed] for split in splits]
    nearest = how != "count"
    checks = [contamination(r.all, s.train, s.test, table, nearest=nearest) for r, s in zip(rows, splits, strict=True)]
    note_contamination(result, checks)
    masks = [check.matched[: len(r.frame)] for check, r in zip(checks, rows, strict=True)]
    if how == "refit" and any(mask.any() for mask in masks):
        clean = without(masks)
        clean = clean.assign(metric=CLEAN + clean["metric"])
        result.errors = pd.concat([result.errors, clean], ignore_index=True)


def note_contamination(result: TrialResult, checks: Sequence[Contamination]) -> None:
    """The findings of the contamination check of every seed."""
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
    """Whether the language model can continue the real table; if it fails, only this answer is lost."""
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


def add_fidelity(result: TrialResult, splits: Sequence[Split]) -> None:
    """How the synthetic rows differ from the minority train rows: by seed in tables, the mean over seeds as metrics."""
    found = {s.seed: fidelity_by_group(result.rows[s.seed].frame, s.train) for s in splits}
    table = pd.DataFrame({seed: of.metrics for seed, of in found.items()})
    result.metrics |= table.mean(axis=1).to_dict()
    result.tables["fidelity"] = table.rename_axis("metric").reset_index()
    columns = [of.columns.assign(seed=seed) for seed, of in found.items() if len(of.columns)]
    if columns:
        result.tables["fidelity_columns"] = pd.concat(columns)[["seed", "column", "distance", "chance"]]
