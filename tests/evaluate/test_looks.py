"""seeds=auto: looks at doubling numbers of seeds, whose intervals together miss the truth as seldom as one does."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from opal.errors import ConfigError
from opal.evaluate.looks import first_seeds, look_sizes, nominal_level
from opal.evaluate.verdict import confidence_interval


def test_looks_double_up_to_the_most():
    assert look_sizes(40) == [5, 10, 20, 40]
    assert look_sizes(30) == [5, 10, 20, 30]
    assert look_sizes(5) == [5]
    with pytest.raises(ConfigError, match=r"answer\.most_seeds=4"):
        look_sizes(4)


def test_the_published_seeds_come_first_and_none_twice():
    assert first_seeds(8) == [1, 2, 6, 8, 42, 3, 4, 5]
    assert len(set(first_seeds(60))) == 60
    assert first_seeds(10) == first_seeds(20)[:10]


@pytest.mark.slow
@pytest.mark.parametrize(("sizes", "bound"), [((1, 2), 2.178), ((1, 2, 3), 2.289), ((1, 2, 3, 4), 2.361)])
def test_bounds_of_equal_steps_are_pococks(sizes, bound):  # his Table 1
    assert stats.norm.ppf((1 + nominal_level(sizes)) / 2) == pytest.approx(bound, abs=1e-3)


def test_a_single_look_keeps_its_level():
    assert nominal_level((5,)) == 0.95


@pytest.mark.slow
def test_all_looks_together_miss_no_difference_in_about_5_percent():
    sizes = (5, 10, 20, 40)
    level, gaps = nominal_level(sizes), np.random.default_rng(0).normal(size=(2000, 40))
    missed = 0
    for gap in gaps:
        intervals = [confidence_interval(gap[:n], level) for n in sizes]
        missed += any(low > 0 or high < 0 for low, high in intervals)
    assert 0.035 < missed / len(gaps) < 0.065
