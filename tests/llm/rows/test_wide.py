"""Tables of many columns: requests that fit the model, time known in advance, one sentence where it cannot be."""

from __future__ import annotations

import json
from contextlib import nullcontext
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
from fake_server import FakeLLM, Reply
from scripted import load, new_rows, train_of
from tables import table_of

from opal.errors import ConfigError, LLMError
from opal.llm.api.client import Client
from opal.llm.api.messages import Request
from opal.llm.rows.generate import Generator
from opal.llm.rows.size import minutes


@dataclass
class Local:
    """A FAKE server on this machine, with a context as the embedded model has."""

    url: str
    context: int = 16384
    model: str = "fake-local"

    def start(self):
        return self.url, ""

    def turn(self, stop):
        return nullcontext()


def wide(columns: int):
    """A train set whose cells are four tokens each."""
    rng = np.random.default_rng(0)
    names = [f"x{i}" for i in range(columns - 1)]
    frame = pd.DataFrame(rng.uniform(1, 9, (60, columns - 1)).round(1), columns=names).assign(y=[0, 1, 1] * 20)
    return train_of(table_of(frame, "y", 0), 0, rows=60)


@pytest.fixture
def connect(tmp_path):
    def connect(fake, context=16384, **fields):
        can = {"grammar": "llguidance", "seed": True, "n": True}
        fields = {"n_per_request": 50, "api": "completion", "supports": can, "store": tmp_path} | fields
        fields = {"model": None, "server": Local(fake.url if fake else "", context)} | fields
        return Client(key_env=None, **fields)

    return connect


@pytest.mark.slow
@pytest.mark.parametrize("columns", [50, 100, 200])
def test_requests_fit_the_context_and_rows_come(columns, root, connect):
    train = wide(columns)
    size = 2 if columns == 50 else 1
    rows = new_rows(train, count=size)

    def answer(body):
        return [rows(Request("", sampling={"seed": body["seed"]}), i) for i in range(body.get("n", 1))]

    with FakeLLM(answer=answer) as fake:
        generator = Generator(connect(fake), load(root, "csv"))
        made = generator.sample(train, {train.minority_groups[0]: 20})
        plan = generator.plan(train, {train.minority_groups[0]: 20})
    assert len(made.frame) == 20 == plan.rows and made.funnel.requested == 20
    for body, request in zip(fake.requests, plan.requests, strict=True):
        assert request.constraint.regex.endswith(f"{{{size}}}")
        row = 4 * columns  # tokens, of which the prompt shows at least one
        assert len(body["prompt"]) / 3 + body.get("n", 1) * row < 16384 and body["max_tokens"] > row


def test_a_chat_model_is_asked_for_as_many_rows_as_an_answer_holds(root):
    client = Client("m", key_env=None, base_url="http://127.0.0.1:9")
    asked = {}
    for columns in (10, 200):
        train = wide(columns)
        (request, *_) = Generator(client, load(root, "expert")).plan(train, {train.minority_groups[0]: 20}).requests
        asked[columns] = request.constraint.json_schema["properties"]["rows"]["maxItems"]
        assert f"Make {asked[columns]} new records" in request.messages[1]["content"]
        assert request.sampling["max_tokens"] < 16384
    assert asked[10] == 10 and 1 <= asked[200] < 10


@pytest.mark.slow
def test_what_cannot_fit_is_told_at_once(root, connect):
    train = wide(500)
    said = (
        r"context=4096 is too small for 499 columns: one example and one new row are about \d+ tokens; raise it to 8192"
    )
    with pytest.raises(ConfigError, match=said):
        Generator(connect(None, 4096), load(root, "csv")).plan(train, {train.minority_groups[0]: 5})


def test_minutes_are_told_beforehand_and_only_for_a_model_on_this_machine(root, connect, caplog):
    train = wide(200)
    with FakeLLM(answer=lambda body: [""] * body.get("n", 1)) as fake:
        for client, told in ((connect(fake), 1), (connect(fake, server=None, model="m", base_url=fake.url), 1)):
            with pytest.raises(LLMError, match="no valid row"):  # none of its answers holds one
                Generator(client, load(root, "csv"), patience=1).sample(train, {train.minority_groups[0]: 40})
            assert len(caplog.records) == told
    assert "rows of 200 columns are about" in caplog.text and "minutes of the embedded model" in caplog.text
    assert minutes(10_000, 1000) == "" and minutes(0, 1_000_000) == "about 7 hours"


def test_a_local_model_that_is_too_slow_is_asked_once(connect):
    with FakeLLM(answer=lambda body: Reply(["late"], delay=5.0)) as fake:
        client = connect(fake, timeout=0.3, retries=3)
        with pytest.raises(LLMError, match=r"took more than llm\.timeout=0\.3 s: raise llm\.timeout, or ask for less"):
            client.complete([client.request(prompt="a,b\n")])
        assert len(fake.requests) == 1 and json.dumps(fake.requests[0])
