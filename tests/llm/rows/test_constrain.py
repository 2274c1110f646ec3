"""The regular expression and the schema accept exactly the rows that the parser accepts."""

from __future__ import annotations

import json
import re

import hypothesis.strategies as st
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from tables import mixed_table

from opal.llm.rows.constrain import constraint, json_schema, limits, number_regex
from opal.llm.rows.parse import Parser
from opal.llm.rows.write import lines, number
from opal.table import Group, Schema


@settings(max_examples=200, deadline=None)
@given(st.integers(-20000, 20000), st.integers(0, 20000), st.integers(0, 4), st.data())
def test_numbers_are_held_to_their_range_exactly(first, width, decimals, data):
    low, high = first / 10**decimals, (first + width) / 10**decimals
    pattern = re.compile(number_regex(low, high, decimals))
    units = data.draw(
        st.one_of(st.sampled_from([first, first + width, first - 1, first + width + 1, 0]), st.integers(-30000, 50000))
    )
    text = number(units / 10**decimals, decimals)
    assert bool(pattern.fullmatch(text)) == (first <= units <= first + width)
    assert not pattern.fullmatch("0" + text) and not pattern.fullmatch("-0" + ("." + "0" * decimals) * (decimals > 0))


@pytest.mark.parametrize("style", ["csv", "text", "json"])
def test_train_rows_match_their_constraint(style):
    table = mixed_table()
    group = Group("outcome", "yes", True)
    columns = limits(table.schema, group, 0.0)
    rows = lines(table.frame[group.mask(table.frame)], columns, style)
    rule = constraint(columns, style, 2)
    for pair in zip(rows[::2], rows[1::2], strict=False):
        answer = f'{{"rows": [{pair[0]}, {pair[1]}]}}' if style == "json" else "\n".join(pair) + "\n"
        assert re.fullmatch(rule.regex, answer)
        assert all(f.values for f in Parser(columns, style).parse(answer))
    other = lines(table.frame[~group.mask(table.frame)].head(2), columns, style)
    assert not re.fullmatch(rule.regex, "\n".join(other) + "\n")


def test_limits_widen_but_keep_a_sign_that_train_never_changes():
    frame = pd.DataFrame({"age": [20, 60, 40], "x": [-1.0, 1.5, 0.0], "flat": [3, 3, 3], "y": [0, 1, 0]})
    schema = Schema.infer(frame, "y", kinds={"flat": "integer"})
    age, x, flat, y = limits(schema, Group("y", 0, True), 1.0)
    assert (age.low, age.high) == (0, 100)
    assert (x.low, x.high) == (-3.5, 4.0)
    assert (flat.low, flat.high) == (3, 3)
    assert y.levels == (0,)


def test_limits_hold_the_attribute_of_the_group():
    frame = pd.DataFrame({"skin": [0, 20, 35, 0], "sex": [0, 1, 1, 0], "y": [0, 1, 0, 1]})
    schema = Schema.infer(frame, "y", kinds={"skin": "integer"})
    held = {level: limits(schema, Group("y", 0, True, "skin", level), 0.5)[0] for level in (True, False)}
    assert (held[True].low, held[True].high) == (1, 52)
    assert (held[False].low, held[False].high) == (0, 0)
    assert limits(schema, Group("y", 0, True, "sex", 1), 0.5)[1].levels == (1,)
    assert limits(schema, Group("y", 0, True, "sex", True), 0.5)[1].levels == (1,)


def test_json_schema_is_strict():
    frame = pd.DataFrame({"job": ["a", None, "b"], "age": [1, 2, 3], "w": [0.5, np.nan, 2.0], "y": [0, 1, 0]})
    rule = constraint(
        limits(Schema.infer(frame, "y", kinds={"job": "categorical", "w": "real"}), Group("y", 0, True), 0.1), "json", 3
    )
    schema = json.loads(json.dumps(rule.json_schema))
    item = schema["properties"]["rows"]["items"]
    assert item["additionalProperties"] is False and item["required"] == ["job", "age", "w", "y"]
    assert item["properties"] == {
        "job": {"type": ["null", "string"], "enum": ["a", "b", None]},
        "age": {"type": "integer", "minimum": 1, "maximum": 3},
        "w": {"type": ["number", "null"], "minimum": 0.3, "maximum": 2.1},
        "y": {"type": ["integer"], "enum": [0]},
    }


@settings(max_examples=60, deadline=None)
@given(st.integers(-3000, 3000), st.integers(0, 3000), st.integers(0, 3), st.floats(0, 0.5), st.data())
def test_the_schema_bounds_numbers_as_the_parser_does(first, width, decimals, widen, data):
    frame = pd.DataFrame({"x": np.array([first, first + width, first]) / 10**decimals, "y": [0, 1, 0]})
    kinds = {"x": {"kind": "real" if decimals else "integer", "decimals": decimals}}
    columns = limits(Schema.infer(frame, "y", kinds=kinds), Group("y", 0, True), widen)
    cell = json_schema(columns, 1)["properties"]["rows"]["items"]["properties"]["x"]
    units = [round(cell[end] * 10**decimals) for end in ("minimum", "maximum")]
    for unit in (*units, units[0] - 1, units[1] + 1, data.draw(st.integers(-7000, 9000))):
        value = json.loads(number(unit / 10**decimals, decimals))
        [found] = Parser(columns, "json").parse(json.dumps({"x": value, "y": 0}))
        assert (found.reason == "out_of_range") == (not cell["minimum"] <= value <= cell["maximum"])
