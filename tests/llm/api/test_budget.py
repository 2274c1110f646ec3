"""The budget: no call that could break it, over all processes; it goes on when raised."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from fake_server import Drip, FakeLLM, Reply, Status

from opal.errors import BudgetError, ConfigError
from opal.llm.api.budget import Budget, Prices, count_tokens

ROOT = Path(__file__).resolve().parents[3]
USAGE = {"prompt_tokens": 10, "completion_tokens": 10}


def answer(body):
    return Reply(["x"], usage=USAGE)


def ledger(folder):
    return json.loads((folder / "store" / "budgets" / "default.json").read_text())


def test_requests_stop_before_the_limit_and_go_on_when_it_is_raised(make, ask):
    with FakeLLM(answer=answer) as fake:
        client = make(fake, budget={"requests": 3})
        with pytest.raises(BudgetError, match=r"llm\.budget\.requests=3 stops the run") as caught:
            client.complete(ask(client, 8))
        assert len(fake.requests) == 3 and len(caught.value.partial) == 3
        more = make(fake, budget={"requests": 8})
        assert all(r.texts for r in more.complete(ask(more, 8)))
        assert len(fake.requests) == 8


def test_stored_answers_cost_nothing(make, ask):
    with FakeLLM(answer=answer) as fake:
        client = make(fake, budget={"requests": 2})
        for _ in range(3):
            assert len(client.complete(ask(client, 2))) == 2


def test_tokens_are_reserved_at_their_most_and_settled_at_what_came(make, ask, tmp_path):
    """Each call may take 6 + prompt + 100 tokens, and takes 20: the limit is used, not only what is reserved."""
    with FakeLLM(answer=answer) as fake:
        client = make(fake, budget={"tokens": 300}, sampling={"max_tokens": 100}, concurrency=4)
        with pytest.raises(BudgetError, match="tokens"):
            client.complete(ask(client, 50))
        assert 9 <= len(fake.requests) <= 10
    made = len(fake.requests)
    assert ledger(tmp_path) == {"spent": {"money": 0, "tokens": 20 * made, "requests": made}, "open": {}}


def test_money_needs_prices_and_holds(make, ask):
    prices = {"prompt": 1e6, "completion": 1e6}  # one a token
    with FakeLLM(answer=answer) as fake:
        with pytest.raises(ConfigError, match=r"llm\.budget\.money needs llm\.prices"):
            make(fake, budget={"money": 5}, prices={"prompt": 1, "completion": None})
        client = make(fake, budget={"money": 100.0}, prices=prices, sampling={"max_tokens": 20})
        with pytest.raises(BudgetError, match="money"):
            client.complete(ask(client, 50))
        assert 3 <= len(fake.requests) <= 5


def test_an_unlimited_answer_cannot_be_budgeted(make, ask):
    with FakeLLM() as fake:
        client = make(fake, budget={"tokens": 1000})
        with pytest.raises(ConfigError, match=r"llm\.sampling\.max_tokens"):
            client.complete(ask(client))
        assert fake.requests == []


@pytest.mark.slow
def test_what_may_have_been_billed_counts_and_what_was_refused_does_not(make, ask, tmp_path):
    with FakeLLM(script=[Drip(), Status(500)], answer=answer) as fake:
        client = make(fake, budget={"tokens": 10_000}, sampling={"max_tokens": 100}, timeout=1)
        request = ask(client)[0]
        client.complete([request])
    spent = ledger(tmp_path)["spent"]
    assert spent["requests"] == 3 and 20 + 100 < spent["tokens"] < 20 + 150


def test_a_scope_is_a_purse_of_its_own(make, ask):
    with FakeLLM(answer=answer) as fake:
        for scope in ("mine", "yours"):
            client = make(fake, cache="off", budget={"requests": 2, "scope": scope})
            with pytest.raises(BudgetError):
                client.complete(ask(client, 9))
        assert len(fake.requests) == 4
        with pytest.raises(ConfigError, match=r"llm\.budget\.scope"):
            make(fake, budget={"requests": 1, "scope": "../x"})


ASK = """
import sys
from opal.llm.api.client import Client
from opal.errors import BudgetError
options = {"key_env": None, "supports": {}, "concurrency": 3, "store": sys.argv[2], "budget": {"requests": 17}}
client = Client("fake", sys.argv[1], **options)
def ask(text, count):
    return [client.request(messages=({"role": "user", "content": text},), draw=i) for i in range(count)]
client.complete(ask("wanted by both", 8))
try:
    client.complete(ask(sys.argv[3], 20))
except BudgetError as error:
    print(len(error.partial))
"""


@pytest.mark.slow
def test_processes_pay_once_for_what_both_want_and_share_one_budget(tmp_path):
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    with FakeLLM(answer=lambda body: Reply(["x"], delay=0.1)) as fake:
        command = [sys.executable, "-c", ASK, fake.url, str(tmp_path)]
        both = [subprocess.Popen([*command, name], env=env, stdout=subprocess.PIPE, text=True) for name in "ab"]
        came = [int(p.communicate(timeout=60)[0]) for p in both]
        assert sum(came) == 9 and len(fake.requests) == 17
        assert sum(b["messages"][0]["content"] == "wanted by both" for b in fake.requests) == 8


def test_what_a_killed_process_left_open_stays_spent(tmp_path):
    prices = Prices()
    Budget({"requests": 3}, prices, tmp_path).reserve("of a dead process", {"requests": 2, "tokens": 1, "money": None})
    budget = Budget({"requests": 3}, prices, tmp_path)
    budget.reserve("one", {"requests": 1, "tokens": 1, "money": None})
    budget.settle("one", {"requests": 1, "tokens": 1, "money": None})
    with pytest.raises(BudgetError, match="3 spent"):
        budget.reserve("two", {"requests": 1, "tokens": 1, "money": None})


def test_tokens_are_counted_rather_too_high():
    """Against counts of the embedded model's tokenizer (gemma), which splits digits as most do."""
    assert count_tokens("11.8,6.1,1,0,1,1,0\n") >= 19
    assert count_tokens("Continue the table with new rows.") >= 7


def test_what_is_written_to_the_providers_cache_has_its_price_and_is_reserved_for():
    prices = Prices(1.0, 0.1, 2.0, 1.25)
    assert prices.money(1_000_000, 500_000) == 2.0 and prices.most(1_000_000, 500_000) == 2.25
    assert prices.money(1_000_000, 0, cached=400_000, written=400_000) == pytest.approx(0.2 + 0.04 + 0.5)
    assert Prices(1.0, 0.1, 2.0).most(1_000_000, 500_000) == 2.0


def test_unknown_prices_make_unknown_sums():
    assert Prices(1.0, None, 2.0).money(1_000_000, 500_000) == 2.0
    assert Prices(1.0, None, 2.0).money(1_000_000, 500_000, cached=1) is None
    assert Prices().money(0, 0) == 0.0
    assert Prices(1.0, None, 2.0).money(1_000_000, 0, written=1_000_000) == 1.0, "no other price: as the rest"
    assert Prices.declared({"prompt": 2, "completion": 4, "batch": 0.5}, "batch").money(10**6, 10**6) == 3.0
    assert Prices.declared({"prompt": 2, "completion": 4, "batch": 0.5}).money(10**6, 10**6) == 6.0
    with pytest.raises(ConfigError, match=r"llm\.prices\.promt"):
        Prices.declared({"promt": 2})


def test_a_service_tier_has_its_share_or_an_unknown_price():
    given = {"prompt": 2, "completion": 4, "batch": 0.5, "flex": 0.5}
    assert Prices.declared(given, "flex").money(10**6, 10**6) == 3.0
    assert Prices.declared(given | {"priority": 2}, "priority").money(10**6, 10**6) == 12.0
    assert (
        Prices.declared(given, "priority").money(1, 1) is None and Prices.declared(given, "scale").money(1, 1) is None
    )
    assert Prices.declared({"prompt": 2, "completion": 4}, "batch").money(10**6, 10**6) == 6.0
