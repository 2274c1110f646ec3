"""Which classes are short of rows (``data.minority``)."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any, cast

import pandas as pd

from opal.errors import ConfigError


def short_labels(
    target: pd.Series, labels: Sequence[Hashable], given: Hashable | Sequence[Hashable]
) -> tuple[Hashable, ...]:
    """The labels that are short of rows, the rarest first; ``given`` as in Common."""
    counts = target.value_counts().to_dict()
    if isinstance(given, Sequence) and not isinstance(given, str):
        if not given:
            raise ConfigError("data.minority=[] names no class: name those that are short of rows, or say auto")
        found = dict.fromkeys(match_label(labels, one) for one in given)
        return tuple(sorted(found, key=lambda label: counts.get(label, 0)))
    if given is not None and (given != "auto" or "auto" in labels):
        return (match_label(labels, given),)
    if not labels:
        return (None,)
    rarest_first = sorted(labels, key=lambda label: counts[label])
    few = [label for label in rarest_first if 2 * counts[label] < max(counts.values())]
    return tuple(few if few and (len(labels) > 2 or given) else rarest_first[:1])


def match_label(labels: Sequence[Hashable], given: Hashable) -> Hashable:
    """The label equal to ``given`` by value, as text or as a number; ``given`` itself when none is."""
    tests: tuple[Callable[[Any], bool], ...] = (
        lambda label: label == given,
        lambda label: str(label).strip() == str(given).strip(),
        lambda label: float(label) == float(cast(Any, given)),
    )
    for same in tests:
        for label in labels:
            try:
                if same(label):
                    return label
            except (TypeError, ValueError):
                continue
    return given
