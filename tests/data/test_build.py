"""Frames of any origin become int64, float64 and text."""

from __future__ import annotations

import datetime
import logging

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opal.data.build import build_table, normalise
from opal.data.parse import parse_file
from opal.errors import DataError
from opal.table import Schema, frame_digest

N = 8
ODD = {
    "constant": [3.5] * N,
    "whole_floats": np.arange(N) * 1.0,
    "huge": [2**62 + i for i in range(N)],
    "beyond_int64": np.array([2**63 + i for i in range(N)], dtype="uint64"),
    "beyond_everything": [10**30 + i for i in range(N)],
    "float32": (np.arange(N) / 10).astype("float32"),
    "tiny": np.arange(1, N + 1) * 1e-9,
    "mixture": [1, "a", 2.5, None, "1", True, b"x", 3],
    "unused_level": pd.Categorical(["a", "b"] * 4, categories=["z", "a", "b"]),
    "number_levels": pd.Categorical([1, 2, None, 1] * 2, categories=[3, 2, 1]),
    "Int64": pd.array([1, 2, None, 4, 5, 6, 7, 8], dtype="Int64"),
    "Int64_full": pd.array(range(N), dtype="Int64"),
    "Float32": pd.array([0.1, None] * 4, dtype="Float32"),
    "boolean": pd.array([True, None, False, True] * 2, dtype="boolean"),
    "bool": [True, False] * 4,
    "bool_objects": np.array([True, False, None, True] * 2, dtype=object),
    "numpy_text": np.array(["x", "yy"] * 4),
    "string": pd.array(["x", None] * 4, dtype="string"),
    "day": pd.date_range("2020-01-01", periods=N),
    "hour": pd.date_range("2020-01-01", periods=N, freq="h"),
    "date": [datetime.date(2020, 1, 1)] * 7 + [None],
    "period": pd.period_range("2020", periods=N, freq="M"),
    "list": [[1]] * N,
    5: range(N),
    "label": [0.0, 1.0] * 4,
}


@pytest.fixture(scope="module")
def table():
    return build_table("odd", pd.DataFrame(ODD, index=list("abcdefgh")), source="test", target="label")


def test_three_dtypes_only(table):
    text = str(pd.DataFrame({"t": ["a"]}).t.dtype)
    assert {str(t) for t in table.frame.dtypes} == {"int64", "float64", text}
    assert list(table.frame.index) == list(range(N))
    assert all(isinstance(c, str) for c in table.frame.columns)


@pytest.mark.parametrize(
    ("column", "kind", "decimals", "first"),
    [
        ("constant", "binary", 1, 3.5),
        ("whole_floats", "integer", 0, 0.0),
        ("huge", "integer", 0, 2**62),
        ("beyond_int64", "categorical", 0, str(2**63)),
        ("beyond_everything", "categorical", 0, str(10**30)),
        ("float32", "real", 1, 0.0),
        ("tiny", "real", 14, 1e-9),
        ("mixture", "categorical", 0, "1"),
        ("unused_level", "binary", 0, "a"),
        ("number_levels", "binary", 0, 1.0),
        ("Int64", "integer", 0, 1.0),
        ("Int64_full", "integer", 0, 0),
        ("Float32", "binary", 1, 0.1),
        ("boolean", "binary", 0, 1.0),
        ("bool", "binary", 0, 1),
        ("bool_objects", "binary", 0, 1.0),
        ("numpy_text", "binary", 0, "x"),
        ("string", "binary", 0, "x"),
        ("day", "date", 0, 18262),
        ("hour", "date", 0, 1577836800),
        ("date", "binary", 0, "2020-01-01"),
        ("period", "date", 0, 18262),
        ("list", "binary", 0, "[1]"),
        ("5", "integer", 0, 0),
        ("label", "binary", 0, 0),
    ],
)
def test_kind_and_first_value(table, column, kind, decimals, first):
    assert (table.schema[column].kind, table.schema[column].decimals) == (kind, decimals)
    assert table.frame[column].iloc[0] == first


def test_cast_and_learn_hold_for_every_column(table):
    assert frame_digest(table.schema.cast(table.frame)) == table.digest
    learned = table.schema.learn(table.frame.iloc[1:2])  # one row: several columns are all missing there
    for whole, part in zip(table.schema.columns, learned.columns, strict=True):
        assert part.numeric == whole.numeric, whole.name


def test_values_survive_a_csv_file(table, tmp_path):
    table.frame.to_csv(tmp_path / "t.csv", index=False)
    assert frame_digest(table.schema.cast(parse_file(tmp_path / "t.csv"))) == table.digest


def test_column_without_values_is_left_out_and_said(caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("opal.data.build"), "disabled", False)  # import-linter's set-up disables it
    frame = pd.DataFrame({"x": [1, 2, 3], "nothing": [None] * 3, "y": [0, 1, 1]})
    with caplog.at_level(logging.WARNING):
        made = build_table("t", frame, source="test", target="y", descriptions={"nothing": "?"})
    assert made.schema.names == ["x", "y"]
    assert "'nothing'" in caplog.text


def test_named_parquet_index_is_a_column(tmp_path):
    from opal.data.file import load

    frame = pd.DataFrame({"x": [1, 2, 3], "y": [0, 1, 1]}, index=pd.Index([7, 8, 9], name="patient"))
    frame.to_parquet(tmp_path / "t.parquet")
    assert load(path=str(tmp_path / "t.parquet"), target="y").schema.names == ["patient", "x", "y"]


def test_duplicate_names_are_refused():
    frame = pd.DataFrame([[1, 2, 0], [1, 2, 1]], columns=["x", "x", "y"])
    with pytest.raises(DataError, match="two columns named 'x'"):
        build_table("t", frame, source="test", target="y")


def test_digest_tells_values_order_names_and_kinds_apart():
    base = pd.DataFrame({"a": [1.0, 2.0], "b": ["x", None]})
    others = [
        base.iloc[::-1],
        base[["b", "a"]],
        base.rename(columns={"a": "c"}),
        base.assign(a=[1, 2]),
        base.assign(b=["x", ""]),
        base.assign(b=["x", "None"]),
    ]
    digests = [frame_digest(f) for f in [base, *others]]
    assert len(set(digests)) == len(digests)
    assert frame_digest(base.set_axis([5, 6])) == digests[0]
    assert frame_digest(base.astype({"b": object})) == digests[0]


CELLS = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_infinity=False), st.text(max_size=5))


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(CELLS, min_size=4, max_size=4), min_size=1, max_size=3))
def test_any_cells_give_a_schema_that_casts_its_own_frame(columns):
    frame = normalise(pd.DataFrame({f"c{i}": pd.Series(c, dtype=object) for i, c in enumerate(columns)}))
    frame["y"] = [0, 1, 0, 1]
    schema = Schema.infer(frame, "y")
    assert frame_digest(schema.cast(frame)) == frame_digest(frame)


def test_cast_reads_codes_back_as_text():
    frame = pd.DataFrame({"code": ["12", "7", None, "A"], "y": ["0", "1", "1", "0"]})
    table = build_table("codes", frame, source="test", target="y")
    assert table.minority == "0" and table.schema["code"].kind == "categorical"
    numbers = pd.DataFrame({"code": [12, np.nan, 7], "y": [0, 1, 1]})  # what a CSV reader makes of such rows
    back = table.schema.cast(numbers)
    assert back.code.tolist()[::2] == ["12", "7"] and back.code.isna().tolist() == [False, True, False]
    assert back.y.tolist() == ["0", "1", "1"]
