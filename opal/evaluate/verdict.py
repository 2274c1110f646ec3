"""The verdict: the method at its chosen amount against the best free control, paired by seed.

Nothing here is chosen by looking at test rows: the amount comes from validation folds of each seed's train rows,
and the control either from its own validation error or, lacking that, from the least favourable comparison.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from opal.errors import ConfigError
from opal.evaluate.metrics import BY_NAME, higher_is_better

Word = Literal["helps", "hurts", "no difference that matters", "inconclusive"]
VALIDATION = "validation_error"
MARGIN = 0.01  # differences below it do not matter
MOST_SEEDS = 100_000


@dataclass(frozen=True)
class Verdict:
    """The verdict in numbers and words.

    Parameters
    ----------
    difference : mean over seeds of (method - control), in the metric's unit
    low, high : bounds of its interval, which alone decides the word; NaN when fewer than two seeds are shared
    seeds_needed : seeds needed to show a true difference of this size, or None when no number would
    control : the control compared with, and ``how`` it was chosen
    seeds : how many seeds the difference rests on
    margin : a difference within -margin to +margin does not matter
    """

    difference: float
    low: float
    high: float
    word: Word
    seeds_needed: int | None
    control: str
    seeds: int
    metric: str = "error"
    method: str = "the synthetic rows"
    how: str = "the only control"
    interval: str = "t"
    level: float = 0.95
    margin: float = MARGIN

    @property
    def sentence(self) -> str:
        """The verdict in one sentence, with its numbers."""
        versus = f"{self.method} against {self.control} ({self.how})"
        measure = BY_NAME[self.metric].words if self.metric in BY_NAME else self.metric
        if self.seeds < 2:
            plural = "" if self.seeds == 1 else "s"
            return f"{versus}: {measure} is inconclusive with {self.seeds} shared seed{plural}; run at least two."
        text = (
            f"{versus}: {measure} {self.difference:+.4f} ({self.level:.0%} {self.interval} "
            f"interval over {self.seeds} seeds {self.low:+.4f} to {self.high:+.4f}): {self.word}"
        )
        if self.word == "no difference that matters":
            return f"{text} (within {self.margin:g})."
        if self.word != "inconclusive":
            return f"{text}."
        if self.seeds_needed is None:
            return f"{text}; no number of seeds would show so small a difference."
        return f"{text}; about {self.seeds_needed} seeds would show a difference of this size."


def choose_amount(errors: pd.DataFrame, metric: str = VALIDATION) -> dict[int, int]:
    """For each seed the amount with the best value on validation folds; the smallest among equals.

    Each seed chooses alone: another seed's train rows may be this seed's test rows.

    Parameters
    ----------
    errors : DataFrame with columns seed, amount, metric, value

    Raises
    ------
    ConfigError : the errors hold no such metric
    """
    rows = errors[(errors["metric"] == metric) & errors["value"].notna()]
    if rows.empty:
        raise ConfigError(f"no amount can be chosen: errors hold no {metric!r}; measure it on folds of train rows")
    if higher_is_better(metric.removeprefix("validation_")):
        rows = rows.assign(value=-rows["value"])
    best = rows.sort_values(["value", "amount"], kind="stable").groupby("seed")["amount"].first()
    return {int(str(seed)): int(amount) for seed, amount in best.items()}


def at_amounts(errors: pd.DataFrame, metric: str, amounts: Mapping[int, int]) -> pd.Series:
    """The metric of each seed at its own amount: a Series by seed."""
    rows = errors[errors["metric"] == metric]
    chosen = rows[rows["amount"] == rows["seed"].map(amounts)]
    return chosen.set_index("seed")["value"].sort_index()


def verdict(
    method_errors: pd.Series,
    control_errors: Mapping[str, pd.Series],
    metric: str = "error",
    *,
    control_validation: Mapping[str, pd.Series] | None = None,
    method: str = "the synthetic rows",
    interval: Literal["t", "bootstrap"] = "t",
    level: float = 0.95,
    margin: float = MARGIN,
) -> Verdict:
    """Compare with the best control.

    With ``control_validation`` the method is compared with the control of lowest mean validation error. Without it
    the method is compared with every control, and the interval is that of the difference to the best of them: its
    unfavourable end is the least favourable of all intervals (an intersection-union test, which needs no correction:
    Berger, Technometrics 24, 1982), its favourable end is corrected for the number of controls (Bonferroni).

    The interval decides: *helps* and *hurts* where it is clear of zero, *no difference that matters* where all of it
    lies within -margin to +margin (two one-sided tests: Schuirmann, J. Pharmacokin. Biopharm. 15, 1987), else
    *inconclusive*.

    Parameters
    ----------
    method_errors : value by seed, at the chosen amount
    control_errors : for each control its value by seed, on the same splits
    control_validation : for each control its validation error by seed; lower is better
    interval : Student's t over seeds, or the BCa bootstrap (too narrow below some ten seeds)
    margin : differences up to this size do not matter

    Raises
    ------
    ConfigError : no control to compare with
    """
    if not control_errors:
        raise ConfigError("no verdict without a control: name at least one in controls")
    sign = -1.0 if higher_is_better(metric) else 1.0  # signed gaps: positive is bad for the method
    gaps = {name: sign * _paired(method_errors, values) for name, values in control_errors.items()}
    named = {n: v.mean() for n, v in (control_validation or {}).items() if n in gaps and v.notna().any()}
    if named:
        control, how = min(named, key=lambda n: (named[n], n)), "the control of least validation error"
        gaps = {control: gaps[control]}
    else:
        control = max(gaps, key=lambda n: (_mean(gaps[n]), n))
        how = "the hardest control to beat" if len(gaps) > 1 else "the only control"
    gap = gaps[control]
    corrected = 1 - (1 - level) / len(gaps)
    good = confidence_interval(gap, corrected, interval)[0]
    bad = max((confidence_interval(g, level, interval)[1] for g in gaps.values()), default=float("nan"))
    if any(len(g) < 2 for g in gaps.values()):
        good = bad = float("nan")
    word = word_of(good, bad, margin)
    low, high = sorted((sign * good, sign * bad))
    given = (control, len(gap), metric, method, how, interval, level, margin)
    return Verdict(sign * _mean(gap), low, high, word, seeds_needed(gap, 1 - level), *given)


def word_of(good: float, bad: float, margin: float = MARGIN) -> Word:
    """The word for an interval with the ends ``good`` and ``bad``, of differences where positive is bad."""
    if bad < 0:
        return "helps"
    if good > 0:
        return "hurts"
    return "no difference that matters" if -margin <= good and bad <= margin else "inconclusive"


def confidence_interval(
    gap: np.ndarray, level: float = 0.95, interval: Literal["t", "bootstrap"] = "t"
) -> tuple[float, float]:
    """Interval of the mean of ``gap``, shape (n_seeds,): mean -+ t(n - 1) sd / sqrt(n), or the BCa bootstrap.

    Two equal gaps say nothing about their spread and have no interval (NaN). Source: Student
    (1908); Efron, "Better bootstrap confidence intervals", JASA 82 (1987), by SciPy.
    """
    from scipy import stats

    if len(gap) < 2:
        return float("nan"), float("nan")
    mean, sd = float(np.mean(gap)), float(np.std(gap, ddof=1))
    if sd <= 1e-12 * max(1.0, abs(mean)):
        return (mean, mean) if len(gap) > 2 else (float("nan"), float("nan"))
    if interval == "bootstrap":
        rng = np.random.default_rng(0)  # reproducible
        found = stats.bootstrap((gap,), np.mean, confidence_level=level, rng=rng).confidence_interval
        return float(found.low), float(found.high)
    half = float(stats.t.ppf((1 + level) / 2, len(gap) - 1)) * sd / np.sqrt(len(gap))
    return mean - half, mean + half


def seeds_needed(gap: np.ndarray, alpha: float = 0.05, power: float = 0.8) -> int | None:
    """The fewest seeds whose paired t test would find a true difference of this size and spread.

    Power of the two-sided test: P(|T| > t(1 - alpha / 2, n - 1)), T noncentral t with n - 1 degrees of freedom
    and noncentrality sqrt(n) |mean| / sd. None when the difference is zero or ``MOST_SEEDS`` are too few.
    Source: Cohen, "Statistical Power Analysis for the Behavioral Sciences" (1988), chapter 2.
    """
    from scipy import stats

    if len(gap) < 2:
        return None
    effect, sd = abs(float(np.mean(gap))), float(np.std(gap, ddof=1))
    if effect <= 1e-12:
        return None
    if sd <= 1e-12:
        return 3

    def enough(n: int) -> bool:
        bound, shift = stats.t.ppf(1 - alpha / 2, n - 1), np.sqrt(n) * effect / sd
        if shift > 30:  # the noncentral t loses its digits where the power is 1 anyway, save at two seeds
            return bound < shift - 3
        return float(stats.nct.sf(bound, n - 1, shift) + stats.nct.cdf(-bound, n - 1, shift)) >= power

    low, high = 1, 2
    while not enough(high):
        low, high = high, high * 2
        if high > MOST_SEEDS:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def _paired(mine: pd.Series, theirs: pd.Series) -> np.ndarray:
    """Differences over the seeds that both have."""
    return (mine - theirs).dropna().sort_index().to_numpy(dtype=float)


def _mean(values: np.ndarray) -> float:
    return float(np.mean(values)) if len(values) else float("nan")
