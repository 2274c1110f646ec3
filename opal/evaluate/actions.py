"""The possible actions on a table, and which one the folds of the train rows recommend.

An action is: nothing, a free control, or a method at an amount, with or without a moved threshold. All are measured on
the same folds of the same train rows. Recommended is the best there of a few free actions, unless another free one does
better by more than three standard errors, paired by seed. An action with rows must do so too; of several such actions
the cheapest within one standard error of the best is taken. The fewer the candidates, the less often a lucky one wins.
`scripts/bench_answers.py` compares this rule with fixed policies.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from opal.evaluate.curve import control_names
from opal.evaluate.gain import RANKING, THRESHOLDS
from opal.evaluate.measure import MOVED
from opal.evaluate.metrics import higher_is_better
from opal.evaluate.validate import AUC, PREFIX

NOTHING = "nothing"
SHOWN = ("error", "balanced_error", "worst_group_error", "roc_auc")
# Free actions of which the best is taken, by measure; of all where no measure is named here, or none was measured.
FIRST = {"balanced_error": ("base_rate_threshold", "tuned_threshold", "balanced_forest")}
# Standard errors by which other actions must beat those, and within which the cheapest is taken.
CLEAR, NEAR = 3.0, 1.0
MOVED_ONLY, OTHER_CONTROL, MADE, ASKED = 1, 2, 3, 4  # prices of actions; doing nothing is 0


@dataclass(frozen=True)
class Measured:
    """What the answer needs of one run.

    Parameters
    ----------
    method : its display name
    errors : tidy [seed, amount, metric, value]
    paid : whether its rows came from a language model
    cost : seconds, tokens and money spent on its rows, where known
    seen : whether the folds used rows made from all train rows, the held-out ones included
    minority_rows : of train, the mean over seeds; NaN where unknown
    test_share : test rows for each train row; NaN where unknown
    table_share : rows of the whole table for each train row; NaN where unknown
    level : of its intervals
    typed : overrides of the command line, where known
    """

    method: str
    errors: pd.DataFrame
    paid: bool = False
    cost: Mapping[str, float] = field(default_factory=dict)
    seen: bool = False
    minority_rows: float = float("nan")
    test_share: float = float("nan")
    table_share: float = float("nan")
    level: float = 0.95
    typed: tuple[str, ...] = ()


@dataclass(frozen=True)
class Action:
    """One possible action.

    Parameters
    ----------
    name : control or method, or `NOTHING`
    amount : synthetic rows of the method, 0 for the others
    moved : whether the method's threshold is moved to the minority's share of the rows trained on
    price : order of cost: nothing, thresholds, other controls, free rows, rows of a language model
    seen : whether its rows were made from the rows that the folds hold out: its validation error is then too low
    """

    name: str
    amount: int = 0
    moved: bool = False
    price: int = 0
    seen: bool = False

    @property
    def free(self) -> bool:
        """Whether it needs no synthetic rows."""
        return not self.amount

    @property
    def words(self) -> str:
        """Its name in tables and sentences."""
        if self.free:
            return self.name.replace("_", " ")
        return f"{self.name}, {self.amount} rows" + (", moved threshold" if self.moved else "")


def collect(
    runs: Sequence[Measured], measure: str
) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, pd.DataFrame], dict[str, Mapping[str, float]]]:
    """Losses and ROC AUC on folds, and each shown test metric, by seed (rows) and action (columns); costs by method.

    The loss is the measure, negated where more of it is better.
    """
    validation: dict[Action, pd.Series] = {}
    ranking: dict[Action, pd.Series] = {}
    test: dict[str, dict[Action, pd.Series]] = {metric: {} for metric in dict.fromkeys((*SHOWN, *RANKING, measure))}
    for run in runs:
        at = _by_metric_and_amount(run.errors)
        measured = {metric for metric, _ in at}
        for action, place in _actions(run, sorted(amount for metric, amount in at if metric == "error")).items():
            found = at.get((PREFIX + place + measure, action.amount))
            if found is None or action in validation:
                continue
            validation[action] = -found if higher_is_better(measure) else found
            if (ranked := at.get((PREFIX + place + AUC, action.amount))) is not None:
                ranking[action] = ranked
            for metric, columns in test.items():
                name = metric if action.moved and metric in RANKING else place + metric
                if name in measured:
                    columns[action] = at.get((name, action.amount), found.iloc[:0])
    frame = pd.DataFrame(validation)
    whole = frame[[action for action in frame if frame[action].notna().sum() == frame.notna().sum().max()]].dropna()
    tested = {metric: pd.DataFrame(columns) for metric, columns in test.items()}
    return whole, pd.DataFrame(ranking).reindex(whole.index), tested, {run.method: run.cost for run in runs}


def _actions(run: Measured, amounts: Sequence[int]) -> dict[Action, str]:
    """The actions that a run measured, with the prefix of their metrics."""
    found = {Action(NOTHING): ""}
    found |= {
        Action(c, price=MOVED_ONLY if c in THRESHOLDS else OTHER_CONTROL): f"control/{c}/"
        for c in control_names(run.errors)
    }
    price = ASKED if run.paid else MADE
    for amount in filter(None, amounts):
        found[Action(run.method, amount, price=price, seen=run.seen)] = ""
        found[Action(run.method, amount, moved=True, price=price, seen=run.seen)] = MOVED
    return found


def _by_metric_and_amount(errors: pd.DataFrame) -> dict[tuple[str, int], pd.Series]:
    """The values by seed of each metric at each amount."""
    keys = [errors["metric"].to_numpy(), errors["amount"].to_numpy()]
    grouped = errors.set_index("seed")["value"].groupby(keys, sort=False)
    return {(str(metric), int(amount)): values for (metric, amount), values in grouped}


def choose(validation: pd.DataFrame, measure: str, ranking: pd.DataFrame | None = None) -> Action:
    """The action that the folds recommend.

    Parameters
    ----------
    validation : losses by ``measure``, one row per seed, one column per action
    ranking : ROC AUC on the same folds, where it was measured
    """
    free, first = choose_free(validation, measure, ranking), best(validation)
    clear = [action for action in validation if _ahead(validation, action, free, CLEAR)]
    if first not in clear:
        return free
    near = [action for action in clear if not _ahead(validation, first, action, NEAR)]
    means = validation.mean()
    return min(near, key=lambda action: (action.price, action.amount, action.moved, means[action]))


def choose_free(validation: pd.DataFrame, measure: str, ranking: pd.DataFrame | None = None) -> Action:
    """The free action that the folds recommend; parameters as of `choose`.

    The likely ones are compared by the balanced error and 1 - ROC AUC together: where a threshold cuts ten minority
    rows is mostly chance, how they are ranked is less so.
    """
    free = [action for action in validation if action.free]
    likely = [action for action in free if action.name in FIRST.get(measure, ())]
    losses = validation[likely or free]
    if likely and ranking is not None and set(likely) <= set(ranking.dropna(axis=1)):
        losses = losses + (1 - ranking[likely])
    means, first = validation.mean().round(9), best(losses)
    first, other = best(validation[[a for a in free if means[a] == means[first]]]), best(validation[free])
    return other if _ahead(validation, other, first, CLEAR) else first


def best(validation: pd.DataFrame) -> Action:
    """The action with the lowest mean error; the cheapest among equals."""
    means = validation.mean().round(9)
    return min(validation, key=lambda action: (means[action], action.price, action.amount, action.moved))


def _ahead(validation: pd.DataFrame, action: Action, other: Action, errors: float) -> bool:
    """Whether the action's mean error is lower than the other's by more than so many standard errors."""
    gap = validation[other] - validation[action]
    deviation = gap.std(ddof=1) if len(gap) > 1 else 0.0
    return bool(gap.mean() > errors * deviation / np.sqrt(len(gap)) + 1e-12)
