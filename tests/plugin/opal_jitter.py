"""A method of one's own: minority rows with a little noise. One class, one YAML (``conf/method/jitter.yaml``)."""

from __future__ import annotations

import pandas as pd

from opal.methods.base import Oversampler


class Jitter(Oversampler):
    """Minority rows drawn again, their real columns moved by ``scale`` standard deviations."""

    def __init__(self, scale: float = 0.1) -> None:
        self.scale = scale

    def _sample(self, train, wanted, rng, progress) -> pd.DataFrame:
        made = []
        for group, n in wanted.items():
            rows = train.rows(group)
            drawn = rows.iloc[rng.integers(len(rows), size=n)].copy()
            for column in train.schema.features:
                if column.kind == "real":
                    noise = rng.normal(0, self.scale * rows[column.name].std(), n)
                    drawn[column.name] = (drawn[column.name] + noise).round(column.decimals)
            made.append(drawn)
        return pd.concat(made)
