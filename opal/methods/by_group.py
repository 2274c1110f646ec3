"""Base class of methods that make a group's rows from that group's rows alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from opal.errors import MethodError
from opal.methods.base import Oversampler
from opal.methods.smote import decode, encode
from opal.table import Group, Train


class ByGroup(Oversampler):
    """A subclass writes ``_rows``; columns come to it as numbers and go back as values."""

    least = 1  # rows a group must have

    def _sample(self, train: Train, wanted: dict[Group, int], rng: np.random.Generator, progress: Any) -> pd.DataFrame:
        schema, who = train.schema, self._name
        codes, levels = encode(train.frame, schema)
        nominal = np.array([c.nominal for c in schema.features])
        made = []
        for group, n in wanted.items():
            own = codes.to_numpy()[group.mask(train.frame)]
            if n and len(own) < self.least:
                raise MethodError(
                    f"{who} needs {self.least} train rows of {group.name} and has {len(own)}: "
                    "take more (task sizes), or use method=duplicate or method=llm"
                )
            rows = self._rows(own, nominal, n, rng) if n else own[:0]
            frame = pd.DataFrame(rows, columns=codes.columns)
            made.append(decode(frame, schema, levels).assign(**{schema.target: group.label}))
        return pd.concat(made)

    @property
    def _name(self) -> str:
        return type(self).__name__

    def _rows(self, own: np.ndarray, nominal: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
        """``n`` new rows like ``own`` (n_rows, n_features); columns where ``nominal`` is true hold level codes."""
        raise NotImplementedError
