"""Missing cells of a model's rows: as often, and as often together, as in the group's train rows."""

from __future__ import annotations

import json
import re
from collections import Counter

import numpy as np
import pandas as pd
import pytest
from fake_server import FakeLLM
from scripted import load, train_of
from tables import table_of

from opal.errors import ConfigError
from opal.llm.api.client import Client
from opal.llm.rows.generate import Generator

PAIR = ["systolic", "diastolic"]


@pytest.fixture
def train():
    """Pressures are missing together in two fifths of the group's 40 rows, a job in a fifth, the age never."""
    rng = np.random.default_rng(0)
    n = 160
    frame = pd.DataFrame(
        {
            "age": rng.integers(20, 80, n),
            "systolic": rng.normal(130, 20, n).round(1),
            "diastolic": rng.normal(80, 10, n).round(1),
            "job": rng.choice(["clerk", "cook", "nurse"], n).astype(object),
            "label": np.repeat([1, 0], [40, 120]),
        }
    )
    frame.loc[rng.permutation(40)[:16], PAIR] = np.nan
    frame.loc[rng.permutation(40)[:8], "job"] = None
    frame["age"] = frame["age"].astype(float).mask(np.arange(n) > 150)  # in the other class
    return train_of(table_of(frame, "label", 1), 1, rows=n)


def patterns(frame: pd.DataFrame) -> Counter:
    return Counter(map(tuple, frame[["age", *PAIR, "job"]].isna().to_numpy().tolist()))


def answer(body):
    """FAKE model: most rows whole, one in five without a job, one in ten without an age."""
    rng = np.random.default_rng(body["seed"])
    rows = []
    for kind in rng.choice(["whole", "job", "half"], 10, p=[0.7, 0.2, 0.1]):
        age, high, low = rng.integers(300, 700) / 10, rng.normal(130, 9), rng.normal(80, 5)
        row = [f"{age:.0f}", f"{high:.1f}", f"{low:.1f}", str(rng.choice(["cook", "nurse"]))]
        if kind != "whole":
            row[3 if kind == "job" else 0] = ""
        rows.append(row)
    shown = "\n".join(",".join(row) for row in rows)
    if "messages" not in body:
        return shown
    names = ["age", *PAIR, "job"]
    cells = ({n: c or None for n, c in zip(names, row, strict=True)} | {"label": 1} for row in rows)
    return "\n".join(map(json.dumps, cells))


@pytest.mark.slow
@pytest.mark.parametrize(("api", "prompt"), [("completion", "csv"), ("chat", "expert")])
def test_patterns_are_those_of_train(api, prompt, train, root, tmp_path):
    group = train.minority_groups[0]
    with FakeLLM(answer=answer) as fake:
        client = Client(
            model="fake", base_url=fake.url, key_env=None, api=api, store=tmp_path, sampling={"temperature": 1.0},
            supports={"seed": True, "grammar": "guided_regex"},
        )  # fmt: skip
        made = Generator(client, load(root, prompt)).sample(train, {group: 120})
        few = Generator(client, load(root, prompt)).sample(train, {group: 30}).frame
        regex = fake.requests[0]["guided_regex"]
    own, wanted = patterns(train.rows(group)), patterns(made.frame)
    assert set(wanted) <= set(own) and made.funnel.rejects["missing_value"]
    assert all(abs(wanted[p] - 3 * own[p]) <= 5 for p in own), (wanted, own)  # 120 rows are three turns of 40
    assert made.frame.head(30).equals(few)
    if api == "completion":
        assert re.fullmatch(regex, "30,120.0,80.0,cook\n" * 2)
        assert not re.search(regex, "30,,,cook\n30,120.0,80.0,\n")


def test_the_model_may_be_left_to_itself(train, root, tmp_path):
    group = train.minority_groups[0]
    with FakeLLM(answer=answer) as fake:
        client = Client(
            model="fake", base_url=fake.url, key_env=None, api="completion", store=tmp_path, supports={"seed": True}
        )
        made = Generator(client, load(root, "csv"), missing="model").sample(train, {group: 60}).frame
    assert made["age"].isna().any() and not made[PAIR].isna().any(axis=None)
    with pytest.raises(ConfigError, match=r"method\.missing='none' is unknown; options: pattern, model"):
        Generator(client, load(root, "csv"), missing="none")


def test_a_column_without_a_value_in_the_group_stays_empty_and_is_not_asked_for(train, root):
    from scripted import Scripted

    train.frame.loc[train.frame["label"] == 1, "systolic"] = np.nan
    client = Scripted(lambda request, i: f"{30 + i},,{80 + i}.5,cook\n{50 + i},,{70 + i}.5,nurse\n")
    made = Generator(client, load(root, "csv"), widen=1.0).sample(train, {train.minority_groups[0]: 8}).frame
    assert made["systolic"].isna().all() and re.fullmatch(client.requests[0].constraint.regex, "30,,80.5,cook\n" * 2)
