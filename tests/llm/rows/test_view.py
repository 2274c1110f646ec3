"""Numbers are shown with the decimals that most of a column's values have."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from opal.llm.rows.prompt import Prompt
from opal.llm.rows.view import View
from opal.table import Group, Schema, Train

WHOLE = np.arange(40.0, 80.0)


def shown_decimals(values, group: Group | None = None) -> int:
    frame = pd.DataFrame({"x": values, "y": [0, 1] * 20})
    schema = Schema.infer(frame, "y").learn(frame)
    group = group or Group("y", 0, True)
    view = View(Train(frame, schema, (group,), 1), group, Prompt(), 0.25, None)
    return next(c.decimals for c in view.columns if c.name == "x")


@pytest.mark.parametrize(
    ("values", "decimals"),
    [
        (WHOLE, 0),
        (np.r_[WHOLE[:39], 60.667], 0),
        (np.r_[WHOLE[:20], WHOLE[20:] + 0.5], 1),
        (np.r_[WHOLE[:39] + 0.5, 60.667], 1),
        (np.r_[np.zeros(38), 0.25, 1.0], 2),
        (np.full(40, np.nan), 0),
    ],
    ids=["whole", "one with more", "half with more", "one with two more", "too coarse for the range", "all missing"],
)
def test_decimals_that_most_values_have(values, decimals):
    assert shown_decimals(values) == decimals


def test_an_attribute_that_a_rule_is_about_keeps_its_decimals():
    values = np.r_[WHOLE[:39], 0.4]
    assert shown_decimals(values, Group("y", 0, True, "x", True)) == 1
