"""``seeds=auto``: as many seeds as the answer needs, checked after 5, 10, 20, 40, ... of them.

Each look uses a part of the error probability, so that stopping early does not make false answers more likely: all
looks have the same nominal level, found for the doubling numbers of seeds (Pocock, "Group sequential methods in the
design and analysis of clinical trials", Biometrika 64, 1977). The boundary is computed by the recursion of Armitage,
McPherson and Rowe, "Repeated significance tests on accumulating data", JRSS A 132 (1969), and the nominal level is used
with Student's t, as Pocock proposes.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise

import numpy as np

from opal.errors import ConfigError

AUTO = "auto"
FIRST_LOOK = 5
PUBLISHED = (1, 2, 6, 8, 42)  # the seeds of the published study come first


def look_sizes(most: int) -> list[int]:
    """Numbers of seeds after which the answer is checked: 5, 10, 20, ... and finally ``most``.

    Raises
    ------
    ConfigError : ``most`` is less than the first look
    """
    if most < FIRST_LOOK:
        raise ConfigError(f"answer.most_seeds={most} must be {FIRST_LOOK} or more: that many seeds are run first")
    sizes = [FIRST_LOOK]
    while sizes[-1] < most:
        sizes.append(min(2 * sizes[-1], most))
    return sizes


def first_seeds(n: int) -> list[int]:
    """The first ``n`` seeds of ``seeds=auto``: the published five, then the smallest whole numbers left."""
    rest = (seed for seed in range(1, n + len(PUBLISHED) + 1) if seed not in PUBLISHED)
    return [*PUBLISHED, *rest][:n]


@lru_cache
def nominal_level(sizes: tuple[int, ...], level: float = 0.95) -> float:
    """Level of the interval at every look, such that with probability ``level`` none of them misses the truth."""
    from scipy.optimize import brentq
    from scipy.stats import norm

    if len(sizes) == 1:
        return level
    bound = brentq(lambda c: _all_within(c, sizes) - level, norm.ppf((1 + level) / 2), 6.0, xtol=1e-6)
    return round(float(2 * norm.cdf(bound) - 1), 6)


def _all_within(bound: float, sizes: Sequence[int], points: int = 801) -> float:
    """Probability that sums S_n of n independent standard normals stay within ``bound`` sqrt(n) at every look."""
    from scipy.integrate import trapezoid
    from scipy.stats import norm

    edge = bound * np.sqrt(sizes[0])
    at = np.linspace(-edge, edge, points)
    density = norm.pdf(at, scale=np.sqrt(sizes[0]))
    for before, size in pairwise(sizes):
        edge = bound * np.sqrt(size)
        new = np.linspace(-edge, edge, points)
        steps = norm.pdf(new[:, None] - at[None, :], scale=np.sqrt(size - before))
        density, at = trapezoid(steps * density, at, axis=1), new
    return float(trapezoid(density, at))
