"""Copies of test rows are found whatever their dtype, and told from the matches that chance gives."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from opal.evaluate.chance import Stratum, judge
from opal.evaluate.contamination import contamination, pool
from opal.evaluate.distance import Gower, row_keys
from opal.table import Group, Schema, Table, Train

SHARED = Path(__file__).resolve().parents[3] / "shared"
PUBLISHED = SHARED / "paper" / "gender_imbalanced"
GENDER = SHARED / "data" / "gender.csv"


def _split(table: Table, train_index, test_index, seed: int = 1) -> tuple[Train, pd.DataFrame]:
    frame, target = table.frame, table.schema.target
    groups = tuple(Group(target, label, label == table.minority) for label in table.schema.labels)
    train = frame.loc[train_index]
    return Train(train, table.schema.learn(train), groups, seed), frame.loc[test_index]


def _table(frame: pd.DataFrame, target: str = "y") -> Table:
    return Table("t", frame, Schema.infer(frame, target), minority=0)


@pytest.fixture
def smooth() -> Table:
    """1000 rows, none equal to another."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(1000, 5)).round(3), columns=list("abcde"))
    frame["y"] = (rng.random(1000) < 0.7).astype(int)
    assert not frame.duplicated().any()
    return _table(frame)


def test_copies_of_test_rows_are_found_and_loudly_warned_of(smooth):
    train, test = _split(smooth, range(100), range(100, 300))
    fresh = smooth.frame.iloc[:40].copy() + 0.0005  # near train, equal to nothing
    fresh["y"] = 0
    copied = test[test["y"] == 0].iloc[:10]
    result = contamination(pd.concat([fresh, copied]), train, test, smooth)
    assert result.metrics["contamination/test_exact"] == 10
    assert result.metrics["contamination/test_rate"] == 0.2
    assert result.metrics["contamination/train_exact"] == 0
    assert result.metrics["contamination/test_p"] < 1e-6
    assert result.matched.tolist() == [False] * 40 + [True] * 10
    assert result.warning is not None
    assert result.warning.startswith("WARNING: 10 of 50 synthetic rows equal a test row")
    assert result.per_row.loc[result.matched, "test_index"].tolist() == copied.index.tolist()
    assert (result.per_row.loc[result.matched, "test_nearest"] == 0).all()
    assert (result.per_row["test_nearest"][~result.matched] > 0).all()


def test_copies_of_train_rows_are_counted_but_are_no_sign_of_memory(smooth):
    train, test = _split(smooth, range(100), range(100, 300))
    result = contamination(pd.concat([train.frame.iloc[:5]] * 4), train, test, smooth)
    assert result.metrics["contamination/train_exact"] == 20
    assert result.metrics["contamination/test_exact"] == 0
    assert result.warning is None


def test_equality_is_of_values_not_of_dtypes():
    frame = pd.DataFrame(
        {
            "n": [1, 2, 3, 0],
            "x": [0.1, 0.3, np.nan, 0.0],
            "s": ["a", None, "b", "a"],
            "f": np.array([0.1, 0.2, 0.3, 0.4], dtype="float32"),
            "y": [0, 1, 0, 1],
        }
    )
    schema = Schema.infer(frame, "y")
    other = pd.DataFrame(
        {
            "n": [1.0, 2.0, 3.0, -0.0, 1.5],
            "x": [0.1, 0.1 + 0.2, None, -0.0, 0.1],
            "s": ["a", np.nan, "b", "a", "a"],
            "f": [0.1, 0.2, 0.3, 0.4, 0.1],
            "y": [0.0, 1.0, 0.0, 1.0, 0.0],
        }
    )
    real, made = row_keys(schema, frame, other)
    assert made[:4].tolist() == real.tolist()
    assert made[4] not in real  # 1.5 is not cut to 1


def test_gower_distance_of_a_hand_worked_pair():
    frame = pd.DataFrame({"x": [0.0, 10.0, 5.0], "s": ["a", "b", "c"], "m": [1.0, np.nan, 2.0], "y": [0, 1, 1]})
    schema = Schema.infer(frame, "y", kinds={"m": "real"})
    pairs = Gower(schema, frame).pairs(frame, frame)
    # x differs by 5 of 10, s differs, a missing m is 1 from a known one, y differs
    np.testing.assert_allclose(pairs[0], [0, 1, (0.5 + 1 + 1 + 1) / 4])
    np.testing.assert_allclose(pairs.diagonal(), 0)
    np.testing.assert_allclose(pairs[1, 2], (0.5 + 1 + 1 + 0) / 4)
    distance, where = Gower(schema, frame).nearest(frame, frame, skip=np.arange(3))
    assert where.tolist() == [2, 2, 1]
    np.testing.assert_allclose(distance, [3.5 / 4, 2.5 / 4, 2.5 / 4])


@pytest.mark.slow
@pytest.mark.parametrize("levels", [3, 12])
@pytest.mark.parametrize("together", [False, True], ids=["random", "deduplicate"])
def test_fresh_real_rows_match_as_often_as_the_baseline_says(levels, together):
    """Rows drawn from the table's own distribution: the expected count is right and alarms are rare."""
    rng = np.random.default_rng(levels)

    def draw(n):
        frame = pd.DataFrame(rng.integers(0, levels, size=(n, 3)), columns=list("abc"))
        return frame.assign(y=(rng.random(n) < 0.6).astype(int))

    counts, expected, alarms, outside = [], [], 0, 0
    for seed in range(40):
        table = _table(draw(600))
        order = rng.permutation(600)
        if together:  # as task.deduplicate has it: equal rows are on one side
            values = row_keys(table.schema, table.frame)[0]
            order = np.argsort(rng.permutation(values.max() + 1)[values], kind="stable")
        train, test = _split(table, order[450:500], order[:250], seed)
        made = draw(300)
        result = contamination(made[made["y"] == 0], train, test, table)
        counts.append(result.metrics["contamination/test_exact"])
        expected.append(result.metrics["contamination/test_chance"])
        alarms += result.warning is not None
        low, high = (result.metrics[f"contamination/test_chance_{side}"] for side in ("low", "high"))
        outside += not low <= counts[-1] <= high
    assert alarms <= 2
    assert outside <= 7  # 5 % of 40 expected
    spread = np.std(np.array(counts) - expected, ddof=1) / np.sqrt(40)
    assert abs(np.mean(counts) - np.mean(expected)) < 4 * spread + 0.02 * np.mean(expected)


def test_without_a_rest_the_baseline_comes_from_the_test_rows_themselves():
    rng = np.random.default_rng(1)
    frame = pd.DataFrame(rng.integers(0, 3, size=(300, 3)), columns=list("abc")).assign(y=rng.integers(0, 2, 300))
    table = _table(frame)
    train, test = _split(table, range(50), range(50, 300))
    result = contamination(frame[frame["y"] == 0].iloc[:50], train, test, table)
    assert result.metrics["contamination/test_chance"] > 25
    assert result.warning is None


def test_no_rows_and_rows_of_an_unknown_group_do_not_break_it(smooth):
    train, test = _split(smooth, range(100), range(100, 300))
    empty = contamination(smooth.frame.iloc[:0], train, test, smooth)
    assert empty.metrics["contamination/test_exact"] == 0
    assert len(empty.per_row) == 0
    assert empty.warning is None
    strange = contamination(smooth.frame.iloc[:3].assign(y=7), train, test, smooth)
    assert strange.per_row["group"].tolist() == ["other"] * 3
    assert pool([empty, strange]).metrics["contamination/test_exact"] == 0


def test_weak_evidence_adds_up_over_seeds(smooth):
    parts = []
    for seed in range(6):
        index = np.random.default_rng(seed).permutation(1000)
        train, test = _split(smooth, index[:100], index[100:300], seed)
        made = train.frame[train.frame["y"] == 0].iloc[:20] + 0.0005
        made["y"] = 0
        parts.append(contamination(pd.concat([made, test[test["y"] == 0].iloc[:1]]), train, test, smooth))
    assert all(p.warning is None for p in parts)
    whole = pool(parts)
    assert whole.metrics["contamination/test_exact"] == 6
    assert whole.warning is not None
    assert "over 6 seeds" in whole.warning
    assert whole.per_row["seed"].nunique() == 6
    assert whole.matched.sum() == 6


def test_many_seeds_do_not_let_the_prior_outweigh_what_was_seen():
    none_equal = Stratum("y=1", 40, 0, 40, 0, 50, 0, 50, 0)
    metrics, _, sentence = judge([none_equal] * 40, seeds=40)
    assert metrics["contamination/test_chance"] == 0
    assert metrics["contamination/test_chance_low"] == 0, sentence


def _published(seed: int) -> tuple[Train, pd.DataFrame, Table]:
    table = Table("gender", pd.read_csv(GENDER), Schema.infer(pd.read_csv(GENDER), "gender"), minority=0)
    parts = [pd.read_csv(PUBLISHED / f"{part}_rand{seed}.csv") for part in ("train", "test")]
    real, made = row_keys(table.schema, table.frame, pd.concat(parts))
    places: dict[int, list[int]] = {}
    for position, key in enumerate(real):
        places.setdefault(key, []).append(position)
    index = [places[key].pop() for key in made]
    return *_split(table, index[: len(parts[0])], index[len(parts[0]) :], seed), table


@pytest.mark.reference
def test_published_gender_rows_match_test_rows_as_chance_has_it():
    found = []
    for seed in (1, 2, 6, 8, 42):
        train, test, table = _published(seed)
        rows = pd.read_csv(PUBLISHED / f"llm_rand{seed}.csv")
        found.append(contamination(rows, train, test, table))
    assert [f.metrics["contamination/test_exact"] for f in found] == [7, 8, 6, 6, 10]
    assert {len(f.matched) for f in found} == {120}
    assert all(f.warning is None for f in found)
    whole = pool(found)
    assert whole.warning is None
    assert "chance in so coarse a table" in whole.sentence
