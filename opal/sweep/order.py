"""The order in which the jobs of a sweep are handed out to several workers: the longest first.

A long job that starts last keeps one worker busy while the others have nothing left (Graham, "Bounds on
multiprocessing timing anomalies", SIAM Journal on Applied Mathematics 17 (1969)).
"""

from __future__ import annotations

from collections.abc import Sequence

# Options whose jobs take long, the longest first, by what their names hold; all others are quick.
LONG = {
    "method": ("llm", "ctgan", "tvae"),
    "classifier": ("tabicl", "forest", "catboost", "boost", "lightgbm", "mlp", "svm"),
}


def longest_first(jobs: Sequence[Sequence[str]]) -> list[int]:
    """Positions of ``jobs``, each given by its overrides; equally long ones stay in the order typed."""
    return sorted(range(len(jobs)), key=lambda i: _rank(jobs[i]))


def _rank(overrides: Sequence[str]) -> list[int]:
    chosen = dict(o.lstrip("+").partition("=")[::2] for o in overrides)
    return [
        next((i for i, part in enumerate(parts) if part in chosen.get(group, "")), len(parts))
        for group, parts in LONG.items()
    ]
