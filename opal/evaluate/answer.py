"""What should I do with this table? The action recommended by folds of train, and how well it did on test rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pandas as pd

from opal._lazy import displayed
from opal.evaluate.actions import ASKED, NOTHING, SHOWN, Action, Measured, best, choose, choose_free, collect
from opal.evaluate.gain import Gain, Sources, gain, sources
from opal.evaluate.measure import MOVED
from opal.evaluate.metrics import BY_NAME, OF_CLASS, higher_is_better
from opal.evaluate.validate import chosen_by
from opal.evaluate.verdict import MARGIN

FRAGILE = 50  # minority rows below which a tuned threshold is unreliable; AutoGluon tunes none there


@dataclass(frozen=True)
class Answer:
    """What to do with one table and one classifier.

    Parameters
    ----------
    data, classifier : names
    measure : the metric by which the folds choose
    recommended : the action chosen on the folds
    best_free : the free action that the folds recommend, nothing included
    table : one row per action, the recommended one first: action, rows, validation error, test metrics, cost
    against_nothing, against_free : how the recommendation did on test rows
    seen : actions that the folds cannot judge, since their rows were made from the held-out rows too; each with its
        difference to the best free action on test rows
    sources : where the gain of the best method that folds can judge comes from; None without synthetic rows
    minority_rows : of train
    table_share : rows of the whole table for each train row; NaN where unknown
    by_class : error of each of several classes on test rows, [nothing, recommended]; empty for two classes
    typed : overrides of the recommended method's run, or of any where a free action is recommended
    """

    data: str
    classifier: str
    measure: str
    recommended: Action
    best_free: Action
    table: pd.DataFrame
    against_nothing: Gain
    against_free: Gain
    sources: Sources | None = None
    minority_rows: float = float("nan")
    table_share: float = float("nan")
    seen: Mapping[Action, Gain] = field(default_factory=dict)
    by_class: pd.DataFrame = field(default_factory=pd.DataFrame)
    typed: tuple[str, ...] = ()

    _repr_html_ = displayed("opal.report.notebook:answer_html")

    @property
    def rows(self) -> int | None:
        """Synthetic rows to make for the whole table; None for a free action, or where the table's size is unknown."""
        amount, share = self.recommended.amount, self.table_share
        return round(amount * share) if amount and share == share else None

    @property
    def sentences(self) -> list[str]:
        """The answer in plain words."""
        measure, done = BY_NAME[self.measure].words, self.recommended
        if done.name == NOTHING:
            said = [
                f"Recommended for {self.data} with {self.classifier}: leave the table as it is. On folds of the "
                f"train rows nothing free improves the {measure}, and no rows do so clearly."
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
        if better := self.better_on_folds:
            better = "doing nothing" if better == NOTHING else better
            said.append(f"On the folds {better} did better, by too little to be preferred.")
        for action, against in self.seen.items():
            remade = " (validation.remake=always makes them again for each fold)" if action.price == ASKED else ""
            said.append(
                f"The folds cannot judge {action.words}: its rows were made from all train rows, the held-out ones "
                f"included{remade}. On test rows it "
                f"{against.changes(measure)}, against the best free action ({self.best_free.words}): {against.word}."
            )
        if self.sources is not None:
            said.append(self.sources.sentence)
        if len(self.by_class):
            before = done.name != NOTHING
            errors = self.by_class.map("{:.3f}".format).agg(" to ".join, axis=1)
            told = ", ".join(f"{label} {change}" for label, change in errors.items())
            said.append(f"Error by class on test rows{', before and after' * before}: {told}.")
        return said + self.caveats

    @property
    def better_on_folds(self) -> str:
        """The action with the lowest validation error, if it is not the recommended one."""
        sign = -1 if higher_is_better(self.measure) else 1
        judged = sign * self.table.set_index("action")["validation"].dropna()
        return str(judged.idxmin()) if judged.min() < judged.iloc[0] - 1e-9 else ""

    @property
    def caveats(self) -> list[str]:
        """How reliable the recommendation is."""
        said, (low, high) = [], self.against_nothing.corrected
        if self.recommended.name != NOTHING and low == low:
            said.append(
                "The first interval above speaks of new splits of this table; for new rows of the same kind it is "
                f"{low:+.4f} to {high:+.4f} (Nadeau and Bengio's correction)."
            )
        if self.recommended.name == "tuned_threshold" and self.minority_rows < FRAGILE:
            said.append(
                f"The threshold was tuned on {self.minority_rows:.0f} minority rows: with fewer than {FRAGILE} it is "
                "fragile, and may differ much on new data."
            )
        return said


def answer(data: str, classifier: str, runs: Sequence[Measured], margin: float = MARGIN) -> Answer | None:
    """Compare all actions of the runs of one table and classifier, on the same splits.

    Returns
    -------
    None where the runs measured no validation errors, or share no seed
    """
    measure = chosen_by({metric for run in runs for metric in run.errors["metric"].unique()})
    if measure is None:
        return None
    validation, ranking, test, prices = collect(runs, measure)
    if validation.empty:  # no seed has all actions
        return None
    chosen = choose(validation[[action for action in validation if not action.seen]], measure, ranking)
    free = choose_free(validation, measure, ranking)
    level, share = max(run.level for run in runs), runs[0].test_share

    def against(action: Action, other: Action) -> Gain:
        more_is_better = higher_is_better(measure)
        return gain(test[measure][action], test[measure][other], margin, level, share, more_is_better)

    seen = {}
    for name in dict.fromkeys(action.name for action in validation if action.seen):
        most = best(validation[[action for action in validation if action.name == name and not action.free]])
        seen[most] = against(most, free)
    return Answer(
        data,
        classifier,
        measure,
        chosen,
        free,
        table=table_of(validation, test, prices, chosen, measure),
        against_nothing=against(chosen, Action(NOTHING)),
        against_free=against(chosen, free),
        sources=sources_of(runs, validation, margin, level),
        minority_rows=runs[0].minority_rows,
        table_share=runs[0].table_share,
        seen=seen,
        by_class=errors_by_class(runs, chosen),
        typed=next((run for run in runs if run.method == chosen.name), runs[0]).typed,
    )


def errors_by_class(runs: Sequence[Measured], chosen: Action) -> pd.DataFrame:
    """Mean test error of each class without and with the chosen action; labels as index."""
    found = {}
    for action in (Action(NOTHING), chosen):
        errors = next(run.errors for run in runs if action.free or run.method == action.name)
        place = f"control/{action.name}/" if action.free and action.name != NOTHING else MOVED * action.moved
        start = place + OF_CLASS
        mine = errors[(errors["amount"] == action.amount) & errors["metric"].str.startswith(start)]
        means = mine.groupby("metric", sort=False)["value"].mean()
        found[action.name] = means.set_axis(means.index.str.removeprefix(start))
    return pd.DataFrame(found)


def sources_of(runs: Sequence[Measured], validation: pd.DataFrame, margin: float, level: float) -> Sources | None:
    """Where the gain of the method that does best on folds comes from, at the amount that they prefer."""
    rows = [action for action in validation if action.moved and not action.seen]
    if not rows:
        return None
    done = best(validation[rows])
    errors = next(run.errors for run in runs if run.method == done.name)
    return sources(errors, dict.fromkeys(validation.index, done.amount), margin, level)


def table_of(
    validation: pd.DataFrame,
    test: Mapping[str, pd.DataFrame],
    costs: Mapping[str, Mapping[str, float]],
    chosen: Action,
    measure: str,
) -> pd.DataFrame:
    """One row per free action and per method (at what the folds prefer of it), the recommended one first."""
    means, sign = validation.mean(), -1.0 if higher_is_better(measure) else 1.0
    shown: dict[tuple[str, bool], Action] = {}
    for action in sorted(validation, key=lambda a: (a != chosen, round(means[a], 9), a.price, a.name)):
        shown.setdefault((action.name, action.free), action)
    records = []
    for action in shown.values():
        judged = float("nan") if action.seen else sign * means[action]
        record = {"action": action.words, "rows": action.amount, "validation": judged}
        record |= {
            m: float(test[m][action].mean()) for m in dict.fromkeys((*SHOWN, measure)) if action in test.get(m, ())
        }
        records.append(record | ({} if action.free else dict(costs.get(action.name, {}))))
    return pd.DataFrame(records)
