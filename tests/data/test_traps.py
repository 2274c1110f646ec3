"""Traps of a table: found where they are planted, and not elsewhere."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from tables import mixed_table, number_table, table_of

from opal.data.outline import outline, range_of
from opal.data.traps import traps


def frame(n: int = 300) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    x = rng.normal(size=n).round(3)
    return pd.DataFrame({"x": x, "ward": rng.choice(["a", "b", "c"], n), "y": (x + rng.normal(size=n) > 1).astype(int)})


def kinds(data: pd.DataFrame, target: str = "y") -> dict[str, str]:
    return {trap.kind: str(trap) for trap in traps(table_of(data, target))}


@pytest.mark.slow
@pytest.mark.parametrize("table", [mixed_table(400), number_table(400)], ids=lambda t: t.name)
def test_ordinary_tables_have_none(table):
    assert {trap.kind for trap in traps(table)} <= {"repeated"}


def test_a_column_that_is_the_target_by_another_name_is_a_leak():
    found = kinds(frame().assign(reject=lambda d: np.where(d["y"] == 1, "no", "yes")))
    assert "'reject' alone predicts 'y'" in found["leak"] and "data.drop=[reject]" in found["leak"]


def test_a_pair_of_columns_that_tells_the_target_is_a_leak():
    rng = np.random.default_rng(1)
    a, b = rng.integers(0, 2, 300), rng.integers(0, 2, 300)
    found = kinds(frame().assign(a=a, b=b, y=a ^ b))
    assert "together predict 'y'" in found["leak"] and "'a'" in found["leak"] and "'b'" in found["leak"]


def test_a_good_predictor_is_no_leak():
    rng = np.random.default_rng(1)
    assert "leak" not in kinds(frame().assign(good=lambda d: d["y"] + rng.normal(0, 0.4, len(d)).round(3)))


@pytest.mark.slow
def test_row_numbers_constants_repeated_rows_and_persons():
    data = frame()
    assert "'nr' looks like a key" in kinds(data.assign(nr=np.arange(300) + 1000))["key"]
    assert "data.drop=[same]" in kinds(data.assign(same="x"))["constant"]
    numbered = data.assign(z=data.index / 7)
    assert kinds(pd.concat([numbered, numbered.iloc[:7]]))["repeated"].startswith("7 of 307 rows repeat another")
    assert (
        "'patient_id' seems to name 100 persons or things"
        in kinds(data.assign(patient_id=np.arange(300) % 100))["person"]
    )


def test_labels_that_look_alike_and_classes_of_few_rows():
    data = frame()
    label = np.where(data["y"] == 1, "yes", "no").astype(object)
    label[:4] = "Yes "
    found = kinds(data.assign(y=label))
    assert "'Yes '" in found["labels"] and "'yes'" in found["labels"]
    assert "'Yes ' (4)" in found["rare"]


def test_a_table_in_a_sentence():
    table = mixed_table(200, missing=0.0)
    assert outline(table).startswith(
        "mixed: 200 rows, 6 features (3 of numbers, 3 of names); target outcome: no 160 (80.0%)"
    )
    assert range_of(table.schema["member"]) == "0, 1" and range_of(table.schema["age"]).endswith(" to 79")
