"""The classification tables that come with scikit-learn."""

from __future__ import annotations

from typing import Unpack

from opal.data.build import Common, build_table
from opal.errors import ConfigError
from opal.table import Table

NAMES = ("breast_cancer", "digits", "iris", "wine")


def load(name: str | None, **common: Unpack[Common]) -> Table:
    """Load one of NAMES; labels are the class names, the target column is ``target``.

    Raises
    ------
    ConfigError : unknown name
    """
    if name not in NAMES:
        raise ConfigError(f"data.name={name!r} is not a table of scikit-learn's; tables: {', '.join(NAMES)}")
    from sklearn import datasets

    bunch = getattr(datasets, f"load_{name}")(as_frame=True)
    labels = [label.item() for label in bunch.target_names]
    frame = bunch.frame.assign(target=[labels[i] for i in bunch.target])
    return build_table(name, frame, source=f"scikit-learn, load_{name}", **common)
