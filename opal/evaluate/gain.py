"""The gain of one action over another on test rows, with intervals, and the sources of a method's gain."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from opal.evaluate.curve import control_names
from opal.evaluate.measure import MOVED
from opal.evaluate.metrics import BY_NAME, higher_is_better
from opal.evaluate.validate import PREFIX, chosen_by
from opal.evaluate.verdict import MARGIN, Word, at_amounts, choose_amount, confidence_interval, word_of

# Free controls that leave the fitted classifier unchanged
THRESHOLDS = ("base_rate_threshold", "tuned_threshold", "cost_threshold")
RANKING = ("roc_auc", "average_precision")


@dataclass(frozen=True)
class Gain:
    """Mean over seeds of a difference in a measure, with its interval.

    Parameters
    ----------
    difference : of an error, so that negative is better; of a measure such as ROC AUC, where positive is better
    low, high : Student's interval over seeds: it is about new splits of the same table
    corrected : Nadeau and Bengio's interval, for new rows of the same kind; NaN where sizes are unknown
    level : of both intervals
    """

    difference: float
    low: float
    high: float
    seeds: int
    margin: float = MARGIN
    corrected: tuple[float, float] = (float("nan"), float("nan"))
    level: float = 0.95
    more_is_better: bool = False

    @property
    def word(self) -> Word:
        ends = (-self.high, -self.low) if self.more_is_better else (self.low, self.high)
        return word_of(*ends, self.margin)

    def changes(self, measure: str) -> str:
        """``lowers the error by 0.0100 (95 % interval of the change -0.0200 to +0.0001 over 5 seeds)``."""
        if self.low == self.high and abs(self.difference) < 1e-9:
            return f"leaves the {measure} as it is"
        verb = "lowers" if self.difference < 0 else "raises"
        if self.seeds < 2:
            return f"{verb} the {measure} by {abs(self.difference):.4f} (one seed, no interval)"
        interval = f"{100 * self.level:.3g} % interval of the change {self.low:+.4f} to {self.high:+.4f}"
        return f"{verb} the {measure} by {abs(self.difference):.4f} ({interval} over {self.seeds} seeds)"

    def __str__(self) -> str:
        interval = f" ({self.low:+.4f} to {self.high:+.4f})" if self.seeds > 1 else ""
        return f"{self.difference:+.4f}{interval}"


@dataclass(frozen=True)
class Sources:
    """Where a method's gain over doing nothing comes from.

    Parameters
    ----------
    measure : the error in which the first two are
    threshold : the best free threshold without synthetic rows minus doing nothing
    information : the method with its threshold moved minus that
    ranking : change of ROC AUC and average precision by the rows, which no threshold moves
    """

    measure: str
    threshold: Gain
    information: Gain
    ranking: Mapping[str, Gain]

    @property
    def sentence(self) -> str:
        """The sources in words."""
        measure = BY_NAME[self.measure].words
        part, rest = self.threshold.difference, self.information.difference
        share = f"; that is {part / (part + rest):.0%} of the gain" if part < 0 and rest < 0 else ""
        ranked = " and ".join(f"{BY_NAME[name].words} by {gain}" for name, gain in self.ranking.items())
        return (
            f"Where gains come from: a moved threshold without rows, which is free, {self.threshold.changes(measure)}"
            f"{share}. Rows beyond it change it by {self.information}: {self.information.word}."
            f"{f' They change {ranked}.' if ranked else ''}"
        )


def gain(
    mine: pd.Series,
    other: pd.Series,
    margin: float = MARGIN,
    level: float = 0.95,
    test_share: float = float("nan"),
    more_is_better: bool = False,
) -> Gain:
    """One measure minus another, both by seed, paired.

    Parameters
    ----------
    test_share : test rows for each train row, which the corrected interval needs
    """
    gap = (mine - other).dropna().to_numpy(float)
    low, high = confidence_interval(gap, level)
    wide = corrected(gap, test_share, level)
    return Gain(float(np.mean(gap)), low, high, len(gap), margin, wide, level, more_is_better)


def corrected(gap: np.ndarray, test_share: float, level: float = 0.95) -> tuple[float, float]:
    """Interval of the mean of ``gap``, shape (n_seeds,), for random splits that share rows.

    mean -+ t(n - 1) sd sqrt(1 / n + n_test / n_train). Source: Nadeau and Bengio, "Inference for the generalization
    error", Machine Learning 52 (2003). It is wide where few rows are trained on and many tested.
    """
    low, high = confidence_interval(gap, level)
    middle, n = (low + high) / 2, len(gap)
    half = (high - low) / 2 * float(np.sqrt(1 + n * test_share))
    return middle - half, middle + half


def sources(
    errors: pd.DataFrame, amounts: Mapping[int, int] | None = None, margin: float = MARGIN, level: float = 0.95
) -> Sources | None:
    """Split the gain of one method by seed into a moved threshold's and what the rows add.

    Parameters
    ----------
    errors : tidy [seed, amount, metric, value] of a run with validation errors
    amounts : synthetic rows by seed; by default those that validation chose

    Returns
    -------
    None without validation errors, a free threshold among the controls, or rows at the amounts; where what is chosen
    by is no error
    """
    known = set(errors["metric"])
    measure = chosen_by(known)
    thresholds = [c for c in THRESHOLDS if c in control_names(errors)]
    if measure is None or higher_is_better(measure) or not thresholds or MOVED + measure not in known:
        return None
    moved_alone = [f"{prefix}control/{c}/{measure}" for prefix in ("", PREFIX) for c in thresholds]
    errors = errors[errors["metric"].isin([measure, PREFIX + measure, MOVED + measure, *RANKING, *moved_alone])]
    amounts = choose_amount(errors, PREFIX + measure) if amounts is None else amounts
    nowhere = dict.fromkeys(amounts, 0)

    def at(metric: str) -> pd.Series:
        return at_amounts(errors, metric, nowhere)

    best = min(thresholds, key=lambda c: (at(f"{PREFIX}control/{c}/{measure}").mean(), c))
    free = at(f"control/{best}/{measure}")
    moved = at_amounts(errors, MOVED + measure, amounts).combine_first(free)  # a seed that chose no rows has the latter
    if not any(amounts.values()) or moved.empty:
        return None
    ranking = {
        name: gain(at_amounts(errors, name, amounts), at(name), margin, level) for name in RANKING if name in known
    }
    threshold, information = gain(free, at(measure), margin, level), gain(moved, free, margin, level)
    return Sources(measure, threshold, information, ranking)
