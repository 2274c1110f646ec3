"""What should I do with this table? Every action is compared on folds of train; test rows only tell how well it did.

An action is: nothing, a free control, or a method at an amount, with or without a moved threshold. All are measured on
the same folds of the same train rows. The free action that does best there is recommended, unless an action with rows
does better by more than two standard errors, paired by seed; of several such actions the cheapest within one standard
error of the best. `scripts/bench_answers.py` compares this rule with fixed policies.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from opal.evaluate.curve import MOVED
from opal.evaluate.judge import CHOSEN_BY, control_names
from opal.evaluate.metrics import BY_NAME
from opal.evaluate.validate import PREFIX
from opal.evaluate.verdict import MARGIN, Word, confidence_interval, word_of

NOTHING = "nothing"
SHOWN = ("error", "balanced_error", "worst_group_error", "roc_auc")
# Standard errors by which rows must beat the best free action, and within which the cheapest is taken.
CLEAR, NEAR = 2.0, 1.0
MOVED_ONLY, OTHER_CONTROL, MADE, ASKED = 1, 2, 3, 4  # prices of actions; doing nothing is 0
THRESHOLDS = ("base_rate_threshold", "tuned_threshold")  # free, and no fit of the classifier is changed


@dataclass(frozen=True)
class Measured:
    """One run, as far as the answer needs it.

    Parameters
    ----------
    method : what it is called
    errors : tidy [seed, amount, metric, value]
    paid : whether its rows were asked of a language model
    cost : seconds, tokens and money that its rows took, where known
    seen : whether the folds used rows made from all train rows, the held-out ones included
    """

    method: str
    errors: pd.DataFrame
    paid: bool = False
    cost: Mapping[str, float] = field(default_factory=dict)
    seen: bool = False


@dataclass(frozen=True)
class Action:
    """Something to do with the table.

    Parameters
    ----------
    name : control or method, or `NOTHING`
    amount : synthetic rows of the method, 0 for the others
    moved : whether the method's threshold is moved to the minority's share of the rows trained on
    price : order of cost: nothing, thresholds, other controls, free rows, rows of a language model
    seen : whether its rows have seen the rows that the folds hold out: its validation error is too good
    """

    name: str
    amount: int = 0
    moved: bool = False
    price: int = 0
    seen: bool = False

    @property
    def free(self) -> bool:
        """Whether it needs no method."""
        return not self.amount

    @property
    def words(self) -> str:
        """What a reader calls it."""
        if self.free:
            return self.name.replace("_", " ")
        return f"{self.name}, {self.amount} rows" + (", moved threshold" if self.moved else "")


@dataclass(frozen=True)
class Gain:
    """Mean over seeds of a difference in error, better first (negative), with its 95 % interval."""

    difference: float
    low: float
    high: float
    seeds: int
    margin: float = MARGIN

    @property
    def word(self) -> Word:
        return word_of(self.low, self.high, self.margin)

    def changes(self, measure: str) -> str:
        """``lowers the error by 0.0100 (95 % interval of the change -0.0200 to +0.0001 over 5 seeds)``."""
        verb = "lowers" if self.difference < 0 else "raises"
        if self.seeds < 2:
            return f"{verb} the {measure} by {abs(self.difference):.4f} (one seed, no interval)"
        interval = f"95 % interval of the change {self.low:+.4f} to {self.high:+.4f} over {self.seeds} seeds"
        return f"{verb} the {measure} by {abs(self.difference):.4f} ({interval})"

    def __str__(self) -> str:
        interval = f" ({self.low:+.4f} to {self.high:+.4f})" if self.seeds > 1 else ""
        return f"{self.difference:+.4f}{interval}"


@dataclass(frozen=True)
class Answer:
    """What to do with one table and one classifier.

    Parameters
    ----------
    data, classifier : names
    measure : the metric by which the folds choose
    recommended : the action that they choose
    best_free : the free action that they would choose, nothing included
    table : one row per action, the recommended one first: action, rows, validation error, test metrics, cost
    against_nothing, against_free : how the recommendation did on test rows
    seen : actions that the folds cannot judge, as their rows have seen the held-out rows; how each did on test rows
        against the best free action
    threshold, information : the part of the gain that the best moved threshold makes without rows, and the rest;
        None without synthetic rows
    """

    data: str
    classifier: str
    measure: str
    recommended: Action
    best_free: Action
    table: pd.DataFrame
    against_nothing: Gain
    against_free: Gain
    threshold: Gain | None = None
    information: Gain | None = None
    seen: Mapping[Action, Gain] = field(default_factory=dict)

    @property
    def sentences(self) -> list[str]:
        """The answer in plain words."""
        measure, done = BY_NAME[self.measure].words, self.recommended
        if done.name == NOTHING:
            said = [
                f"Recommended for {self.data} with {self.classifier}: leave the table as it is. On folds of the "
                f"train rows nothing free lowers the {measure}, and no rows do so clearly."
            ]
        else:
            said = [
                f"Recommended for {self.data} with {self.classifier}: {done.words}. On test rows it "
                f"{self.against_nothing.changes(measure)}, against doing nothing: {self.against_nothing.word}."
            ]
        if not done.free:
            free, against = self.best_free.words, self.against_free
            said.append(f"It {against.changes(measure)}, against the best free action ({free}): {against.word}.")
        elif done.name != NOTHING:
            said.append("It is free: no rows of a language model are needed.")
        for action, against in self.seen.items():
            anew = " (validation.remake=always makes them anew for each fold)" if action.price == ASKED else ""
            said.append(
                f"The folds cannot judge {action.words}: its rows were made from all train rows, the held-out ones "
                f"included{anew}. On test rows it "
                f"{against.changes(measure)}, against the best free action ({self.best_free.words}): {against.word}."
            )
        if self.threshold is not None and self.information is not None:
            said.append(
                f"Where gains come from: a moved threshold without rows, which is free, "
                f"{self.threshold.changes(measure)}; rows beyond it: {self.information} ({self.information.word})."
            )
        return said


def answer(data: str, classifier: str, runs: Sequence[Measured], margin: float = MARGIN) -> Answer | None:
    """Compare all actions of the runs of one table and classifier, on the same splits.

    Returns
    -------
    None where the runs measured no validation errors, or share no seed
    """
    known = {metric for run in runs for metric in run.errors["metric"].unique()}
    measure = next((name for name in CHOSEN_BY if PREFIX + name in known), None)
    if measure is None:
        return None
    validation, test, prices = collect(runs, measure)
    if validation.empty:  # no seed has all actions
        return None
    chosen = choose(validation[[action for action in validation if not action.seen]])
    free = best(validation[[action for action in validation if action.free]])
    seen = {}
    for name in dict.fromkeys(action.name for action in validation if action.seen):
        most = best(validation[[action for action in validation if action.name == name and not action.free]])
        seen[most] = gain(test[measure], most, free, margin)
    threshold, information = sources(validation, test[measure], margin)
    return Answer(
        data,
        classifier,
        measure,
        chosen,
        free,
        table=table_of(validation, test, prices, chosen),
        against_nothing=gain(test[measure], chosen, Action(NOTHING), margin),
        against_free=gain(test[measure], chosen, free, margin),
        threshold=threshold,
        information=information,
        seen=seen,
    )


def collect(
    runs: Sequence[Measured], measure: str
) -> tuple[pd.DataFrame, dict[str, pd.DataFrame], dict[str, Mapping[str, float]]]:
    """Validation errors, and each shown test metric, by seed (rows) and action (columns); costs by method."""
    validation: dict[Action, pd.Series] = {}
    test: dict[str, dict[Action, pd.Series]] = {metric: {} for metric in dict.fromkeys((*SHOWN, measure))}
    for run in runs:
        by_metric = {str(m): of for m, of in run.errors.groupby("metric", sort=False)}
        for action, place in _actions(run, by_metric).items():
            if PREFIX + place + measure not in by_metric or action in validation:
                continue
            found = _at(by_metric[PREFIX + place + measure], action.amount)
            if found.empty:
                continue
            validation[action] = found
            for metric, columns in test.items():
                name = metric if action.moved and metric == "roc_auc" else place + metric
                if name in by_metric:
                    columns[action] = _at(by_metric[name], action.amount)
    frame = pd.DataFrame(validation)
    whole = frame[[action for action in frame if frame[action].notna().sum() == frame.notna().sum().max()]].dropna()
    return whole, {metric: pd.DataFrame(columns) for metric, columns in test.items()}, {r.method: r.cost for r in runs}


def _actions(run: Measured, by_metric: Mapping[str, pd.DataFrame]) -> dict[Action, str]:
    """The actions that a run measured, with the prefix of their metrics."""
    found = {Action(NOTHING): ""}
    found |= {
        Action(c, price=MOVED_ONLY if c in THRESHOLDS else OTHER_CONTROL): f"control/{c}/"
        for c in control_names(run.errors)
    }
    amounts = sorted(by_metric["error"]["amount"].unique()) if "error" in by_metric else []
    price = ASKED if run.paid else MADE
    for amount in (int(a) for a in amounts if a):
        found[Action(run.method, amount, price=price, seen=run.seen)] = ""
        found[Action(run.method, amount, moved=True, price=price, seen=run.seen)] = MOVED
    return found


def _at(errors: pd.DataFrame, amount: int) -> pd.Series:
    return errors[errors["amount"] == amount].set_index("seed")["value"]


def choose(validation: pd.DataFrame) -> Action:
    """The action that the folds recommend.

    Parameters
    ----------
    validation : one row per seed, one column per action
    """
    free, first = best(validation[[action for action in validation if action.free]]), best(validation)
    clear = [action for action in validation if _ahead(validation, action, free, CLEAR)]
    if first not in clear:
        return free
    near = [action for action in clear if not _ahead(validation, first, action, NEAR)]
    means = validation.mean()
    return min(near, key=lambda action: (action.price, action.amount, action.moved, means[action]))


def best(validation: pd.DataFrame) -> Action:
    """The action of least mean error; the cheapest among equals."""
    means = validation.mean().round(9)
    return min(validation, key=lambda action: (means[action], action.price, action.amount, action.moved))


def _ahead(validation: pd.DataFrame, action: Action, other: Action, errors: float) -> bool:
    """Whether the action's mean error is lower than the other's by more than so many standard errors."""
    gap = validation[other] - validation[action]
    deviation = gap.std(ddof=1) if len(gap) > 1 else 0.0
    return bool(gap.mean() > errors * deviation / np.sqrt(len(gap)) + 1e-12)


def gain(test: pd.DataFrame, action: Action, other: Action, margin: float) -> Gain:
    """The test error of one action less that of another, paired by seed."""
    gap = (test[action] - test[other]).dropna().to_numpy(float)
    low, high = confidence_interval(gap)
    return Gain(float(np.mean(gap)), low, high, len(gap), margin)


def sources(validation: pd.DataFrame, test: pd.DataFrame, margin: float) -> tuple[Gain, Gain] | tuple[None, None]:
    """Where a method's gain comes from: the best free threshold against nothing, and the method against that."""
    rows = [action for action in validation if not action.free and not action.seen]
    thresholds = [action for action in validation if action.name in THRESHOLDS]
    if not rows or not thresholds:
        return None, None
    moved, with_rows = best(validation[thresholds]), best(validation[rows])
    return gain(test, moved, Action(NOTHING), margin), gain(test, with_rows, moved, margin)


def table_of(
    validation: pd.DataFrame, test: Mapping[str, pd.DataFrame], costs: Mapping[str, Mapping[str, float]], chosen: Action
) -> pd.DataFrame:
    """One row per free action and per method (at what the folds prefer of it), the recommended one first."""
    means = validation.mean()
    shown: dict[str, Action] = {}
    for action in sorted(validation, key=lambda a: (a != chosen, round(means[a], 9), a.price, a.name)):
        shown.setdefault(action.name, action)
    records = []
    for action in shown.values():
        judged = float("nan") if action.seen else means[action]
        record = {"action": action.words, "rows": action.amount, "validation": judged}
        record |= {m: float(test[m][action].mean()) for m in test if action in test[m]}
        records.append(record | ({} if action.free else dict(costs.get(action.name, {}))))
    return pd.DataFrame(records)
