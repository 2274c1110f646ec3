"""The answer as people read it: a table and sentences on the terminal, in Markdown, and as CSV."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from opal.evaluate.actions import NOTHING, Measured
from opal.evaluate.answer import Answer, answer
from opal.evaluate.gain import THRESHOLDS
from opal.evaluate.metrics import BY_NAME
from opal.evaluate.verdict import MARGIN
from opal.record.run_record import singles_of
from opal.trial.measures import LEVEL, SEEN_ROWS

if TYPE_CHECKING:
    from mlflow.entities import Run

    from opal.report.read.load import Loaded
    from opal.result import TrialResult
    from opal.trial.trial import Trial

# Figures of whole runs that answers need, and those of which several runs have a mean; the others are added.
SINGLES = ("llm/", "time/rows", "table/", "train/", "test/", "looks/", SEEN_ROWS)
MEANS = ("table/rows", "train/rows", "train/minority_rows", "test/rows", LEVEL)

# How to take a free action with scikit-learn alone.
RECIPES = {
    "class_weight": 'classifier.fit(X, y, sample_weight=compute_sample_weight("balanced", y))',
    "base_rate_threshold": "predicted = classifier.predict_proba(X_new)[:, minority] > (y == minority_label).mean()",
    "cost_threshold": "predicted = proba[:, minority] > false_positive / (false_positive + odds * false_negative)  "
    "# odds = prevalence / (1 - prevalence) * (1 - share) / share, of the minority's share in y",
    "tuned_threshold": 'TunedThresholdClassifierCV(classifier, scoring="balanced_accuracy").fit(X, y)',
    "balanced_forest": "imblearn.ensemble.BalancedRandomForestClassifier().fit(X, y)",
}


def measured(
    method: str, errors: pd.DataFrame, metrics: Mapping[str, float | None], typed: Sequence[str] = ()
) -> Measured:
    """What the answer needs of a run.

    Parameters
    ----------
    method : its display name
    errors : tidy [seed, amount, metric, value]
    metrics : its single figures, as `opal.record.run_record.singles_of` gives them or MLflow has them
    typed : overrides of the command line, where known
    """
    known = {name: value for name, value in metrics.items() if value is not None}
    paid, cost = "llm/requests" in known, {"seconds": known.get("time/rows", 0.0)}
    if paid:
        cost["tokens"] = known.get("llm/prompt_tokens", 0.0) + known.get("llm/completion_tokens", 0.0)
        if "llm/money" in known:
            cost["money"] = known["llm/money"]
    seen = known.get(SEEN_ROWS, paid and "llm/validation_requests" not in known)  # 0.1 had no such metric
    sizes = {"level": known.get(LEVEL, 0.95), "minority_rows": known.get("train/minority_rows", float("nan"))}
    for part in ("test", "table"):
        if f"{part}/rows" in known and known.get("train/rows"):
            sizes[f"{part}_share"] = known[f"{part}/rows"] / known["train/rows"]
    return Measured(method, errors, paid, cost, bool(seen), typed=tuple(typed), **sizes)


def answers(runs: Iterable[tuple[str, str, Measured]], margin: float = MARGIN) -> list[Answer]:
    """One answer per table and classifier.

    Parameters
    ----------
    runs : (data, classifier, what was measured)
    """
    groups: dict[tuple[str, str], list[Measured]] = {}
    for data, classifier, run in runs:
        groups.setdefault((data, classifier), []).append(run)
    found = [answer(data, classifier, group, margin) for (data, classifier), group in groups.items()]
    return [one for one in found if one is not None]


def answer_of(trials: Iterable[tuple[Trial, TrialResult]], classifier: str, typed: Sequence[str] = ()) -> Answer | None:
    """The answer of trials of one table and one classifier, run in this process.

    Parameters
    ----------
    classifier : its name in the sentences
    typed : overrides of the command line, where there was one

    Returns
    -------
    None where they measured no validation errors to choose by
    """
    given, margin = [], MARGIN
    for trial, result in trials:
        name = trial.method_name or type(trial.method).__name__.lower()
        given.append((trial.table.name, classifier, measured(name, result.errors, singles_of(result), typed)))
        margin = trial.margin
    return next(iter(answers(given, margin)), None)


@dataclass(frozen=True)
class Finished:
    """A recorded run, as the answer needs it: tidy ``errors`` [seed, amount, metric, value], single figures."""

    data: str
    classifier: str
    method: str
    config_hash: str
    errors: pd.DataFrame
    metrics: Mapping[str, float]
    typed: Sequence[str] = ()

    @classmethod
    def of(cls, run: Run, errors: pd.DataFrame) -> Finished:
        """An MLflow run."""
        data = str(run.info.run_name).partition("/")[0]  # the table's name, where the option is csv
        classifier, method = (run.data.params.get(key, "") for key in ("classifier", "method"))
        digest, typed = (run.data.tags.get(f"opal.{tag}", "") for tag in ("config_hash", "overrides"))
        return cls(data, classifier, method, digest, errors, run.data.metrics, shlex.split(typed))


def finished_in(loaded: Loaded) -> list[Finished]:
    """The runs of a comparison, which were loaded with every metric and the figures of `SINGLES`."""
    values, found = loaded.values, []
    singles, by_run = values[values["seed"] == -1], values[values["seed"] != -1].groupby("run")
    for i, run in enumerate(loaded.runs.itertuples()):
        if i not in by_run.groups:
            continue
        mine = by_run.get_group(i)
        control = mine["control"].astype(str)
        names = mine["metric"].astype(str)
        errors = mine[["seed", "amount", "value"]].assign(
            metric=names.where(control == "", "control/" + control + "/" + names)
        )
        own = singles[singles["run"] == i]
        metrics = dict(zip(own["metric"].astype(str), own["value"], strict=True))
        typed = shlex.split(run.overrides)
        found.append(Finished(run.data, run.classifier, run.method, run.config_hash, errors, metrics, typed))
    return found


def answers_of(runs: Sequence[Finished], margin: float = MARGIN) -> list[Answer]:
    """The answers of recorded runs.

    Runs of one method that differ only in their seeds are pooled; runs that differ in a setting are labelled with
    their hash.
    """
    groups: dict[tuple[str, str, str], list[Finished]] = {}
    for run in runs:
        groups.setdefault((run.data, run.classifier, run.method), []).append(run)
    given = []
    for (data, classifier, method), group in groups.items():
        for label, members in pooled(method, group):
            metrics = pd.DataFrame([run.metrics for run in members])
            errors = pd.concat([run.errors for run in members], ignore_index=True)
            total = metrics.sum(min_count=1) if len(members) > 1 else metrics.iloc[0]
            for name in total.index.intersection(MEANS):
                total[name] = metrics[name].mean()
            given.append((data, classifier, measured(label, errors, total.dropna().to_dict(), members[0].typed)))
    return answers(given, margin)


def pooled(method: str, group: list[Finished]) -> list[tuple[str, list[Finished]]]:
    """Runs of one method by label: all together where no two share a seed, else each with its hash."""
    seeds = pd.concat([pd.Series(run.errors["seed"].unique()) for run in group])
    if len(group) == 1 or seeds.is_unique:
        return [(method, group)]
    return [(f"{method} #{run.config_hash[:6]}", [run]) for run in group]


def recipe(found: Answer) -> str:
    """The line of scikit-learn that takes a free action; "" where no one line does, as for several thresholds."""
    action = found.recommended
    return "" if _has_own_thresholds(found) or not action.free else RECIPES.get(action.name, "")


def _has_own_thresholds(found: Answer) -> bool:
    """Whether the recommendation moves a threshold for each of several classes."""
    return len(found.by_class) > 0 and (found.recommended.moved or found.recommended.name in THRESHOLDS)


def how(found: Answer) -> str:
    """The command, or the line of scikit-learn, that does what is recommended; "" for nothing.

    Of the run's overrides those of its data, and of the recommended method, are repeated.
    """
    action, typed = found.recommended, [word.lstrip("+") for word in found.typed]
    if action.name == NOTHING:
        return ""
    name = action.name.partition(" ")[0]
    keep = [word for word in typed if re.match(r"data(=[^,]*$|\.)|data_dir=|task=", word)]
    if not any(word.startswith("data=") for word in keep):
        keep.insert(0, f"data={found.data}")
    own = [word for word in typed if re.match(r"method\.[^=]+=[^,]*$|(llm|prompt|curate)(\.[^=]+)?=[^,]*$", word)]
    if not (name == "llm" or f"method={name}" in typed):
        own = []
    method = [] if action.free else [f"method={name}", *own]
    if _has_own_thresholds(found):
        return shlex.join(["opal", "fit", *keep, *method, f"classifier={found.classifier}", "output=model"])
    if line := recipe(found):
        return line
    if action.free and action.name not in ("duplicate", "smote"):
        return "see docs/controls.md"
    rows = [f"rows={found.rows}"] if found.rows else []  # a control balances, as augment does without rows=
    method = method or [f"method={name}"]
    then = f"  # then {RECIPES['base_rate_threshold']}" if action.moved else ""
    return shlex.join(["opal", "augment", *keep, *method, *rows, "output=balanced.csv"]) + then


def rows_of(found: Answer) -> tuple[list[str], list[list[str]]]:
    """Head and cells of the table."""
    table = found.table
    kept = [c for c in table if table[c].notna().any()]
    head = [BY_NAME[c].words if c in BY_NAME else c for c in kept]
    return head, [[_cell(c, value) for c, value in zip(kept, row, strict=True)] for row in table[kept].to_numpy(object)]


def markdown(found: Sequence[Answer]) -> str:
    """Tables and sentences of all answers."""
    parts = []
    for one in found:
        head, rows = rows_of(one)
        parts += [" ".join(one.sentences)]
        if command := how(one):
            parts.append(f"`{command}`")
        parts.append(markdown_table(head, rows))
    return "\n\n".join(parts)


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [f"| {' | '.join(head)} |", f"|{' --- |' * len(head)}", *(f"| {' | '.join(row)} |" for row in rows)]
    return "\n".join(lines)


def frame(found: Sequence[Answer]) -> pd.DataFrame:
    """All tables in one, with data and classifier in front."""
    tables = [one.table.assign(data=one.data, classifier=one.classifier, measure=one.measure) for one in found]
    whole = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=["data", "classifier"])
    return whole[["data", "classifier", *(c for c in whole if c not in ("data", "classifier"))]]


def show(found: Sequence[Answer]) -> None:
    """Print every answer: the table in colour on a terminal, plain elsewhere; below it the sentences."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console(width=None if sys.stdout.isatty() else 160, soft_wrap=False)
    for one in found:
        head, rows = rows_of(one)
        table = Table(
            title=escape(f"{one.data}, {one.classifier}: chosen by the {BY_NAME[one.measure].words} on folds")
        )
        for i, name in enumerate(head):
            table.add_column(name, justify="left" if i == 0 else "right")
        for i, row in enumerate(rows):
            table.add_row(*map(escape, row), style="bold green" if i == 0 else None)
        console.print(table)
        for sentence in one.sentences:
            console.print(escape(sentence), highlight=False, soft_wrap=not sys.stdout.isatty())
        if command := how(one):
            console.print(f"  {escape(command)}", highlight=False, soft_wrap=True)


def _cell(name: str, value: Any) -> str:
    if value is None or value != value:
        return ""
    if name in ("rows", "tokens"):
        return f"{int(value):,}" if value else ""
    if name in ("seconds", "money"):
        return f"{value:.3g}"
    return f"{value:.4f}" if isinstance(value, float) else str(value)
