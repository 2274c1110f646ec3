"""The client against a (fake) OpenAI server over real HTTP: what is sent, what comes back, what it cost."""

from __future__ import annotations

import contextlib
import threading
import time
from dataclasses import replace

import pytest
from fake_server import FakeLLM, Reply, Status

from opal.errors import ConfigError, LLMError
from opal.llm.api.messages import Constraint
from opal.result import MADE, MADE_IF_ANY

KEY = "sk-test-5e07d8a1"


def test_sends_exactly_what_the_request_says(make, ask):
    with FakeLLM(answer=lambda body: ["a", "b"]) as fake:
        client = make(
            fake, sampling={"temperature": 0.6, "max_tokens": 50, "seed": 3}, extra_body={"cache_prompt": False}
        )
        request = ask(client, n=2, sampling={"temperature": 0.9, "top_k": 5})[0]
        [response] = client.complete([request])
    assert fake.requests == [
        {
            "model": "fake",
            "messages": [{"role": "user", "content": "rows?"}],
            "temperature": 0.9,
            "max_tokens": 50,
            "seed": 3,
            "top_k": 5,
            "n": 2,
            "cache_prompt": False,
        }
    ]
    assert fake.headers[0]["authorization"] == f"Bearer {KEY}"
    assert response.texts == ("a", "b") and response.finish == ("stop", "stop")
    assert not response.cached and response.usage.paid_requests == response.usage.requests == 1


def test_base_models_continue_a_prompt(make, ask):
    with FakeLLM(answer=lambda body: body["prompt"][::-1]) as fake:
        client = make(fake, api="completion")
        [response] = client.complete([client.request(prompt="abc")])
        assert response.texts == ("cba",)
        with pytest.raises(ConfigError, match=r"llm\.api"):
            client.complete(ask(client))


def test_answers_come_in_the_order_of_requests_and_concurrently(make, ask):
    def slow_first(body):
        return Reply([body["user"]], delay=0.3 if body["user"] == "0" else 0.1)

    seen = []
    with FakeLLM(answer=slow_first) as fake:
        client = make(fake, concurrency=4)
        requests = [replace(r, sampling={"user": str(r.draw)}) for r in ask(client, 8)]
        began = time.monotonic()
        responses = client.complete(requests, on_response=seen.append)
        assert time.monotonic() - began < 0.8  # one after another: 1.0
    assert [r.texts[0] for r in responses] == list("01234567")
    assert sorted(r.texts[0] for r in seen) == list("01234567") and seen[0].texts != ("0",)


@pytest.mark.parametrize(
    ("supports", "field", "mode"),
    [
        ({"grammar": "llguidance", "json_schema": True}, "grammar", "grammar"),
        ({"grammar": "structured_outputs"}, "structured_outputs", "grammar"),
        ({"grammar": "guided_regex"}, "guided_regex", "grammar"),
        ({"json_schema": True, "json_object": True}, "response_format", "schema"),
        ({"json_object": True}, "response_format", "json"),
        ({}, None, "free"),
    ],
)
def test_a_constraint_is_applied_as_strictly_as_the_endpoint_can(make, ask, supports, field, mode):
    with FakeLLM() as fake:
        client = make(fake, supports=supports)
        constraint = Constraint({"type": "object"}, r"\d/x")
        [response] = client.complete(ask(client, constraint=constraint))
        [again] = client.complete(ask(client, constraint=constraint))
        assert client.capabilities_used["grammar"] == supports.get("grammar")
        replayed = make(fake, supports=supports)
        assert replayed.complete(ask(replayed, constraint=constraint)) and replayed.capabilities_used is None
    assert response.mode == again.mode == mode
    assert set(fake.requests[0]) - {"model", "messages"} == ({field} if field else set())
    if field == "grammar":
        assert fake.requests[0]["grammar"] == "%llguidance {}\nstart: /\\d\\/x/\n"


def test_answers_are_asked_for_one_by_one_where_n_is_not_supported(make, ask):
    with FakeLLM(answer=lambda body: str(body["seed"])) as fake:
        client = make(fake, supports={"seed": True}, sampling={"seed": 40})
        [response] = client.complete(ask(client, n=3))
    assert response.texts == ("40", "41", "42") and response.usage.requests == 3
    assert all("n" not in body for body in fake.requests)


def test_usage_counts_tokens_money_and_retries(make, ask):
    details = {"cached_tokens": 40, "cache_write_tokens": 20}
    usage = {"prompt_tokens": 100, "completion_tokens": 10, "prompt_tokens_details": details}
    prices = {"prompt": 1.0, "cached_prompt": 0.5, "completion": 10.0, "cache_write": 1.25}
    with FakeLLM(script=[Status(500), Reply(["x"], usage=usage)]) as fake:
        client = make(fake, prices=prices)
        [paid] = client.complete(ask(client))
        [stored] = client.complete(ask(client))
    money = (40 * 1 + 40 * 0.5 + 20 * 1.25 + 10 * 10) / 1e6
    assert paid.usage.money == paid.usage.paid_money == pytest.approx(money)
    assert (paid.usage.retries, paid.usage.cached_tokens, paid.usage.paid_tokens) == (1, 40, 110)
    assert stored.cached and stored.usage.cache_hits == 1 and stored.usage.paid_tokens == 0
    for name in (*MADE, *MADE_IF_ANY):
        assert getattr(stored.usage, name) == getattr(paid.usage, name)
    assert stored.usage.cache_write_tokens == 20
    assert len(fake.requests) == 2


def test_unknown_prices_stay_unknown(make, ask):
    with FakeLLM() as fake:
        client = make(fake, prices={"prompt": 1.0, "completion": None})
        [response] = client.complete(ask(client))
        assert response.usage.money is None and response.usage.paid_money is None
        assert client.estimate(ask(client, 5), 10).money is None
        [stored] = make(fake, prices={"prompt": 1.0, "completion": 1.0}).complete(ask(client))
    assert stored.usage.money > 0 and stored.usage.paid_money == 0


def test_estimate_calls_nothing_and_knows_the_store(make, ask):
    with FakeLLM() as fake:
        client = make(fake, prices={"prompt": 1e6, "completion": 1e6}, sampling={"max_tokens": 7})
        client.complete(ask(client, 2))
        before = len(fake.requests)
        estimate = client.estimate(ask(client, 5, n=2), 10)
        most = client.estimate(ask(client, 5, n=2))
        assert client.estimate(ask(client, 5)).stored == 2
        assert len(fake.requests) == before
    assert (estimate.requests, estimate.stored, estimate.completion_tokens) == (5, 0, 50)
    assert estimate.money == estimate.prompt_tokens + 50 and most.completion_tokens == 5 * 2 * 7


@pytest.mark.slow
def test_requests_per_minute_are_spaced(make, ask):
    with FakeLLM() as fake:
        client = make(fake, requests_per_minute=300, concurrency=4)
        client.complete(ask(client, 6))
        assert fake.times[-1] - fake.times[0] > 0.5  # five gaps of 0.2 s, less what the first connection takes


def test_a_missing_key_is_told_before_any_call(make, ask, monkeypatch):
    monkeypatch.delenv("TEST_KEY")
    with FakeLLM() as fake:
        client = make(fake)
        with pytest.raises(LLMError, match="set the environment variable TEST_KEY"):
            client.complete(ask(client))
        assert fake.requests == []
        free = make(fake, key_env=None)
        assert free.complete(ask(free))[0].texts == ("hello",)


@pytest.mark.parametrize(
    ("kwargs", "text"),
    [
        ({"cache": "maybe"}, r"llm\.cache='maybe'"),
        ({"mode": "slow"}, r"llm\.mode"),
        ({"concurrency": 0}, r"llm\.concurrency=0"),
        ({"model": None}, r"llm\.model"),
        ({"base_url": "https://user:pass@host/v1"}, r"llm\.base_url"),
        ({"supports": {"magic": True}}, r"llm\.supports\.magic"),
        ({"budget": {"dollars": 3}}, r"llm\.budget\.dollars"),
        ({"budget": {"money": 3}}, r"llm\.prices"),
    ],
)
def test_wrong_options_are_named(make, ask, kwargs, text):
    with FakeLLM() as fake, pytest.raises(ConfigError, match=text):
        _ = make(fake, **kwargs).capabilities


def test_a_server_of_our_own_starts_at_the_first_call_only(make, ask):
    with FakeLLM(key="local-key") as fake:

        class Server:
            model, starts = "weights@sha256:abc", 0

            def start(self):
                Server.starts += 1
                return fake.url, "local-key"

            def turn(self, stop):
                return contextlib.nullcontext()

        client = make(fake, model=None, base_url=None, key_env=None, server=Server())
        assert client.identity() == "weights@sha256:abc" and ask(client)[0].model == client.identity()
        client.estimate(ask(client), 1)
        assert Server.starts == 0
        client.complete(ask(client))
        assert Server.starts and fake.requests[0]["model"] == "weights@sha256:abc"


def test_interrupting_keeps_what_is_in_flight(make, ask):
    """Ctrl-C while calls are in flight: they are stored, no further one begins."""

    def interrupt(response):
        raise KeyboardInterrupt

    threads = threading.active_count()
    with FakeLLM(answer=lambda body: Reply(["x"], delay=0.1)) as fake:
        client = make(fake, concurrency=2)
        with pytest.raises(KeyboardInterrupt):
            client.complete(ask(client, 20), on_response=interrupt)
        assert len(fake.requests) <= 4
        assert threading.active_count() < threads + 20
        assert client.estimate(ask(client, 20)).stored == len(fake.requests)


def test_fields_of_every_request_count_in_its_key_unless_they_decide_nothing(make, ask):
    """Two clients that differ in reasoning_effort share no answer."""
    with FakeLLM(answer=lambda body: body.get("reasoning_effort", "none")) as fake:
        texts, keys = [], set()
        decisive = [{"reasoning_effort": effort} for effort in ("low", "high")]
        for extra in ({}, {"cache_prompt": False, "id_slot": 0}, *decisive):
            client = make(fake, extra_body=extra)
            [response] = client.complete(ask(client))
            texts.append(response.texts[0])
            keys.add(response.request.key)
    assert texts == ["none", "none", "low", "high"] and len(keys) == 3
    assert len(fake.requests) == 3, "the second client found the first one's answer"


def test_a_service_tier_is_sent_counts_in_no_key_and_has_its_price(make, ask, tmp_path):
    prices = {"prompt": 2.0, "completion": 4.0, "flex": 0.5}
    with FakeLLM() as fake:
        plain, flex = make(fake, prices=prices), make(fake, prices=prices, tier="flex", store=tmp_path / "other")
        assert ask(plain)[0].key == ask(flex)[0].key
        dear, cheap = (client.complete(ask(client))[0].usage.money for client in (plain, flex))
        assert cheap == pytest.approx(dear / 2)
        assert "service_tier" not in fake.requests[0] and fake.requests[1]["service_tier"] == "flex"
    with pytest.raises(ConfigError, match=r"llm\.mode=batch and llm\.tier=flex exclude each other"):
        make(None, tier="flex", mode="batch")


def test_a_tier_that_is_full_is_waited_for(make, ask):
    answers = [Status(498), Status(429), "hello"]
    with FakeLLM(answer=lambda body: answers.pop(0)) as fake:
        assert make(fake, tier="flex").complete(ask(make(fake)))[0].texts == ("hello",)
        assert len(fake.requests) == 3
