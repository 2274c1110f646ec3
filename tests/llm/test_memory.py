"""Recall of the real table: a model that remembers it is told from one that does not."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from fake_server import FakeLLM, Status
from tables import mixed_table, number_table, table_of

from opal.errors import LLMError
from opal.llm.memory import recall
from opal.llm.rows.write import lines


def text_of(body):
    return body["prompt"] if "prompt" in body else body["messages"][-1]["content"]


def remembers(table):
    """Continues the file from the last line shown."""
    written = lines(table.frame, table.schema.columns, "csv")

    def answer(body):
        start = 1 + max(i for i, line in enumerate(written[:30]) if line in text_of(body).splitlines())
        return "\n".join(written[start : start + 20]) + "\n"

    return answer


def makes_up(table):
    """New rows of the same kind."""
    rng = np.random.default_rng(5)
    frame = pd.DataFrame({c: rng.permutation(table.frame[c].to_numpy()) for c in table.frame})
    return lambda body: "\n".join(lines(frame.head(20), table.schema.columns, "csv"))


@pytest.mark.parametrize("api", ["chat", "completion"])
@pytest.mark.parametrize("table", [mixed_table(200), number_table(200)], ids=lambda t: t.name)
def test_a_model_that_knows_the_table_is_found(make, table, api):
    with FakeLLM(answer=remembers(table)) as fake:
        found = recall(make(fake, api=api), table.frame, table.schema)
        (body,) = fake.requests
    assert found.recalled == len(found.rows) == 20 and found.known
    assert found.rows["line"].tolist() == found.rows["answer"].tolist()
    assert found.rows["row"].tolist() == list(range(20, 40))
    assert "recalled 20 of the next 20" in found.sentence and "it knows this table" in found.sentence
    shown = text_of(body)
    assert ",".join(table.schema.names) in shown
    assert not set(found.rows["line"]) & set(shown.splitlines())  # what is asked for is not shown
    assert found.usage.requests == 1 and found.prompts[0]["key"]
    assert found.metrics["contamination/recall"] == 1 and found.metrics["contamination/recall_chance"] < 0.1


@pytest.mark.parametrize("table", [mixed_table(200), number_table(200)], ids=lambda t: t.name)
def test_a_model_that_does_not_is_cleared(make, table):
    with FakeLLM(answer=makes_up(table)) as fake:
        found = recall(make(fake), table.frame, table.schema)
    assert not found.known and "no sign" in found.sentence
    assert found.recalled <= 2


def test_a_coarse_table_gives_hits_by_chance(make):
    frame = pd.DataFrame({"a": np.arange(200) % 2, "b": np.arange(200) // 2 % 3, "y": np.arange(200) % 5 // 4})
    table = table_of(frame.sample(frac=1, random_state=0, ignore_index=True), "y", 1)
    with FakeLLM(answer=makes_up(table)) as fake:
        found = recall(make(fake), table.frame, table.schema)
    assert found.recalled >= 10 and found.chance > 10 and not found.known


def test_rows_of_little_use_are_no_recall(make):
    table = number_table(200)
    for silly in ("Sorry, I cannot.", "", "1,2\n3,4\n"):
        with FakeLLM(answer=lambda body, silly=silly: silly) as fake:
            assert recall(make(fake, cache="off"), table.frame, table.schema).recalled == 0


def test_faults_are_sentences(make):
    table = number_table(200)
    with FakeLLM(answer=lambda body: Status(400, "no", "no such thing")) as fake, pytest.raises(LLMError):
        recall(make(fake), table.frame, table.schema)
    with FakeLLM() as fake, pytest.raises(LLMError, match="too small"):
        recall(make(fake), table.frame.head(5), table.schema)


def test_wide_rows_are_shown_as_far_as_they_fit(make):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(60, 50)).round(3)).add_prefix("v").assign(y=np.arange(60) % 2)
    table = table_of(frame, "y", 1)
    with FakeLLM(answer=remembers(table)) as fake:
        found = recall(make(fake), table.frame, table.schema)
        assert len(text_of(fake.requests[0])) < 4000
    assert 1 <= len(found.rows) < 20 and found.recalled == len(found.rows)
