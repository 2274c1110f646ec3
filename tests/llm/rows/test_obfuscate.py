"""A disguised table tells nothing of its origin and comes back equal."""

from __future__ import annotations

import pandas as pd
import pytest
from tables import mixed_table, number_table

from opal.llm.rows.obfuscate import Disguise


@pytest.mark.parametrize("table", [mixed_table(), number_table()])
@pytest.mark.parametrize("seed", [1, 42])
def test_every_row_comes_back_equal(table, seed):
    schema, frame = table.schema, table.frame
    disguise = Disguise(schema, seed)
    hidden = disguise.rows(frame, schema)
    back = [disguise.undo(r, schema) for r in hidden.to_dict("records")]
    pd.testing.assert_frame_equal(schema.cast(pd.DataFrame(back)), schema.cast(frame), check_exact=True)


def test_names_levels_and_numbers_are_hidden():
    table = mixed_table()
    disguise = Disguise(table.schema, 1)
    columns = [disguise.column(c) for c in table.schema.columns]
    hidden = disguise.rows(table.frame, table.schema)
    assert [c.name for c in columns] == list(hidden.columns) == ["x1", "x2", "x3", "x4", "x5", "x6", "y"]
    assert not set(hidden["x2"].dropna()) & set(table.frame["job"].dropna())
    assert not (hidden["x4"] == table.frame["age"]).any()
    assert {c.decimals for c in columns} == {c.decimals for c in table.schema.columns}


def test_limits_go_with_the_numbers():
    table = number_table()
    disguise = Disguise(table.schema, 1)
    hidden = disguise.rows(table.frame, table.schema)
    for c in map(disguise.column, table.schema.columns):
        values = hidden[c.name]
        assert set(values) <= set(c.levels) if c.nominal else (values.min(), values.max()) == (c.low, c.high)


def test_another_seed_is_another_disguise():
    table = mixed_table()
    one, two = (Disguise(table.schema, s).rows(table.frame, table.schema) for s in (1, 2))
    assert not one.equals(two)
