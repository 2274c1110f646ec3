"""Models that refuse, rename or need more: learned from their own words (a strict FAKE of api.openai.com)."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from unittest.mock import Mock

import pytest
import yaml
from fake_server import FakeLLM, Raw, Reply, Status
from hypothesis import given
from hypothesis import strategies as st
from strict_openai import StrictOpenAI

from opal.errors import LLMError
from opal.llm.api import batch
from opal.llm.api.budget import Prices
from opal.llm.api.gbnf import gbnf
from opal.llm.api.messages import Constraint

SAMPLING = {"temperature": 0.7, "max_tokens": 100}
SUPPORTS = {"json_schema": True, "json_object": True, "seed": True, "n": True}
LIMITED = {"model": "o3", "sampling": {"max_tokens": 100}, "supports": SUPPORTS}
SCHEMA = {
    "type": "object",
    "properties": {
        "rows": {
            "type": "array",
            "items": {"type": "integer", "minimum": 1, "maximum": 9},
            "minItems": 3,
            "maxItems": 3,
        }
    },
    "required": ["rows"],
    "additionalProperties": False,
}


def strict(answer="1,2,3", **more):
    return StrictOpenAI(lambda body: answer, **more)


@pytest.mark.parametrize("model", ["gpt-4o-mini", "gpt-6-luna", "o3", "gpt-5-mini"])
def test_every_openai_model_answers(make, ask, model):
    with strict() as fake:
        client = make(fake, model=model, sampling=SAMPLING, supports=SUPPORTS)
        found = client.complete(ask(client, 3, constraint=Constraint(json_schema=SCHEMA), sampling={"seed": 7}))
    assert [r.texts for r in found] == [("1,2,3",)] * 3
    assert {r.mode for r in found} == {"schema"}
    last = fake.requests[-1]
    if model == "gpt-4o-mini":
        assert len(fake.requests) == 3 and last["max_tokens"] == 100 and last["temperature"] == 0.7
    else:
        assert "temperature" not in last and last["max_completion_tokens"] == 100 + 4096 and last["seed"] == 7


@pytest.mark.parametrize("model", ["gpt-4o-mini", "gpt-6-luna", "o3-pro"])
@pytest.mark.parametrize("mode", ["direct", "batch"])
def test_the_responses_api_answers_too(make, ask, model, mode):
    with strict() as fake:
        given = {"sampling": SAMPLING, "supports": SUPPORTS, "api": "responses", "mode": mode, "poll": 0.05}
        client = make(fake, model=model, reasoning={"effort": "low" if model == "o3-pro" else None}, **given)
        first = client.complete(ask(client, 25, constraint=Constraint(json_schema=SCHEMA), sampling={"seed": 7}))
    assert [r.texts for r in first] == [("1,2,3",)] * 25 and {r.mode for r in first} == {"schema"}
    sent = fake.requests[-1]
    assert sent["input"][0]["content"] == "rows?" and sent["store"] is False
    assert sent["text"]["format"]["type"] == "json_schema" and "seed" not in sent
    assert ("temperature" in sent) == (model == "gpt-4o-mini")
    assert first[-1].usage.prompt_tokens > 0
    if model != "gpt-4o-mini":
        assert first[-1].usage.reasoning_tokens == 300


def test_a_lesson_is_learned_once_remembered_and_told(make, ask, caplog):
    caplog.set_level("INFO", "opal")
    with strict() as fake:
        client = make(fake, model="o3", sampling=SAMPLING, supports=SUPPORTS, concurrency=1)
        client.complete(ask(client, 5))
        assert len(fake.requests) == 5 + 2  # max_tokens, temperature
        told = [r.getMessage() for r in caplog.records if r.name == "opal"]
        assert len(told) == 2 and "takes max_completion_tokens in place of max_tokens" in told[0]
        assert "does not take temperature: sent without it" in told[1]
        another = make(fake, model="o3", sampling=SAMPLING, supports=SUPPORTS)
        another.complete([another.request(messages=({"role": "user", "content": "others?"},))])
        assert len(fake.requests) == 5 + 2 + 1


def test_without_reasoning_the_temperature_is_sent(make, ask):
    with strict() as fake:
        client = make(fake, model="gpt-6-luna", sampling=SAMPLING, supports=SUPPORTS, reasoning={"effort": "none"})
        [found] = client.complete(ask(client))
    assert found.texts == ("1,2,3",) and found.usage.reasoning_tokens == 0
    assert fake.requests[-1]["temperature"] == 0.7 and fake.requests[-1]["max_completion_tokens"] == 100


def test_an_effort_that_the_model_lacks_is_left_out(make, ask):
    with strict(efforts=("minimal", "low", "medium", "high")) as fake:
        client = make(fake, model="gpt-5-mini", sampling=SAMPLING, supports=SUPPORTS, reasoning={"effort": "none"})
        [found] = client.complete(ask(client))
    assert found.texts == ("1,2,3",) and found.usage.reasoning_tokens == 300
    assert fake.requests[-1]["max_completion_tokens"] == 100 + 4096


def test_the_effort_counts_in_the_key(make, ask):
    keys = set()
    for effort in (None, "none", "high"):
        client = make(None, base_url="http://127.0.0.1:9/v1", reasoning={"effort": effort})
        keys.add(ask(client)[0].key)
    assert len(keys) == 3


def thinking(body):
    """As vLLM and Ollama: max_tokens is taken, and eaten by reasoning."""
    cut = body["max_tokens"] < 500
    message = {"role": "assistant", "content": None if cut else "4,5", "reasoning_content": "well ..."}
    usage = {"prompt_tokens": 10, "completion_tokens": min(500, body["max_tokens"])}
    choice = {"index": 0, "message": message, "finish_reason": "length" if cut else "stop"}
    return Raw(json.dumps({"choices": [choice], "usage": usage}).encode())


def test_reasoning_that_eats_the_limit_gets_more_room(make, ask):
    with FakeLLM(answer=thinking) as fake:
        client = make(fake, sampling=SAMPLING, reasoning={"tokens": 1000}, concurrency=1)
        first, second = client.complete(ask(client, 2))
    assert first.texts == second.texts == ("4,5",) and len(fake.requests) == 3
    assert fake.requests[-1]["max_tokens"] == 1100
    assert first.usage.completion_tokens == 100 + 500, "the answer without text was paid for"
    assert second.usage.completion_tokens == 500


def test_requests_in_flight_meanwhile_get_room_too(make, ask):
    with FakeLLM(answer=thinking) as fake:
        client = make(fake, sampling=SAMPLING, reasoning={"tokens": 1000}, concurrency=8)
        assert [r.texts for r in client.complete(ask(client, 16))] == [("4,5",)] * 16


def test_an_empty_answer_is_counted_by_reason_and_asked_for_again(make, ask):
    with FakeLLM(answer=thinking) as fake:
        client = make(fake, sampling=SAMPLING, reasoning={"tokens": 0})
        [found] = client.complete(ask(client))
        assert found.texts == ("",) and found.finish == ("reasoning",)
        fake.answer = lambda body: "6,7"
        [found] = client.complete(ask(client))
        assert found.texts == ("6,7",) and not found.cached
        [found] = client.complete(ask(client))
        assert found.texts == ("6,7",) and found.cached


def test_an_empty_answer_is_there_for_replays(make, ask):
    with FakeLLM(answer=lambda body: Reply([""], finish="content_filter")) as fake:
        client = make(fake)
        client.complete(ask(client))
    replay = make(None, base_url="http://127.0.0.1:9/v1", cache="replay")
    [found] = replay.complete(ask(replay))
    assert found.texts == ("",) and found.finish == ("content_filter",)


def test_a_refusal_is_named(make, ask):
    body = {"choices": [{"index": 0, "message": {"content": None, "refusal": "no"}, "finish_reason": "stop"}]}
    with FakeLLM(script=[Raw(json.dumps(body).encode())]) as fake:
        client = make(fake)
        [found] = client.complete(ask(client))
    assert found.finish == ("refusal",)


@pytest.mark.parametrize("field", ["response_format", "seed"])
def test_a_capability_that_turns_out_to_be_missing_is_given_up(make, ask, field):
    with FakeLLM(rejects={field}) as fake:
        client = make(fake, supports=SUPPORTS)
        [found] = client.complete(ask(client, constraint=Constraint(json_schema=SCHEMA), sampling={"seed": 1}))
        assert (found.texts == ("hello",) and field not in fake.requests[-1]) or found.mode == "json"
        asked = len(fake.requests)
        client = make(fake, supports=SUPPORTS)
        client.complete([client.request(messages=({"role": "user", "content": "b"},), sampling={"seed": 2})])
        assert len(fake.requests) == asked + 1


def named_as_keywords(schema: dict) -> dict:
    """Columns may have the names of keywords."""
    cell = {"type": "integer", "minimum": 0, "maximum": 9}
    item = {"type": "object", "properties": {"minimum": cell, "x": cell}, "required": ["minimum", "x"]}
    return schema | {"properties": {"rows": {"type": "array", "items": item | {"additionalProperties": False}}}}


@pytest.mark.parametrize("api", ["chat", "responses"])
@pytest.mark.parametrize("schema", [SCHEMA, named_as_keywords(SCHEMA)])
def test_a_keyword_that_schemas_may_not_hold_is_left_out_once(make, ask, caplog, api, schema):
    caplog.set_level("INFO", "opal")
    asked = {"constraint": Constraint(json_schema=schema)}
    with strict(lacks=("minimum", "maximum")) as fake:
        given = {"model": "gpt-4o", "supports": SUPPORTS, "concurrency": 1, "api": api}
        client = make(fake, **given)
        assert {r.mode for r in client.complete(ask(client, 3, **asked))} == {"schema"} and len(fake.requests) == 3 + 1
        (told,) = [r.getMessage() for r in caplog.records if r.name == "opal"]
        assert told.endswith("does not take maximum and minimum in a schema: sent without them")
        another = make(fake, **given)
        another.complete([another.request(messages=({"role": "user", "content": "others?"},), **asked)])
        assert len(fake.requests) == 3 + 1 + 1, "it is remembered"
    body = fake.requests[-1]
    sent = (body.get("text") or {"format": body.get("response_format", {}).get("json_schema")})["format"]["schema"]
    item, before = sent["properties"]["rows"]["items"], schema["properties"]["rows"]["items"]
    assert item.keys() == before.keys() - {"minimum", "maximum"}
    assert item.get("properties", {}).keys() == before.get("properties", {}).keys()
    assert '"minimum": ' not in json.dumps(item.get("properties", {}).get("x", item))


ELSEWHERE = {
    "gemini": [{"error": {"code": 400, "message": "Invalid JSON payload received. Unknown name \"maximum\" at 'x'"}}],
    "anthropic": {"error": {"message": "For 'integer' type, property 'minimum' is not supported", "param": None}},
    "a gateway": {"error": {"message": "response_format: keyword maximum is unsupported", "param": "response_format"}},
}


@pytest.mark.parametrize("name", ELSEWHERE)
def test_a_keyword_is_understood_in_other_words(make, ask, name):
    class Server(FakeLLM):
        def refusal(self, body):
            return Status(400, body=ELSEWHERE[name]) if "minimum" in json.dumps(body) else None

    with Server() as fake:
        client = make(fake, supports=SUPPORTS)
        [found] = client.complete(ask(client, constraint=Constraint(json_schema=SCHEMA)))
    assert found.mode == "schema" and len(fake.requests) == 2 and "minItems" in json.dumps(fake.requests[-1])


def test_a_schema_refused_for_good_is_given_up(make, ask):
    with strict(lacks=("type",)) as fake:
        client = make(fake, model="gpt-4o", supports=SUPPORTS)
        [found] = client.complete(ask(client, constraint=Constraint(json_schema=SCHEMA)))
    assert found.mode == "json" and len(fake.requests) == 2


def test_a_record_from_before_schemas_held_limits_is_replayed(make, ask):
    rule = Constraint(json_schema=SCHEMA)
    with strict() as fake:
        client = make(fake, model="gpt-4o", supports=SUPPORTS)
        [first] = client.complete(ask(client, constraint=rule.unbounded()))
        replay = make(fake, model="gpt-4o", cache="replay")
        [found] = replay.complete(wanted := ask(replay, constraint=rule))
        assert found.texts == first.texts and found.request == wanted[0] and found.record()["key"] == first.request.key
        client.complete(wanted)
        assert len(fake.requests) == 2, "a run asks anew: the limits decide its answers"


def test_a_batch_of_a_reasoning_model_does_without_what_it_refuses(make, ask):
    with strict() as fake:
        options = {"mode": "batch", "poll": 0.05, "prices": {"prompt": 1.0, "completion": 8.0, "batch": 0.5}}
        client = make(fake, model="o3", sampling=SAMPLING, supports=SUPPORTS, **options)
        found = client.complete(ask(client, 25))
        assert [r.texts for r in found] == [("1,2,3",)] * 25
        first, *others = (r.usage.money / r.usage.completion_tokens for r in found)
        assert max(others) < 0.6 * first, "the first was asked directly, at its full price"
        [one] = fake.batches.values()
        lines = fake.files[one["input_file_id"]].decode().splitlines()
        bodies = [json.loads(line)["body"] for line in lines]
        assert len(bodies) == 24 and all("temperature" not in b and "max_tokens" not in b for b in bodies)


@pytest.fixture(params=[True, False], ids=["with error.param", "in words alone"])
def refusing(request, monkeypatch):
    """A strict server whose batches are sent without a direct request before."""
    monkeypatch.setattr(batch, "TRIED_FROM", 99)
    with strict() as fake:
        told = fake.refusal
        if not request.param:
            monkeypatch.setattr(fake, "refusal", lambda body: (fault := told(body)) and replace(fault, param=None))
        yield fake


def limits_of_the_last_batch(fake):
    *_, last = fake.batches.values()
    lines = fake.files[last["input_file_id"]].decode().splitlines()
    return [json.loads(line)["body"]["max_completion_tokens"] for line in lines]


def test_a_batch_whose_lines_were_refused_teaches_the_next(make, ask, refusing):
    client = make(refusing, **LIMITED, mode="batch", poll=0.05)
    with pytest.raises(LLMError, match="max_completion_tokens"):
        client.complete(ask(client, 2))
    assert [r.texts for r in client.complete(ask(client, 2))] == [("1,2,3",)] * 2
    assert limits_of_the_last_batch(refusing) == [4196, 4196], "every line teaches the same"


def test_a_lesson_learned_while_a_batch_waited_is_not_unlearned(make, ask, monkeypatch, refusing):
    client = make(refusing, **LIMITED, mode="batch", poll=0.05)
    waiting = ask(client, 2)
    with monkeypatch.context() as killed:
        killed.setattr(batch.time, "sleep", Mock(side_effect=KeyboardInterrupt))  # between two looks at the batch
        with pytest.raises(KeyboardInterrupt):
            client.complete(waiting)
    direct = make(refusing, **LIMITED)
    assert direct.complete(ask(direct, 1, sampling={"seed": 5}))[0].texts == ("1,2,3",)
    later = make(refusing, **LIMITED, mode="batch", poll=0.05)
    with pytest.raises(LLMError, match="max_completion_tokens"):
        later.complete(waiting)
    assert [r.texts for r in later.complete(waiting)] == [("1,2,3",)] * 2
    assert limits_of_the_last_batch(refusing) == [4196, 4196]


def test_a_value_out_of_range_is_the_users_to_mend(make, ask):
    too_hot = Status(400, "invalid_value", "temperature must be at most 2", param="temperature")
    with FakeLLM(script=[too_hot, "1"]) as fake:
        client = make(fake, sampling={"temperature": 3.0}, concurrency=1)
        first, _ = client.complete(ask(client, 2))
    assert first.texts == () and "at most 2" in first.finish[0]


def test_the_probe_of_a_reasoning_model_finds_what_it_can(make):
    def answer(body):
        form = body.get("response_format", {}).get("type")
        return {"json_schema": '{"zq7": 1}', "json_object": '{"a": 1}'}.get(form, "hello")

    with StrictOpenAI(answer) as fake:
        found = make(fake, model="o3", supports=None).capabilities
    assert found.json_schema and found.json_object and found.seed and found.grammar is None


def test_silence_is_no_sign_of_a_seed(make):
    with FakeLLM(answer=lambda body: "") as fake:
        assert not make(fake, supports=None).capabilities.seed


def conf() -> dict:
    return yaml.safe_load((Path(__file__).parents[3] / "conf" / "llm" / "openai.yaml").read_text())


def test_prices_are_of_the_model_or_unknown():
    table = conf()["prices"]
    assert Prices.declared(table, model="gpt-6-luna").completion == 0.5
    assert Prices.declared(table, model="gpt-6-luna-2026-09-22").prompt == 0.1
    assert Prices.declared(table, "batch", model="gpt-6-luna").completion == 0.25
    assert Prices.declared(table, model="some-other").money(10, 10) is None
    assert Prices.declared(table | {"prompt": 3.0}, model="gpt-6-luna").prompt == 3.0


def test_the_default_model_is_not_about_to_be_shut_down():
    """A month before, choose another: developers.openai.com/api/docs/deprecations."""
    config = conf()
    row = config["prices"]["models"][config["model"]]
    assert (row.get("shutdown") or date.max) > date.today() + timedelta(days=31)


PIECES = st.sampled_from(
    ["a", "Zq", r"\.", r"[0-9]", r"[1-9][0-9]?", "(x|yy|z)", r"(-|)", r"\n", ",", '"', "0{2}", "ä"]
)


@given(st.lists(PIECES, min_size=1, max_size=8))
def test_a_grammar_says_what_the_expression_says(pieces):
    """Read back by the rules of GBNF: quoted text, classes, groups, counts."""
    grammar = gbnf("".join(pieces)).removeprefix("root ::= ").rstrip("\n")
    back = re.sub(r'"(?:\\.|[^"\\])*"', lambda m: f"(?:{re.escape(json.loads(m[0]))})", grammar)
    back = re.sub(r"(?<!\\) ", "", back)
    for text in ("a", "Zq", ".", "7", "12", "x", "yy", "-", "\n", ",", '"', "00", "ä", ""):
        for prefix in ("", "a", "1"):
            assert bool(re.fullmatch(back, prefix + text)) == bool(re.fullmatch("".join(pieces), prefix + text))
