"""Ranks over tables, against scikit-posthocs and SciPy; and the word significant only with tables enough."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from opal.report.ranks import friedman, holm, needed_tables, rank


def draws(tables: int, methods: int = 4, apart: float = 0.0, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    errors = rng.normal(0.3, 0.03, (tables, methods)) + apart * np.arange(methods)
    return pd.DataFrame(errors, columns=list("abcdefgh")[:methods], index=[f"t{i}" for i in range(tables)])


@pytest.mark.parametrize("seed", range(4))
def test_equal_to_scikit_posthocs(seed):
    posthocs = pytest.importorskip("scikit_posthocs")
    errors = draws(12, apart=0.02, seed=seed)
    found = rank(errors)
    nemenyi = posthocs.posthoc_nemenyi_friedman(errors)
    for pair in found.pairs.itertuples():
        assert pair.nemenyi == pytest.approx(nemenyi.loc[pair.first, pair.second], abs=1e-6)


def test_friedman_is_iman_and_davenports_f_of_scipys_chi_square():
    errors = draws(12, apart=0.02)
    n, k = errors.shape
    chi2 = stats.friedmanchisquare(*errors.to_numpy().T).statistic
    f = (n - 1) * chi2 / (n * (k - 1) - chi2)
    assert rank(errors).friedman == pytest.approx(stats.f.sf(f, k - 1, (k - 1) * (n - 1)))
    assert friedman(np.full((5, 3), 2.0)) == 1.0  # all tied


def test_pairs_are_wilcoxons_with_holms_correction():
    errors = draws(12, apart=0.02)
    pairs = rank(errors).pairs
    plain = np.array([stats.wilcoxon(errors[p.first], errors[p.second]).pvalue for p in pairs.itertuples()])
    np.testing.assert_allclose(pairs["wilcoxon"], holm(plain))
    np.testing.assert_allclose(holm(np.array([0.01, 0.04, 0.03])), [0.03, 0.06, 0.06])


@pytest.mark.parametrize("methods, needed", [(2, 6), (3, 7), (4, 8), (5, 9)])
def test_tables_needed(methods, needed):
    """With one fewer the smallest p value that there can be is above 5 %."""
    assert needed_tables(methods) == needed
    clear = draws(needed, methods, apart=10)
    assert rank(clear).pairs["wilcoxon"].min() < 0.05
    assert rank(clear.iloc[1:]).pairs["wilcoxon"].min() > 0.05


def test_significant_is_said_only_with_tables_enough():
    few = " ".join(rank(draws(7, apart=10)).sentences())
    assert "significant" not in few and "it takes at least 8" in few
    many = " ".join(rank(draws(12, apart=10)).sentences())
    assert "a before b: significant" in many
    none = " ".join(rank(draws(12)).sentences())
    assert "not significant" in none and "before" not in none


def test_ranks_ties_gaps_and_direction():
    errors = pd.DataFrame({"a": [0.1, 0.2, np.nan], "b": [0.1, 0.3, 0.1]})
    found = rank(errors)
    assert found.tables == 2 and found.average.to_dict() == {"a": 1.25, "b": 1.75}
    assert rank(errors, higher_is_better=True).average.to_dict() == {"b": 1.25, "a": 1.75}
    assert "two methods" in rank(errors[["a"]]).sentences()[0]
    assert "two methods" in rank(errors.iloc[2:]).sentences()[0]
