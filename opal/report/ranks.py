"""Methods compared over several tables: average ranks, Friedman, Nemenyi, Wilcoxon with Holm's correction.

Source: Demšar, "Statistical Comparisons of Classifiers over Multiple Data Sets", JMLR 7 (2006). SciPy has all
that is needed; scikit-posthocs gives the same p values (tests/report/test_compare_ranks.py) but needs seaborn.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations

import numpy as np
import pandas as pd

LEVEL = 0.05
MOST_SAID = 8  # pairs listed one by one


@dataclass(frozen=True)
class Ranks:
    """Average ranks and tests over tables; 1 is best.

    Parameters
    ----------
    average : by method, best first
    tables : number of tables that every method was measured on
    needed : fewest tables with which any difference could be significant
    friedman : p of "all methods are the same" (Iman and Davenport's F); NaN for fewer than three methods
    critical : Nemenyi's critical difference of average ranks
    pairs : a row per pair of methods: first (the better), second, rank_difference, nemenyi, wilcoxon (p, corrected)
    """

    average: pd.Series
    tables: int
    needed: int
    friedman: float
    critical: float
    pairs: pd.DataFrame

    @property
    def enough(self) -> bool:
        return self.tables >= self.needed

    def sentences(self) -> list[str]:
        """The findings; calls a difference significant only where there are enough tables."""
        k = len(self.average)
        if k < 2 or not self.tables:
            return ["No ranks: it takes two methods measured on the same table."]
        ranks = ", ".join(f"{m} {r:.2f}" for m, r in self.average.items())
        counted = f"{self.tables} table{'s' if self.tables > 1 else ''}"
        said = [f"Average rank over {counted} (1 is best): {ranks}."]
        if not self.enough:
            said.append(
                f"{counted} cannot settle whether {k} methods differ in general: it takes at least {self.needed}. "
                "The intervals above speak of new splits of the same tables."
            )
            return said
        if k > 2:
            word = "significant" if self.friedman < LEVEL else "not significant"
            said.append(f"Friedman's test (Iman and Davenport): p = {self.friedman:.3g}, {word} at {LEVEL:.0%}.")
        certain = self.pairs[self.pairs["wilcoxon"] < LEVEL]
        if k > 2 and self.friedman >= LEVEL:
            certain = certain.iloc[:0]
        for pair in certain.sort_values("wilcoxon", kind="stable").head(MOST_SAID).itertuples():
            said.append(
                f"{pair.first} before {pair.second}: significant (Wilcoxon with Holm's correction, p = "
                f"{pair.wilcoxon:.3g}; Nemenyi p = {pair.nemenyi:.3g})."
            )
        if len(certain) > MOST_SAID:
            said.append(
                f"{len(certain) - MOST_SAID} more pairs differ significantly (Wilcoxon with Holm's correction)."
            )
        if certain.empty:
            said.append(f"No difference between two methods is significant at {LEVEL:.0%} after Holm's correction.")
        return said


def rank(errors: pd.DataFrame, higher_is_better: bool = False) -> Ranks:
    """Rank methods by table.

    Parameters
    ----------
    errors : a row per table, a column per method; tables that lack a method are left out
    """
    whole = errors.dropna()
    signed = -whole if higher_is_better else whole
    # errors over few test rows tie: differences by rounding count as equal
    by_table = signed.round(12).rank(axis=1)
    average = by_table.mean().sort_values(kind="stable")
    n, k = by_table.shape
    if k < 2 or not n:
        return Ranks(average, n, needed_tables(k), np.nan, np.nan, _pairs(signed, average, np.nan))
    return Ranks(
        average,
        n,
        needed_tables(k),
        friedman(by_table.to_numpy()) if k > 2 else np.nan,
        critical_difference(k, n),
        _pairs(signed, average, float(np.sqrt(k * (k + 1) / (6 * n)))),
    )


def needed_tables(k: int) -> int:
    """The fewest tables with which ``k`` methods could differ significantly at 5 % in the clearest case.

    Wilcoxon's exact two-sided p of n differences of one sign is 2 / 2^n, times k (k - 1) / 2 by Holm for the
    first pair; and Nemenyi's critical difference must be below the largest possible, k - 1.
    """
    if k < 2:
        return 1
    n = 1
    while 2 / 2**n * k * (k - 1) / 2 > LEVEL or critical_difference(k, n) > k - 1:
        n += 1
    return n


def friedman(ranks: np.ndarray) -> float:
    """p of Iman and Davenport's F for ranks of shape (n_tables, k), ties allowed.

    Chi-square with Friedman's correction for ties; F = (n - 1) chi2 / (n (k - 1) - chi2) with k - 1 and
    (k - 1)(n - 1) degrees of freedom (Iman and Davenport, Commun. Stat. A 9, 1980).
    """
    from scipy.stats import f as fisher

    n, k = ranks.shape
    if n < 2:
        return float("nan")
    total = float(((ranks - (k + 1) / 2) ** 2).sum())
    if total == 0:
        return 1.0
    between = n * float(((ranks.mean(axis=0) - (k + 1) / 2) ** 2).sum())
    chi2 = n * (k - 1) * between / total
    left = n * (k - 1) - chi2
    return 0.0 if left <= 1e-12 else float(fisher.sf((n - 1) * chi2 / left, k - 1, (k - 1) * (n - 1)))


def critical_difference(k: int, n: int) -> float:
    """Nemenyi's: q sqrt(k (k + 1) / (6 n)), q the studentized range's upper 5 % point over sqrt 2."""
    return _q(k) * float(np.sqrt(k * (k + 1) / (6 * n)))


@lru_cache
def _q(k: int) -> float:
    from scipy.stats import studentized_range

    return float(studentized_range.ppf(1 - LEVEL, k, np.inf)) / float(np.sqrt(2))


def holm(p: np.ndarray) -> np.ndarray:
    """Holm's step-down corrected p values (Scand. J. Statist. 6, 1979), same shape."""
    order = np.argsort(p)
    corrected = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    out = np.empty(len(p))
    out[order] = np.minimum(corrected, 1.0)
    return out


def _pairs(signed: pd.DataFrame, average: pd.Series, unit: float) -> pd.DataFrame:
    from scipy.stats import studentized_range, wilcoxon

    rows = []
    for first, second in combinations(average.index, 2):
        apart = float(average[second] - average[first])
        gap = (signed[first] - signed[second]).round(12).to_numpy()
        some = len(gap) and np.any(gap != 0)
        nemenyi = float(studentized_range.sf(apart / unit * np.sqrt(2), len(average), np.inf)) if some else 1.0
        rows.append((first, second, apart, nemenyi, float(wilcoxon(gap).pvalue) if some else 1.0))
    pairs = pd.DataFrame(rows, columns=["first", "second", "rank_difference", "nemenyi", "wilcoxon"])
    return pairs.assign(wilcoxon=holm(pairs["wilcoxon"].to_numpy(dtype=float)))
