"""What the parser forgives, what it refuses and why, and that no bytes ever crash it."""

from __future__ import annotations

import json
import time

import hypothesis.strategies as st
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings

from opal.llm.rows.constrain import limits
from opal.llm.rows.parse import Parser
from opal.table import Group, Schema

FRAME = pd.DataFrame(
    {
        "age": [61, 72, 55, 40],
        "platelets": [265000.0, 162000.25, 127000.0, 303000.5],
        "job": ["clerk", "nurse, night", "cook", "clerk"],
        "died": [0, 0, 0, 1],
    }
)
SCHEMA = Schema.infer(FRAME, "died")
GROUP = Group("died", 0, True)
ROW = {"age": 61, "platelets": 265000.0, "job": "clerk", "died": 0}


def parser(style="csv", label=True):
    columns = limits(SCHEMA, GROUP, 0.5)
    labels = {"died": (0, 1)}
    return Parser(columns, style, labels=labels) if label else Parser(columns[:3], style, columns[3:], labels)


@pytest.mark.parametrize("style", ["csv", "text", "json"])
@pytest.mark.parametrize(
    "answer",
    [
        "61,265000.00,clerk,0",
        "61, 265000.0, clerk, 0",
        '"61","265,000.0","clerk","0"',
        "61,265,000.0,clerk,0",
        "1. 61,265000.0,clerk,0",
        "- 61,265000.0,clerk,0",
        "Row 1: 61,265000,clerk,0",
        "Sure! Here is a row:\n\n61,265000.0,clerk,0\n\nI hope this helps.",
        "```csv\nage,platelets,job,died\n61,265000.0,clerk,0\n```",
        "61;265000.0;clerk;0",
        "61\t265000.0\tclerk\t0",
        "| age | platelets | job | died |\n|---|---|---|---|\n| 61 | 265000.0 | Clerk | 0 |",
        "died,age,platelets,job\n0,61,265000.0,clerk",
        "age is 61, platelets is 265000.0, job is clerk, died is 0.",
        "1. age is 61, platelets is 265,000.0, job is clerk, died is 0",
        "platelets is 265000.00, age is 61, job is CLERK, died is 0.0.",
        '{"age": 61, "platelets": 265000.0, "job": "clerk", "died": 0}',
        'Here you go: {"rows": [{"age": "61", "platelets": "265,000", "job": "clerk", "died": 0}]} Enjoy!',
        '[[61, 265000.0, "clerk", 0]]',
        '```json\n[{"Age": 61, "Platelets": 265000, "Job": "clerk", "Died": 0}]\n```',
    ],
)
def test_forgives_form(style, answer):
    found = parser(style).parse(answer)
    assert [f.values for f in found if f.values] == [ROW]
    assert {f.reason for f in found if not f.values} <= {"stray"}


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("61,265000.0,clerk", "wrong_columns"),
        ("61,265,000.0,clerk,0,9", "wrong_columns"),
        ("age is 61, job is clerk, died is 0.", "wrong_columns"),
        ('{"age": 61, "platelets": 1, "job": "clerk", "died": 0, "more": 1}', "wrong_columns"),
        ("old,265000.0,clerk,0", "not_a_number"),
        ("inf,265000.0,clerk,0", "not_a_number"),
        ("1e999,265000.0,clerk,0", "not_a_number"),
        (",265000.0,clerk,0", "missing_value"),
        ("61,265000.0,pilot,0", "unknown_category"),
        ("200,265000.0,clerk,0", "out_of_range"),
        ("61,-5.0,clerk,0", "out_of_range"),
        ("61,265000.0,clerk,1", "wrong_label"),
        ("Nothing to see here", "stray"),
    ],
)
def test_refuses_values_with_a_reason(answer, reason):
    assert [(f.values, f.reason) for f in parser().parse(answer)] == [(None, reason)]


def test_label_may_be_left_out_and_is_checked_where_it_stands():
    p = parser(label=False)
    assert p.parse("61,265000.0,clerk")[0].values == {k: v for k, v in ROW.items() if k != "died"}
    assert p.parse("age,platelets,job,died\n61,265000.0,clerk,1")[0].reason == "wrong_label"
    assert p.parse('{"age": 61, "platelets": 265000, "job": "clerk", "died": 1}')[0].reason == "wrong_label"


@pytest.mark.parametrize(
    ("style", "answer"),
    [
        ("csv", "61,265000.0,clerk,0\n72,16"),
        ("text", "age is 61, platelets is 265000.0, job is clerk, died is 0.\nage is 72, platelets is 16"),
        ("json", '{"rows": [{"age": 61, "platelets": 265000.0, "job": "clerk", "died": 0}, {"age": 7'),
    ],
)
def test_cut_last_row_is_dropped_and_the_others_kept(style, answer):
    found = parser(style).parse(answer, "length")
    assert [f.values for f in found] == [ROW, None] and found[1].reason == "cut"


def test_whole_last_row_of_a_cut_answer_is_kept():
    assert [f.values for f in parser().parse("61,265000.0,clerk,0\n", "length")] == [ROW]


def test_numbers_are_rounded_to_the_columns_decimals():
    assert parser().parse("61.4,265000.126,clerk,0")[0].values == ROW | {"platelets": 265000.13}


def test_text_values_with_commas_need_no_quotes():
    row = parser("text").parse("age is 61, platelets is 265000.0, job is nurse, night, died is 0.")[0]
    assert row.values == ROW | {"job": "nurse, night"}


def valid(values):
    return (
        set(values) == set(ROW)
        and isinstance(values["age"], int | float)
        and 24 <= values["age"] <= 88
        and 0 <= values["platelets"] <= 391_001
        and values["job"] in set(FRAME["job"])
        and values["died"] == 0
    )


WORDS = ["61", "265000.0", "clerk", "0", "1", ",", "\n", "age is ", "platelets is ", "job is ", "died is ", ", ", "."]
WORDS += ["{", "}", "[", "]", '"age"', '"platelets"', '"job"', '"died"', '"died": 0', ": ", '"', "```", "nan", "-", "٣"]
pieces = st.sampled_from(WORDS)


@pytest.mark.slow
@pytest.mark.parametrize("style", ["csv", "text", "json"])
@settings(max_examples=200, deadline=None)
@given(text=st.one_of(st.text(), st.binary().map(lambda b: b.decode(errors="replace")), st.lists(pieces).map("".join)))
def test_no_text_crashes_it_or_passes_an_invalid_row(style, text):
    for label in (True, False):
        for finish in ("stop", "length"):
            for found in parser(style, label).parse(text, finish):
                assert (found.values is None) == bool(found.reason)
                assert found.values is None or valid({"died": 0} | found.values)


@pytest.mark.slow
@pytest.mark.parametrize("unit", ["a", "[", '{"', ",", "age is ", '"', "\n", "61,265000.0,clerk,0\n", "- ", "1", '\\"'])
@pytest.mark.parametrize("style", ["csv", "text", "json"])
def test_a_million_characters_take_seconds(style, unit):
    start = time.process_time()
    parser(style).parse(unit * (1_000_000 // len(unit)))
    assert time.process_time() - start < 10


def test_missing_values_where_train_has_them():
    frame = FRAME.assign(age=[61.0, np.nan, 55.0, 40.0], job=["clerk", None, "cook", "cook"])
    columns = limits(Schema.infer(frame, "died"), GROUP, 0.5)
    for style, answer in (
        ("csv", ",265000.0,,0"),
        ("text", "age is missing, platelets is 265000.0, job is missing, died is 0."),
        ("json", json.dumps(ROW | {"age": None, "job": None})),
        ("csv", "NA,265000.0,null,0"),
    ):
        values = Parser(columns, style).parse(answer)[0].values
        assert values and np.isnan(values["age"]) and np.isnan(values["job"])
