"""The Batch API against a (fake) server: upload, poll, merge, and resume after a restart."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from fake_server import FakeLLM, Reply, Reset, Status

from opal.errors import BudgetError, ConfigError, LLMError

ROOT = Path(__file__).resolve().parents[3]
USAGE = {"prompt_tokens": 100, "completion_tokens": 100}


@pytest.fixture
def batch(make):
    def made(fake, **fields):
        client = make(fake, mode="batch", poll=0.05, **fields)
        client._connect().adaptation.remember()  # a model that was asked before: none is asked directly first
        return client

    return made


def states(tmp_path):
    return list((tmp_path / "store" / "batches").glob("*.json"))


def test_answers_are_merged_by_request_in_order(batch, ask, tmp_path):
    with FakeLLM(answer=lambda body: Reply([body["user"]], usage=USAGE)) as fake:  # the fake reverses their order
        client = batch(fake, prices={"prompt": 1.0, "completion": 3.0, "batch": 0.5})
        requests = [ask(client, sampling={"user": str(i)})[0] for i in range(5)]
        seen = []
        responses = client.complete([*requests, requests[0]], on_response=seen.append)
        assert [r.texts[0] for r in responses] == ["0", "1", "2", "3", "4", "0"] and len(seen) == 6
        assert responses[0].usage.paid_money == pytest.approx(400 * 0.5 / 1e6)
        assert len(fake.batches) == 1 and states(tmp_path) == []
        [one] = fake.batches.values()
        assert one["endpoint"] == "/v1/chat/completions"
        line = json.loads(fake.files[one["input_file_id"]].decode().splitlines()[0])
        assert line["custom_id"] == requests[0].key and line["body"]["messages"][0]["content"] == "rows?"
        assert [r.cached for r in client.complete(requests)] == [True] * 5


def test_lines_that_failed_are_told_and_asked_again(batch, ask):
    with FakeLLM(script=["one", Status(400, message="too long"), "three"]) as fake:
        client = batch(fake)
        responses = client.complete(ask(client, 3))
        assert [r.texts for r in responses] == [("one",), (), ("three",)]
        assert "too long" in responses[1].finish[0]
        assert all(r.texts for r in client.complete(ask(client, 3)))
        assert len(fake.requests) == 4


SWEEP = """
import sys
from opal.llm.api.client import Client
options = {"key_env": None, "supports": {}, "mode": "batch", "poll": 0.05, "store": sys.argv[2]}
client = Client("fake", sys.argv[1], **options)
client._connect().adaptation.remember()
requests = [client.request(messages=({"role": "user", "content": "rows?"},), draw=i) for i in range(4)]
print(sum(r.usage.paid_requests for r in client.complete(requests)))
"""


@pytest.mark.slow
def test_killed_while_waiting_it_resumes_the_same_batch(tmp_path):
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    with FakeLLM() as fake:
        fake.hold_batches = True
        command = [sys.executable, "-c", SWEEP, fake.url, str(tmp_path)]
        first = subprocess.Popen(command, env=env)
        while not any(b["polls"] for b in list(fake.batches.values())):
            time.sleep(0.05)
            assert first.poll() is None
        first.kill()
        first.wait()
        fake.hold_batches = False
        second = subprocess.run(command, env=env, capture_output=True, text=True, check=True, timeout=60)
        assert second.stdout == "4\n"
        assert len(fake.batches) == 1 and len(fake.requests) == 4


def test_killed_while_creating_it_finds_what_it_created(batch, ask, tmp_path):
    with FakeLLM() as fake:
        client = batch(fake)
        fake.hold_batches = True
        waiting = threading.Thread(target=client.complete, args=(ask(client, 2),))
        waiting.start()
        while not any(b["polls"] for b in list(fake.batches.values())):
            time.sleep(0.02)
        [path] = states(tmp_path)
        state = json.loads(path.read_text())
        path.write_text(json.dumps(state | {"batch": None}))  # as if killed before the id was kept
        other = batch(fake)
        fake.hold_batches = False
        assert [r.texts for r in other.complete(ask(other, 2))] == [("hello",)] * 2
        waiting.join(timeout=10)
        assert len(fake.batches) == 1 and len(fake.requests) == 2 and states(tmp_path) == []


def test_two_clients_share_a_batch_and_ask_only_for_the_rest(batch, ask):
    with FakeLLM() as fake:
        fake.hold_batches = True
        clients = [batch(fake), batch(fake)]
        came = {}
        threads = []
        for count, client in zip((3, 5), clients, strict=True):
            thread = threading.Thread(
                target=lambda n=count, c=client: came.update({n: c.complete(ask(c, n))}), daemon=True
            )
            thread.start()
            threads.append(thread)
            while len(fake.batches) < len(threads):
                time.sleep(0.02)
        fake.hold_batches = False
        for thread in threads:
            thread.join(timeout=20)
        assert len(came[3]) == 3 and len(came[5]) == 5 and all(r.texts for r in came[5])
        assert len(fake.requests) == 5


def test_the_budget_limits_a_batch_and_knows_it_after(batch, ask, tmp_path):
    with FakeLLM(answer=lambda body: Reply(["x"], usage=USAGE)) as fake:
        client = batch(fake, budget={"requests": 3})
        with pytest.raises(BudgetError) as caught:
            client.complete(ask(client, 5))
        assert len(caught.value.partial) == 3 and len(fake.requests) == 3
        ledger = json.loads((tmp_path / "store" / "budgets" / "default.json").read_text())
        assert ledger == {"spent": {"money": 0.0, "tokens": 600, "requests": 3}, "open": {}}
        more = batch(fake, budget={"requests": 5})
        assert len(more.complete(ask(more, 5))) == 5


def test_a_batch_that_fails_as_a_whole_is_told_and_forgotten(batch, ask, tmp_path):
    with FakeLLM() as fake:
        client = batch(fake)
        fake.fail_batches = "the file is not for me"
        with pytest.raises(LLMError, match="failed: the file is not for me"):
            client.complete(ask(client, 2))
        assert states(tmp_path) == []


def test_an_endpoint_without_batches_is_told(batch, ask):
    with FakeLLM() as fake:
        client = batch(fake, base_url=fake.url + "/elsewhere")
        with pytest.raises(LLMError, match=r"has no Batch API: use llm\.mode=direct"):
            client.complete(ask(client))


def test_options_that_do_not_go_with_batches_are_told(batch, ask):
    with FakeLLM() as fake:
        with pytest.raises(ConfigError, match=r"llm\.mode=batch"):
            batch(fake, cache="off")
        client = batch(fake, supports={})
        with pytest.raises(ConfigError, match=r"llm\.n_per_request=1"):
            client.complete(ask(client, n=2))


def test_a_connection_lost_while_polling_is_retried(batch, ask):
    with FakeLLM() as fake:
        fake.batch_faults = [Status(500), Reset(), Status(429, retry_after=0.1)]
        client = batch(fake, retries=3)
        assert client.complete(ask(client))[0].texts == ("hello",)
        assert fake.batch_faults == [] and len(fake.batches) == 1


def test_a_file_holds_no_more_than_the_endpoint_takes(batch, ask, monkeypatch):
    monkeypatch.setattr("opal.llm.api.batch.MOST_BYTES", 700)
    with FakeLLM(answer=lambda body: "1") as fake:
        client = batch(fake)
        assert all(r.texts for r in client.complete(ask(client, 5)))
        assert len(fake.batches) > 1
        assert all(len(fake.files[b["input_file_id"]]) <= 700 for b in fake.batches.values())


@pytest.mark.slow
def test_more_tokens_than_the_endpoint_takes_at_a_time_are_sent_in_halves(batch, ask, tmp_path):
    with FakeLLM(answer=lambda body: "1") as fake:
        fake.most_enqueued = 3
        client = batch(fake)
        assert [r.texts for r in client.complete(ask(client, 10))] == [("1",)] * 10
        sizes = [len(fake.files[b["input_file_id"]].splitlines()) for b in fake.batches.values()]
        assert sizes == [10, 5, 2, 3, 5, 2, 3] and len(fake.requests) == 10  # each is answered once
        assert states(tmp_path) == []


def test_a_single_request_that_does_not_fit_is_told(batch, ask):
    with FakeLLM() as fake:
        client = batch(fake)
        fake.most_enqueued = -1
        with pytest.raises(
            LLMError, match=r"Enqueued token limit.*run again when the account's other batches are done"
        ):
            client.complete(ask(client, 1))
