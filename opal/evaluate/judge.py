"""The verdict and the scaling law of one trial, as sentences and figures of its result."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from opal.evaluate.curve import CLEAN, control_names
from opal.evaluate.gain import sources
from opal.evaluate.metrics import BY_NAME, judged
from opal.evaluate.scaling import fit_scaling, variance_sources
from opal.evaluate.validate import PREFIX, chosen_by
from opal.evaluate.verdict import MARGIN, Verdict, at_amounts, choose_amount, verdict
from opal.result import TrialResult


def judge(result: TrialResult, method: str, margin: float = MARGIN, level: float = 0.95) -> None:
    """Add to the result, for error, balanced error and, where an attribute defines groups, the worst group's:
    the verdict at the amount that validation chose.

    Metrics ``verdict/<measure>/{difference,low,high}`` and ``seed_<s>/amount_chosen``; the word is in
    ``result.verdicts``. Where synthetic rows equal test rows, the curve without them has its own
    (``verdict/without_test_matches/...``). Without validation errors or controls there is no verdict.
    docs/answer.md has the formula.
    """
    if not max((len(r.frame) for r in result.rows.values()), default=0):
        return
    findings = len(result.notes)
    controls, measured = control_names(result.errors), set(result.errors["metric"])
    chooser = chosen_by(measured)
    if chooser and controls:
        amounts = choose_amount(result.errors, PREFIX + chooser)
        asked_for = () if BY_NAME[chooser].validated else (chooser,)  # by measure=
        for measure in dict.fromkeys((*judged(groups=BY_NAME[chooser].of_groups), *asked_for)):
            add_verdict(result, method, measure, amounts, margin, level)
            if CLEAN + measure in measured:
                add_verdict(result, method, measure, amounts, margin, level, CLEAN)
        listed = ", ".join(f"{amount} (seed {seed})" for seed, amount in amounts.items())
        by = BY_NAME[chooser].words
        result.notes.append(f"Amounts chosen by {by} on validation folds of train: {listed}.")
        result.metrics |= {f"seed_{seed}/amount_chosen": amount for seed, amount in amounts.items()}
        add_sources(result, amounts, margin, level)
    add_scaling(result)
    if "replicates" in result.tables:
        add_variances(result)
    result.conclusions += result.notes[findings:]


def decided(errors: pd.DataFrame, margin: float, level: float) -> bool:
    """Whether the measure that amounts are chosen by is beyond *inconclusive*; False without validation or controls.

    Parameters
    ----------
    errors : tidy [seed, amount, metric, value] of all seeds so far
    """
    measure = chosen_by(set(errors["metric"]))
    if measure is None or not control_names(errors):
        return False
    amounts = choose_amount(errors, PREFIX + measure)
    return compared(errors, "the method", measure, amounts, margin, level).word != "inconclusive"


def compared(
    errors: pd.DataFrame,
    method: str,
    measure: str,
    amounts: Mapping[int, int],
    margin: float,
    level: float,
    curve: str = "",
) -> Verdict:
    """The verdict on one measure of one curve (``curve`` is the prefix of its metrics), at each seed's amount."""
    nothing = dict.fromkeys(amounts, 0)
    free = {c: at_amounts(errors, f"control/{c}/{measure}", nothing) for c in control_names(errors)}
    against = {"no synthetic rows": at_amounts(errors, measure, nothing)} | free
    chosen = at_amounts(errors, curve + measure, amounts)
    return verdict(chosen, against, measure, method=method, margin=margin, level=level)


def add_verdict(
    result: TrialResult,
    method: str,
    measure: str,
    amounts: Mapping[int, int],
    margin: float,
    level: float,
    curve: str = "",
) -> None:
    """The sentence, word and figures of `compared`."""
    name = f"{method} at its chosen amount{', without the rows that equal a test row,' if curve else ''}"
    found = compared(result.errors, name, measure, amounts, margin, level, curve)
    result.notes.append(found.sentence)
    result.verdicts[curve + measure] = found.word
    figures = {"difference": found.difference, "low": found.low, "high": found.high}
    result.metrics |= {f"verdict/{curve}{measure}/{k}": v for k, v in figures.items()}


def add_sources(result: TrialResult, amounts: dict[int, int], margin: float, level: float) -> None:
    """Metrics ``gain/threshold``, ``gain/information`` and those of the ranking, each with ``_low`` and ``_high``.

    More is better: an error's gain is its reduction.
    """
    found = sources(result.errors, amounts, margin, level)
    if found is None:
        return
    result.notes.append(found.sentence)
    for name, one in {"threshold": found.threshold, "information": found.information}.items():
        figures = {"": -one.difference, "_low": -one.high, "_high": -one.low}
        result.metrics |= {f"gain/{name}{end}": value for end, value in figures.items()}
    for name, one in found.ranking.items():
        figures = {"": one.difference, "_low": one.low, "_high": one.high}
        result.metrics |= {f"gain/{name}{end}": value for end, value in figures.items()}


def add_scaling(result: TrialResult) -> None:
    """The scaling law of the error, where the curve determines one, and the recommended amount."""
    rows = sum(len(r.frame) for r in result.rows.values())
    usage = result.usage
    cost: dict[str, float] = {}
    if usage.requests:
        cost["tokens"] = (usage.prompt_tokens + usage.completion_tokens) / rows
        if usage.money:
            cost["money"] = usage.money / rows
    law = fit_scaling(whole(result.errors), result.metrics["train/minority_rows"], cost_per_row=cost)
    spent = "".join(f" About {value:,.4g} {unit} a seed." for unit, value in law.cost.items())
    result.notes.append(law.sentence + spent)
    figures = {"exponent": law.exponent, "exponent_low": law.exponent_low, "exponent_high": law.exponent_high}
    figures |= {"plateau": law.plateau, "recommended": float(law.recommended)}
    result.metrics |= {f"scaling/{k}": v for k, v in figures.items() if law.told or k == "recommended"}


def add_variances(result: TrialResult) -> None:
    """Variance of the error from fresh draws of the generator, and from training seeds, at the largest amount."""
    found = variance_sources(result.tables["replicates"])
    result.notes.append(f"Test error with the most rows, split held fixed: {found.sentence}.")
    figures = {"generator": found.generator, "training": found.training, "generator_share": found.generator_share}
    result.metrics |= {f"variance/{k}": v for k, v in figures.items()}


def whole(errors: pd.DataFrame) -> pd.DataFrame:
    """The errors at amounts that every seed reached."""
    seeds = errors["seed"].nunique()
    reached = errors[errors["metric"] == "error"].groupby("amount")["seed"].nunique()
    return errors[errors["amount"].isin(reached.index[reached == seeds])]
